"""Losses that come over late leave the record that they would have left at once."""

from __future__ import annotations

import json
from itertools import count

import numpy as np
import pyarrow.parquet as pq
import pytest

from seedgrid.training.text.model.module import FineTuning
from seedgrid.trials import interrupt, losses
from seedgrid.trials.best_model import FOLDER, read_facts
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

OVERRIDES = ("recipe.epochs=2", "evaluation.per_epoch=1", "logger=csv", "gradient_norms=2")  # evaluated after 0, 6, 12


@pytest.fixture
def run(tiny, settings_of, tmp_path, monkeypatch):
    """Run a trial whose losses come over so many at once, and to which something happens at a step."""

    def ran(at_once, nonfinite=None, failing=None, asked=None):
        settings = settings_of([*tiny, *OVERRIDES, f"sweep={tmp_path / str(at_once)}"])
        real = FineTuning.training_step
        answers = count(1 if asked is None else -asked)  # the first before the trial, then one after each step

        def training_step(module, batch, batch_idx):
            step = module.start + batch_idx + 1
            if step == failing:
                raise RuntimeError("no memory left")
            outputs = real(module, batch, batch_idx)
            return outputs | {"loss": outputs["loss"] * float("nan")} if step == nonfinite else outputs

        with monkeypatch.context() as patched:
            patched.setitem(losses.AT_ONCE, "cpu", at_once)
            patched.setattr(FineTuning, "training_step", training_step)
            patched.setattr(interrupt, "requested", lambda: asked is not None and next(answers) >= 0)
            return run_trial(settings, prepare(settings)).status

    return ran


def record(sweep):
    """All that a trial left, but how long it took and when."""
    folder = sweep / "init=000,order=000"
    files = {name: (folder / name).read_bytes() for name in ("train_loss.parquet", "gradient_norms.parquet")}
    evaluations = pq.read_table(folder / "evaluations.parquet").drop_columns("seconds").to_pydict()
    with np.load(folder / "predictions.npz") as archive:
        predictions = {name: archive[name].tobytes() for name in archive}
    trial = json.loads((folder / "trial.json").read_text())
    trial = {name: trial[name] for name in ("status", "step", "error")}
    names = sorted(path.name for path in folder.rglob("*"))
    curves = (folder / "metrics.csv").read_text()
    return trial, files, evaluations, predictions, curves, names, read_facts(sweep / FOLDER)


@pytest.mark.parametrize(
    ("events", "status", "rows"),
    [
        ({}, "completed", 12),
        ({"nonfinite": 9}, "nonfinite", 9),  # found at the next evaluation, which does not take place
        ({"nonfinite": 6}, "nonfinite", 6),  # just before one
        ({"nonfinite": 8, "failing": 10}, "nonfinite", 8),  # the failing step would not have been
        ({"nonfinite": 8, "asked": 10}, "nonfinite", 8),  # nor would there be anything to go on with
        ({"failing": 10}, "failed", 9),
        ({"asked": 9}, "interrupted", 9),
    ],
)
def test_whenever_losses_come_over_the_record_is_the_same(run, tmp_path, events, status, rows):
    for at_once in (1, 4, 1000):
        assert run(at_once, **events) == status
    at_once, soon, late = (record(tmp_path / name) for name in ("1", "4", "1000"))
    assert at_once[0]["step"] == rows
    assert pq.read_metadata(tmp_path / "1" / "init=000,order=000" / "train_loss.parquet").num_rows == rows
    assert soon == at_once
    assert late == at_once


def test_interrupted_with_losses_on_their_way_a_trial_goes_on_to_the_record_of_one_that_ran_through(run, tmp_path):
    assert run(1) == "completed"
    assert run(1000, asked=9) == "interrupted"
    assert run(1000) == "completed"
    assert record(tmp_path / "1000") == record(tmp_path / "1")
