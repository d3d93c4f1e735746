"""A trial's record as rows, one a training step: what every logger is given, while it trains or later."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from seedgrid.errors import InputError
from seedgrid.records.store import NORMS, check_complete, read_table

_NO_COLUMNS = ("step", "epoch", "seconds")
Row = tuple[int, dict[str, float]]


def merge_rows(
    losses: Iterable[tuple[int, float, float]],
    gradient_norms: Iterable[dict[str, float]],
    evaluations: Iterable[dict[str, float]],
) -> list[Row]:
    """All that is known of each step, by step."""
    rows: dict[int, dict[str, float]] = {}
    for step, loss, learning_rate in losses:
        values = {"train/loss": loss, "train/learning_rate": learning_rate}
        rows[step] = {name: value for name, value in values.items() if value is not None}  # not every training has both
    for row in gradient_norms:
        norms = {f"gradient_norm/{name}": value for name, value in row.items() if name != "step"}
        rows.setdefault(int(row["step"]), {}).update(norms)
    for row in evaluations:
        # Without its seconds, which would differ where a trial that goes on comes by this step again.
        columns = {
            f"validation/{name}": value for name, value in row.items() if name not in _NO_COLUMNS and value is not None
        }
        rows.setdefault(int(row["step"]), {}).update(columns, epoch=row["epoch"])
    return sorted(rows.items())


def read_rows(folder: Path, trial: dict[str, Any]) -> list[Row]:
    """The rows that a trial's files hold, also while it runs.

    Args:
        folder: the trial's.
        trial: its ``trial.json``, read before: it is written last, so up to its step the files lack nothing.

    Raises:
        InputError: a file is missing or damaged, or the record cannot be.
    """
    tables = {}
    for name in ("train_loss.parquet", NORMS, "evaluations.parquet"):
        try:
            tables[name] = read_table(folder / name).to_pylist()
        except FileNotFoundError:
            if name != NORMS:
                raise InputError(f"{folder / name}: missing; redo=true runs the trial again") from None
            tables[name] = []
        except (OSError, pa.ArrowException):
            raise InputError(f"{folder / name}: damaged; redo=true runs the trial again") from None
    losses, gradient_norms, evaluations = tables.values()
    check_complete(folder, trial, [row["step"] for row in evaluations])
    rows = merge_rows([(row["step"], row["loss"], row["learning_rate"]) for row in losses], gradient_norms, evaluations)
    last = trial.get("step", trial["steps"])
    return [(step, values) for step, values in rows if step <= last]
