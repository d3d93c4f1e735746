"""Trials that are really killed, again and again, end with the numbers of a trial that was left alone."""

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from seedgrid.trials.rungs import Rung, StartMany

STAGES = ("before", "half", "whole", "after")


class Trials:
    """Starts trials, each in a process of its own."""

    def __init__(self, start_python) -> None:
        self.start_python = start_python

    def start(self, overrides, die=None, at_once=5):
        """A process that runs the trial, whose losses come over so many at once."""
        job = json.dumps({"overrides": overrides, "die": die, "at_once": at_once})
        return self.start_python(str(Path(__file__).with_name("dying_trial.py")), job)

    def run(self, overrides, die=None, at_once=5) -> int:
        """Its exit status; negative: the signal that ended it."""
        process = self.start(overrides, die, at_once)
        process.communicate()
        return process.returncode


@pytest.fixture(scope="module")
def trials(start_python):
    return Trials(start_python)


@pytest.fixture(scope="module")
def overrides(tiny):
    return [*tiny, "checkpoint.minutes=0", "gradient_norms=1"]


@pytest.fixture(scope="module")
def undisturbed(trials, overrides, tmp_path_factory):
    sweep = tmp_path_factory.mktemp("undisturbed")
    assert trials.run([*overrides, f"sweep={sweep}"], at_once=1) == 0
    return sweep


def numbers(sweep):
    folder = sweep / "init=000,order=000"
    assert json.loads((folder / "trial.json").read_text())["status"] == "completed"
    with np.load(folder / "predictions.npz") as archive:
        logits = archive["logits"].tobytes()
    evaluations = pq.read_table(folder / "evaluations.parquet").drop_columns("seconds").to_pydict()
    steps = [pq.read_table(folder / f"{name}.parquet").to_pydict() for name in ("train_loss", "gradient_norms")]
    return evaluations, *steps, logits


def test_killed_at_random_moments_a_trial_ends_with_the_same_numbers(trials, overrides, undisturbed, tmp_path):
    chance = random.Random(0)
    kills = 0
    while kills < 12:
        sweep = tmp_path / f"sweep-{kills}"
        exit_status = -signal.SIGKILL
        while exit_status == -signal.SIGKILL:
            process = trials.start([*overrides, f"sweep={sweep}"])
            time.sleep(chance.uniform(0.1, 1.5))
            process.kill()
            exit_status = process.wait()
            kills += exit_status == -signal.SIGKILL
        assert exit_status == 0
        assert numbers(sweep) == numbers(undisturbed)


def test_killed_while_any_file_is_written_a_trial_ends_with_the_same_numbers(trials, overrides, undisturbed, tmp_path):
    chance = random.Random(1)
    for stage in STAGES:
        for _ in range(3):
            number = chance.randrange(1, 60)
            sweep = tmp_path / f"{stage}-{number}"
            assert trials.run([*overrides, f"sweep={sweep}"], die=[number, stage]) == -signal.SIGKILL
            assert trials.run([*overrides, f"sweep={sweep}"]) == 0
            assert numbers(sweep) == numbers(undisturbed)
            assert not list((sweep / "init=000,order=000").glob("checkpoint*"))


def test_killed_in_bf16_too_a_trial_ends_with_the_same_numbers(trials, overrides, undisturbed, tmp_path):
    words = [*overrides, "trainer.precision=bf16-mixed"]
    assert trials.run([*words, f"sweep={tmp_path / 'undisturbed'}"]) == 0
    sweep = tmp_path / "killed"
    for number, stage in ((14, "after"), (20, "half")):
        assert trials.run([*words, f"sweep={sweep}"], die=[number, stage]) == -signal.SIGKILL
    assert trials.run([*words, f"sweep={sweep}"]) == 0
    assert numbers(sweep) == numbers(tmp_path / "undisturbed") != numbers(undisturbed)


@pytest.mark.parametrize(("number", "stage"), [(19, "whole"), (19, "after"), (21, "half"), (24, "after")])
def test_killed_while_it_stops_at_a_rung_a_trial_goes_on_to_the_same_numbers(
    trials, overrides, undisturbed, tmp_path, number, stage
):
    # 18 files up to the evaluation at step 4: the record at the start and after three evaluations, in two of them with
    # gradient norms. The checkpoint is number 19, the record of a stopped trial 20 to 24.
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    StartMany(
        fingerprint="",
        asked={},
        steps=18,
        resume_by="checkpoint",
        rungs=(Rung(at=0.2, step=4, keep=1),),
        trials=("init=000,order=000",),
        found={},
    ).write(sweep)
    stopping = [*overrides, "checkpoint.minutes=10", "keep_best=false", f"sweep={sweep}"]
    assert trials.run([*stopping, "rung=4"], die=[number, stage]) == -signal.SIGKILL
    assert trials.run([*stopping, "rung=4"]) == 0
    trial = sweep / "init=000,order=000"
    assert json.loads((trial / "trial.json").read_text())["status"] == "stopped"
    assert (trial / "checkpoint" / "state.pt").exists()
    assert trials.run(stopping) == 0
    assert numbers(sweep) == numbers(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_asked_to_stop_a_trial_writes_its_checkpoint_and_goes_on_from_it(
    trials, overrides, undisturbed, tmp_path, number
):
    sweep = tmp_path / "sweep"
    patient = [*overrides, "checkpoint.minutes=10", f"sweep={sweep}"]
    process = trials.start(patient)
    trial = sweep / "init=000,order=000"
    deadline = time.monotonic() + 60
    while not (trial / "evaluations.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, number)
    assert process.wait() == 0
    assert json.loads((trial / "trial.json").read_text())["status"] == "running"
    assert (trial / "checkpoint" / "state.pt").exists()
    assert trials.run(patient) == 0
    assert numbers(sweep) == numbers(undisturbed)


def test_a_damaged_checkpoint_is_named_and_the_trial_is_run_again_on_request(trials, overrides, undisturbed, tmp_path):
    sweep = tmp_path / "sweep"
    assert trials.run([*overrides, f"sweep={sweep}"], die=[30, "after"]) == -signal.SIGKILL
    state = sweep / "init=000,order=000" / "checkpoint" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    assert trials.run([*overrides, f"sweep={sweep}"]) == 1
    assert trials.run([*overrides, f"sweep={sweep}", "redo=true"]) == 0
    assert numbers(sweep) == numbers(undisturbed)
