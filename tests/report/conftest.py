"""Sweeps made of arrays, without training or records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seedgrid.records.store import Sweep, with_best
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.scale import Scale

CONFIG = {
    "task": {"name": "mrpc", "metric": "acc_and_f1"},
    "model": {"name": "bert_tiny"},
    "recipe": {"name": "default", "epochs": 3.0, "batch_size": 16, "learning_rate": 2e-5},
}


def make_sweep(
    curves: np.ndarray,
    seeds: Sequence[tuple[int, ...]],
    *,
    name: str = "study",
    task: str = "grammar",
    metric: str = "accuracy",
    diverged_at: float | None = 0.5,
    direction: str = "max",
    limits: tuple[float | None, float | None] | None = None,
    status: str | Sequence[str] = "completed",
    epochs: Sequence[float] | None = None,
    **fields,
) -> Sweep:
    """A sweep of ``curves`` (trials x evaluations; NaN: no such evaluation) by (init, order[, dropout])."""
    curves = np.asarray(curves, dtype=float)
    trials, evaluations = curves.shape
    epochs = 3 * np.arange(1, evaluations + 1) / evaluations if epochs is None else np.asarray(epochs, dtype=float)
    columns = np.array([(*seed, 0)[:3] for seed in seeds], dtype=int).reshape(trials, 3)
    table = pd.DataFrame(columns, columns=["init", "order", "dropout"])
    row, column = np.nonzero(np.isfinite(curves))
    each = table.iloc[row].reset_index(drop=True)
    each = each.assign(step=10 * (column + 1), epoch=epochs[column], score=curves[row, column], seconds=0.1)
    table = table.assign(status=status, steps=10 * evaluations, seconds=1.0, error=None, folder="")
    fields = {"config": CONFIG, "majority": 0.5, "train_examples": 480, "validation_examples": 240, **fields}
    return Sweep(
        Path(name),
        *with_best(table, each, diverged_at, Scale.of(metric, direction, limits)),
        name=name,
        task=task,
        metric=metric,
        direction=direction,
        limits=limits,
        diverged_at=diverged_at,
        **fields,
    )


def grid_seeds(*sizes: int) -> list[tuple[int, ...]]:
    """Seeds of a full grid, in the order of its cells."""
    return [tuple(map(int, cell)) for cell in np.ndindex(*sizes)]


@pytest.fixture(scope="session")
def study_of() -> Callable[..., FinishedTrials]:
    """Finished trials of ``make_sweep``."""
    return lambda *arguments, **options: finished_trials(make_sweep(*arguments, **options))


@pytest.fixture(scope="session")
def grid_of(study_of) -> Callable[..., FinishedTrials]:
    """A grid of random curves that rise to scores on a lattice of 1/200: ``grid_of(inits, orders, ...)``."""

    def made(*sizes: int, evaluations: int = 6, seed: int = 0, diverged: float = 0.2, **options) -> FinishedTrials:
        generator = np.random.default_rng(seed)
        effects = sum(
            generator.normal(0, 0.03, size).reshape([-1 if k == axis else 1 for k in range(len(sizes))])
            for axis, size in enumerate(sizes)
        )
        final = 0.8 + effects + generator.normal(0, 0.03, sizes)
        final[generator.random(sizes) < diverged] = 0.5
        rise = 1 - np.exp(-np.arange(1, evaluations + 1) / evaluations * 4)
        curves = 0.5 + (final.reshape(-1, 1) - 0.5) * rise + generator.normal(0, 0.01, (final.size, evaluations))
        curves[final.ravel() == 0.5] = 0.5
        return study_of(np.round(200 * curves) / 200, grid_seeds(*sizes), **options)

    return made
