"""A trial's checkpoint: the state of its training, and the step; the rest follows from the seeds.

Imports torch only where it is needed: the sweeper, which only deletes, does without.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from seedgrid.errors import InputError
from seedgrid.files import write_whole


def save(folder: Path, state: dict[str, Any], step: int, seconds: float) -> None:
    """Write ``<folder>/checkpoint/state.pt``, replacing an earlier one only when it is whole.

    Args:
        folder: the trial's.
        state: of its training.
        step: the last that is done.
        seconds: that it took so far.
    """
    import torch

    path = folder / "checkpoint" / "state.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: torch.save({"step": step, "seconds": seconds, **state}, file))


def load(folder: Path, plain: bool = True) -> dict[str, Any] | None:
    """What :func:`save` wrote, on the CPU; None if there is nothing.

    Args:
        folder: the trial's.
        plain: whether it holds nothing but tensors and plain values; anything else is code, that loading it runs.

    Raises:
        InputError: the file is damaged.
    """
    import torch

    path = folder / "checkpoint" / "state.pt"
    try:
        state = torch.load(path, map_location="cpu", weights_only=plain)
        return {"step": state["step"], "seconds": state["seconds"], **state}
    except FileNotFoundError:
        return None
    except Exception as error:  # zip, pickle and torch each have their own kinds
        raise InputError(f"{path}: damaged ({type(error).__name__}); redo=true runs the trial again") from None


def remove(folder: Path) -> None:
    """Delete a trial's checkpoint, if there is one."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
