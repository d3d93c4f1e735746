"""The command line, and what a sweep of it left."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

GRID = ("seed.init=range(0,2)", "seed.order=range(0,2)")


@pytest.fixture(scope="session")
def start(repository, start_python) -> Callable[..., subprocess.Popen]:
    """Start ``seedgrid train`` with the given words."""

    def started(*words, env=None, **options):
        environment = {**os.environ, "GLUE_DIR": "", "CUDA_VISIBLE_DEVICES": "", "NO_COLOR": "1"} | (env or {})
        return start_python("-m", "seedgrid", "train", *words, cwd=repository, env=environment, **options)

    return started


@pytest.fixture(scope="session")
def command(start) -> Callable[..., tuple[int, str, str]]:
    """Run ``seedgrid train`` to its end; gives exit code, standard output and standard error."""

    def ran(*words, **options):
        process = start(*words, **options)
        output, errors = process.communicate(timeout=200)
        return process.returncode, output, errors

    return ran


@pytest.fixture(scope="session")
def reference(command, tiny, tmp_path_factory) -> Path:
    """A 2 x 2 grid, one trial after the other in one process; not to be changed."""
    sweep = tmp_path_factory.mktemp("reference") / "sweep"
    code, _, errors = command("-m", *tiny, *GRID, f"sweep={sweep}", "hydra/launcher=basic")
    assert code == 0, errors
    return sweep


@pytest.fixture(scope="session")
def numbers() -> Callable[[Path], dict]:
    """All losses, scores and logits of a sweep, by trial."""

    def read(sweep):
        found = {}
        for folder in sorted(sweep.glob("init=*")):
            with np.load(folder / "predictions.npz") as archive:
                logits = archive["logits"].tobytes()
            evaluations = pq.read_table(folder / "evaluations.parquet").drop_columns("seconds").to_pydict()
            found[folder.name] = (evaluations, pq.read_table(folder / "train_loss.parquet").to_pydict(), logits)
        return found

    return read


@pytest.fixture(scope="session")
def learnable(tiny_model, tmp_path_factory) -> list[str]:
    """Overrides of a trial of 18 steps whose scores differ between seeds, long before the end.

    The first of two words decides; the tiny model learns it at some time, or never.
    """
    folder = tmp_path_factory.mktemp("learnable")
    words = ["river", "stone", "cloud", "forest"]
    generator = np.random.default_rng(0)
    for name, examples in (("train", 96), ("dev", 60)):
        pairs = [generator.choice(4, 2, replace=False) for _ in range(examples)]
        rows = [f"{words[first]} {words[second]},{'ab'[first % 2]}" for first, second in pairs]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return [
        f"model.path={tiny_model}",
        "model.learning_rate=8e-3",
        "recipe.warmup=0",
        "task=csv",
        f"task.source.train={folder / 'train.csv'}",
        f"task.source.validation={folder / 'dev.csv'}",
        "task.source.text=text",
        "task.source.label=label",
        "task.metric=accuracy",
        "evaluation.per_epoch=3",
        "logger=none",
        "trainer=cpu",
        "trainer.precision=32-true",
        "keep_best=false",
    ]


@pytest.fixture(scope="session")
def full_trainings(command, learnable, tmp_path_factory) -> Path:
    """A 3 x 3 grid of ``learnable``, every trial trained in one go; not to be changed."""
    sweep = tmp_path_factory.mktemp("full_trainings") / "sweep"
    grid = ("seed.init=range(0,3)", "seed.order=range(0,3)")
    code, _, errors = command("-m", *learnable, *grid, f"sweep={sweep}", "hydra/launcher=basic")
    assert code == 0, errors
    return sweep
