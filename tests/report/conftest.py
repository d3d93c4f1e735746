"""Sweeps made of arrays, and records as trials write them, without training."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir

from seedgrid.evaluation.callback import Evaluation
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.seeds import Seeds
from seedgrid.trials.record import TrialRecord
from seedgrid.trials.store import Sweep, trial_name, with_best

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
        *with_best(table, each, diverged_at),
        name=name,
        task=task,
        metric=metric,
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


LABELS = np.arange(40) % 2


@pytest.fixture(scope="session")
def write_sweep():
    """A grid's records, with a mean and any changes to the settings that its trials carry."""

    def written(folder, inits=5, orders=5, mean=0.8, seed=0, identity=None, status=None, norms=None, **header):
        generator = np.random.default_rng(seed)
        metric, rate = header.pop("metric", "accuracy"), header.pop("learning_rate", 1e-4)
        for init, order in np.ndindex(inits, orders):
            name = trial_name(Seeds(init=init, order=order))
            record = TrialRecord(
                folder / name,
                {
                    "seeds": {"init": init, "order": order, "dropout": 0},
                    "config": {
                        "task": {"name": header.get("task", "grammar"), "metric": metric},
                        "model": {"name": "tiny"},
                        "recipe": {"name": folder.name, "learning_rate": rate},
                    },
                    "identity": {"recipe.learning_rate": rate, "data.validation": "c0ffee"} | (identity or {}),
                    "train_examples": 80,
                    "validation_examples": 40,
                    "steps": 30,
                    "diverged_at": 0.5,
                },
                LABELS,
            )
            final = round(float(np.clip(generator.normal(mean, 0.03), 0, 1)), 3)
            for step, score in ((10, 0.5), (20, round(final - 0.1, 3)), (30, final)):
                logits = torch.zeros(40, 2)
                record.add_evaluation(Evaluation(step, step / 10, 0.6, {metric: score}, score, 0.1, logits))
            record.gradient_norms = norms(init, order) if norms else []
            record.write((status or {}).get((init, order), "completed"), seconds=120.0)
        return folder

    return written


@pytest.fixture
def entry(repository):
    """The composed config of a command's overrides."""

    def composed(name, *overrides):
        with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
            return compose(name, overrides=[str(word) for word in overrides])

    return composed


@pytest.fixture(scope="session")
def run_script(repository):
    def ran(script, *words, cwd):
        environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100"}
        return subprocess.run(
            [sys.executable, str(repository / script), *map(str, words)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return ran
