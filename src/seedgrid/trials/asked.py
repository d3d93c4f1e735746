"""What the latest command asked for in a sweep's folder, a grid or one trial, for whoever watches it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from seedgrid.files import write_json
from seedgrid.records.store import is_running
from seedgrid.trials.rungs import StartMany

_GRID = ".cache/grid.json"


def write_grid(folder: Path, steps: int, trials: Sequence[str]) -> None:
    """Leave in a sweep's folder what a command is about to run there, besides what another one runs there now.

    Args:
        folder: the sweep's, with its ``.cache``.
        steps: of a trial.
        trials: their names.
    """
    there = read_grid(folder)
    before = () if there is None else there[0].trials
    if any(is_running(folder / name) for name in before):
        trials = list(dict.fromkeys([*before, *trials]))
    write_json(folder / _GRID, {"steps": steps, "trials": trials})


def forget_grid(folder: Path) -> None:
    """Of a folder in which a plan begins: take away what :func:`write_grid` left there."""
    (folder / _GRID).unlink(missing_ok=True)


def read_grid(folder: Path) -> tuple[StartMany, float] | None:
    """What :func:`write_grid` left, as a plan without rungs, and when; None where there is nothing of use."""
    try:
        asked_at = (folder / _GRID).stat().st_mtime
        asked = json.loads((folder / _GRID).read_bytes())
        return StartMany(fingerprint="", asked={}, resume_by="retrain", rungs=(), found={}, **asked), asked_at
    except (OSError, ValueError, TypeError):  # it is there again with the next command
        return None
