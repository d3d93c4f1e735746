"""Trials that stop at a rung: what they keep, what they give up, and that going on changes no number."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from seedgrid.errors import InputError
from seedgrid.records.store import read_trial, trial_lock, trial_name
from seedgrid.scale import Scale
from seedgrid.seeds import Seeds
from seedgrid.trials import interrupt, rungs
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial
from seedgrid.trials.rungs import FILE, Rung, StartMany, rank, read_start_many, score_at

STEPS = 18
# What a record has besides its status, and nothing here reads.
RECORD = {"record_version": 1, "steps": 0, "seconds": 0, "error": None, "diverged_at": 0, "identity": {}}
RECORD |= {"config": {"task": {"metric": "accuracy"}}, "versions": {}, "train_examples": 0, "validation_examples": 0}


def write_plan(sweep: Path, stops: list[tuple[int, int]], trials: int = 1, resume_by: str = "checkpoint") -> StartMany:
    """A plan for trials that differ in the init seed, with rungs at (step, keep)."""
    sweep.mkdir(exist_ok=True)
    plan = StartMany(
        fingerprint="",
        asked={},
        steps=STEPS,
        resume_by=resume_by,
        rungs=tuple(Rung(at=step / STEPS, step=step, keep=keep) for step, keep in stops),
        trials=tuple(trial_name(Seeds(init=init)) for init in range(trials)),
        found={},
    )
    plan.write(sweep)
    return plan


def numbers(folder):
    with np.load(folder / "predictions.npz") as archive:
        logits = archive["logits"].tobytes()
    evaluations = pq.read_table(folder / "evaluations.parquet").drop_columns("seconds").to_pydict()
    return evaluations, pq.read_table(folder / "train_loss.parquet").to_pydict(), logits


def checkpoints(sweep):
    return {path.parent.name for path in sweep.glob("init=*/checkpoint")}


@pytest.fixture
def run(tiny, settings_of, tmp_path):
    """Run a trial, to a rung if one is given; returns its status."""

    def ran(*overrides, sweep="sweep", rung=None):
        settings = settings_of([*tiny, f"sweep={tmp_path / sweep}", f"rung={rung or 'null'}", *overrides])
        outcome = run_trial(settings, prepare(settings))
        assert outcome.error is None
        return outcome.status

    return ran


# ------------------------------------------------------------------------------------------------------- going on


def test_stopped_twice_and_continued_a_trial_has_the_numbers_of_one_that_ran_through(run, tmp_path):
    sweep = tmp_path / "sweep"
    trial = sweep / "init=000,order=000"
    write_plan(sweep, [(4, 1), (10, 1)])
    assert run(rung=4) == "stopped"
    assert read_trial(trial)["status"] == "stopped"
    assert pq.read_metadata(trial / "train_loss.parquet").num_rows == 4
    plan = read_start_many(sweep)
    decision = rungs.Decision(step=4, scores={}, ended={}, kept=plan.trials, cost=0, found=0)
    plan.model_copy(update={"decisions": (decision,)}).write(sweep)
    assert run(rung=10) == "stopped"
    assert pq.read_table(trial / "evaluations.parquet")["step"].to_pylist() == [0, 2, 4, 6, 8, 10]
    assert run() == "completed"
    assert not checkpoints(sweep)
    assert run(sweep="through") == "completed"
    assert numbers(trial) == numbers(tmp_path / "through" / trial.name)


def test_at_its_rung_already_a_trial_is_left_as_it_is(run, tmp_path):
    write_plan(tmp_path / "sweep", [(4, 1)])
    assert run(rung=4) == "stopped"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").glob("init=*/**/*")}
    assert run(rung=4) == "stopped"
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_trial_that_was_interrupted_beyond_the_rung_stops_there_without_a_step(run, tmp_path, monkeypatch):
    sweep = tmp_path / "sweep"
    trial = sweep / "init=000,order=000"
    asked = iter([False] * 8 + [True] * 2)  # once before the trial, then after each step: so after the eighth
    with monkeypatch.context() as patched:
        patched.setattr(interrupt, "requested", lambda: next(asked))
        assert run() == "interrupted"
    assert pq.read_metadata(trial / "train_loss.parquet").num_rows == 8
    write_plan(sweep, [(4, 1)])
    assert run(rung=4) == "stopped"
    assert pq.read_metadata(trial / "train_loss.parquet").num_rows == 8
    assert checkpoints(sweep) == {trial.name}


def test_a_rung_that_no_plan_has_is_refused(tiny, settings_of, tmp_path):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "rung=5"])
    prepared = prepare(settings)
    for stops in ([], [(4, 1)]):
        if stops:
            write_plan(tmp_path / "sweep", stops)
        with pytest.raises(InputError, match=r"rung=5: .*start_many\.json has no rung at this step; leave this key"):
            run_trial(settings, prepared)
    assert not list((tmp_path / "sweep").glob("init=*"))


# -------------------------------------------------------------------------------------------------------- the disk


def record(sweep: Path, init: int, scores: list[float], status: str = "stopped") -> Path:
    """A trial's record by hand, evaluated after every second step, with a checkpoint."""
    trial = sweep / trial_name(Seeds(init=init))
    (trial / "checkpoint").mkdir(parents=True)
    steps = range(0, 2 * len(scores), 2)
    pd.DataFrame({"step": list(steps), "score": scores}).to_parquet(trial / "evaluations.parquet", index=False)
    (trial / "trial.json").write_text(json.dumps(RECORD | {"status": status}))
    return trial


