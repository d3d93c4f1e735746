"""A trial's checkpoint: weights, optimizer, loss scale and the step; the rest follows from the seeds.

Imports torch only where it is needed: the sweeper, which only deletes, does without.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedgrid.errors import InputError
from seedgrid.files import write_whole

if TYPE_CHECKING:
    import torch
    from pytorch_lightning import Trainer


def save(
    folder: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    trainer: Trainer,
    step: int,
    seconds: float,
) -> None:
    """Write ``<folder>/checkpoint/state.pt``, replacing an earlier one only when it is whole."""
    import torch

    path = folder / "checkpoint" / "state.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "seconds": seconds,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scale": trainer.precision_plugin.state_dict(),  # of half precision's gradients: it follows from all steps
    }
    write_whole(path, lambda file: torch.save(state, file))


def load(folder: Path) -> dict[str, Any] | None:
    """What :func:`save` wrote, on the CPU; None if there is nothing.

    Raises:
        InputError: the file is damaged.
    """
    import torch

    path = folder / "checkpoint" / "state.pt"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("step", "seconds", "network", "optimizer", "scale")}
    except FileNotFoundError:
        return None
    except Exception as error:  # zip, pickle and torch each have their own kinds
        raise InputError(f"{path}: damaged ({type(error).__name__}); redo=true runs the trial again") from None


def remove(folder: Path) -> None:
    """Delete a trial's checkpoint, if there is one."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
