"""A worker's trials share a training step, and no number: whole trials, packed and as on a GPU."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch

from seedgrid.training.text import worker
from seedgrid.trials import interrupt
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

PARTS = ("train_loss", "gradient_norms", "evaluations")


@pytest.fixture(params=[False, True], ids=["packed", "as on a GPU"])
def static(request, monkeypatch) -> bool:
    """Whether batches are filled up to static shapes, on a CPU too, and computed in the buffers of recordings."""
    if request.param:
        monkeypatch.setattr(worker, "STATIC", {"cpu", "cuda"})
    worker.forget_step()
    yield request.param
    worker.forget_step()


@pytest.fixture
def run(tiny, settings_of, tmp_path, static):
    """Run a trial with the given overrides; returns all that it recorded of its numbers."""

    def ran(*overrides, sweep="sweep", status="completed"):
        settings = settings_of([*tiny, "recipe.epochs=1", "gradient_norms=2", f"sweep={tmp_path / sweep}", *overrides])
        assert run_trial(settings, prepare(settings)).status == status
        folder = tmp_path / sweep / f"init={settings.seed.init:03d},order={settings.seed.order:03d}"
        tables = [pq.read_table(folder / f"{name}.parquet").to_pydict() for name in PARTS]
        tables[-1].pop("seconds", None)
        return tables

    return ran


def test_trials_of_one_worker_have_the_numbers_of_trials_alone(run):
    seeds = ["seed.init=1", "seed.order=2"]
    alone = run(*seeds, sweep="alone")
    worker.forget_step()
    first, second = run(), run(*seeds)
    assert second == alone
    assert first != second


def test_a_trial_goes_on_with_a_step_that_served_others(run, monkeypatch):
    whole = run("seed.init=1", sweep="whole")
    asked = iter([False] * 4)
    with monkeypatch.context() as patched:
        patched.setattr(interrupt, "requested", lambda: next(asked, True))
        run("seed.init=1", "checkpoint.minutes=0", status="interrupted")
    run("seed.init=2")
    assert run("seed.init=1") == whole


def test_filled_batches_change_nothing_but_roundings(run, static, monkeypatch):
    losses, norms, evaluations = run("model.dropout=0")
    monkeypatch.setattr(worker, "STATIC", set() if static else {"cpu"})
    others = run("model.dropout=0", sweep="others")
    assert losses["learning_rate"] == others[0]["learning_rate"]
    assert losses["loss"] == pytest.approx(others[0]["loss"], rel=1e-4)
    assert norms["head"] == pytest.approx(others[1]["head"], rel=1e-2)
    assert evaluations["loss"] == pytest.approx(others[2]["loss"], rel=1e-4)


def test_a_worker_keeps_one_step_and_that_of_the_latest_configuration(tiny, settings_of, tmp_path, static):
    def step_of(*overrides):
        settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", *overrides])
        return worker.step_of(settings, prepare(settings), torch.device("cpu"))

    first = step_of()
    assert step_of("seed.init=3", "keep_best=false") is first
    assert first.capture == static
    assert step_of("recipe.weight_decay=0.5") is not first
    assert step_of() is not first  # its memory was given back


def test_after_a_failure_the_next_trial_has_a_step_of_its_own(run, monkeypatch):
    expected = run(sweep="first")
    with monkeypatch.context() as patched:
        patched.setattr(
            "seedgrid.training.text.model.module.dropout_state", lambda seed, step: 1 // 0 if step == 3 else step
        )
        run(sweep="failed", status="failed")
    assert not worker._steps
    assert run(sweep="second") == expected