def leave(sweep: Path, init: int, score: float) -> None:
    trial = sweep / trial_name(Seeds(init=init))
    with rungs.leaving_at_rung(trial, 4, score) as goes_on:
        (trial / "checkpoint" if goes_on else trial).mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame({"step": [0, 2, 4], "score": [1.0, score, score]})
        frame.to_parquet(trial / "evaluations.parquet", index=False)
        (trial / "trial.json").write_text(json.dumps(RECORD | {"status": "stopped"}))


def test_only_the_best_that_came_so_far_keep_their_checkpoints(tmp_path):
    sweep = tmp_path / "sweep"
    names = write_plan(sweep, [(4, 2)], trials=6).trials
    (sweep / ".cache" / "locks").mkdir(parents=True)
    for init, score, kept in (
        (3, 0.5, {3}),
        (5, 0.4, {3, 5}),
        (1, 0.6, {3, 1}),
        (0, 0.3, {3, 1}),
        (2, 0.5, {2, 1}),  # equal to number 3, but drawn before it
        (4, 0.5, {2, 1}),  # equal, and drawn after it
    ):
        leave(sweep, init, score)
        assert checkpoints(sweep) == {names[position] for position in kept}


def test_trained_again_later_no_trial_keeps_a_checkpoint(tmp_path):
    sweep = tmp_path / "sweep"
    write_plan(sweep, [(4, 2)], trials=3, resume_by="retrain")
    (sweep / ".cache" / "locks").mkdir(parents=True)
    for init in range(3):
        leave(sweep, init, 0.5)
        assert not checkpoints(sweep)


def test_what_another_process_trains_and_what_is_no_part_of_the_plan_keeps_its_checkpoint(tmp_path):
    sweep = tmp_path / "sweep"
    names = write_plan(sweep, [(4, 1)], trials=4).trials
    held, outside = record(sweep, 0, [0.5, 0.5, 0.5]), record(sweep, 7, [0.1, 0.1, 0.1])
    record(sweep, 1, [0.2, 0.2, 0.2])
    running = record(sweep, 2, [0.3, 0.3, 0.3], status="running")
    with trial_lock(held):
        leave(sweep, 3, 0.9)
    assert checkpoints(sweep) == {held.name, outside.name, running.name, names[3]}


# --------------------------------------------------------------------------------------------- scores and their order


def test_scores_beyond_the_rung_or_before_the_start_do_not_count(tmp_path):
    trial = record(tmp_path, 0, [0.9, 0.5, 0.6, 0.7, 0.8])
    assert [score_at(trial, step) for step in (2, 4, 6, 8, 10)] == [0.5, 0.6, 0.7, 0.8, None]


@pytest.mark.parametrize(("status", "score"), [("running", None), ("failed", None), ("completed", 0.6)])
def test_only_a_trial_that_ended_or_stopped_has_come_to_a_rung(tmp_path, status, score):
    assert score_at(record(tmp_path, 0, [0.5, 0.5, 0.6], status), 4) == score
    assert score_at(tmp_path / trial_name(Seeds(init=1)), 4) is None


def test_a_trial_whose_loss_was_no_number_before_the_rung_has_none_and_after_it_its_own(tmp_path):
    trial = record(tmp_path, 0, [0.5, 0.5, 0.6], "nonfinite")
    assert score_at(trial, 4) == 0.6
    assert math.isnan(score_at(trial, 6))


def test_a_damaged_record_is_named(tmp_path):
    trial = record(tmp_path, 0, [0.5, 0.5])
    (trial / "evaluations.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"evaluations\.parquet: damaged; redo=true"):
        score_at(trial, 2)


def test_ranking_puts_the_best_first_equals_in_their_order_and_leaves_out_what_has_no_score():
    scores = np.array([0.5, math.nan, 0.7, 0.5, 0.9, math.nan, 0.7])
    assert rank(scores, Scale("accuracy")).tolist() == [4, 2, 6, 0, 3]
    assert rank(1 - scores, Scale("error", "min")).tolist() == [4, 2, 6, 0, 3]
    assert rank(np.array([math.nan]), Scale("accuracy")).tolist() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"version": 2}', b"\xff"])
def test_a_damaged_plan_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_start_many(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / FILE}: damaged")
    assert "move it away" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = write_plan(tmp_path / "sweep", [(4, 3), (8, 1)], trials=5)
    assert read_start_many(tmp_path / "sweep") == plan
    assert read_start_many(tmp_path) is None
