"""W&B holds what the records hold, once: trials that W&B's own client shows live, or that are sent later.

The server is a stand-in (tests/wandb_server.py), the client and the trials are real.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import wandb

from seedgrid.records.record import TrialRecord
from seedgrid.records.store import read_sweep, trial_lock
from seedgrid.shell import command
from seedgrid.sweep import upload as upload_module
from seedgrid.sweep.upload import upload
from seedgrid.trials import interrupt, wandb_run
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial
from seedgrid.trials.rungs import Rung, StartMany
from seedgrid.trials.wandb_mode import run_lock, upload_hint

SHORT = ["logger=wandb", "logger.tags=[mine]", "recipe.epochs=1", "gradient_norms=5", "keep_best=false"]


@pytest.fixture
def run(tiny, settings_of, tmp_path):
    """Run a trial of six steps; returns its folder."""

    def ran(*overrides, sweep="my-sweep"):
        settings = settings_of([*tiny, *SHORT, f"sweep={tmp_path / sweep}", *overrides])
        run_trial(settings, prepare(settings))
        return tmp_path / sweep / f"init={settings.seed.init:03d},order={settings.seed.order:03d}"

    return ran


@pytest.fixture
def logged_out(monkeypatch):
    """A context in which the user is not logged in."""

    @contextmanager
    def entered():
        with monkeypatch.context() as patch:
            patch.delenv("WANDB_API_KEY")
            yield

    return entered


@pytest.fixture
def send(wandb_server, entry, monkeypatch, capsys):
    """Call ``seedgrid upload``; returns what it printed, after its exit code."""
    monkeypatch.setattr("seedgrid.sweep.upload._PATIENCE", 3)

    def sent(*words):
        capsys.readouterr()
        try:
            upload(entry("upload", *words))
        except SystemExit as left:
            code = left.code
        else:
            code = 0
        return code, *capsys.readouterr()

    return sent


@pytest.fixture
def well(wandb_server):
    """The server, which is well again afterwards."""
    yield wandb_server
    wandb_server.refuse, wandb_server.delay, wandb_server.lines_left = 0, 0.0, None


def recorded(folder):
    """What W&B is to show of a trial: its rows, and what sums them up."""
    trial = json.loads((folder / "trial.json").read_text())
    rows = {}
    for file, prefix in (("train_loss", "train"), ("gradient_norms", "gradient_norm"), ("evaluations", "validation")):
        table = pq.read_table(folder / f"{file}.parquet") if (folder / f"{file}.parquet").exists() else None
        for row in table.to_pylist() if table else ():
            step = row.pop("step")
            row.pop("seconds", None)
            kept = rows.setdefault(step, {"_step": step, "trainer/global_step": step})
            if "epoch" in row:
                kept["epoch"] = row.pop("epoch")
            kept.update({f"{prefix}/{name}": value for name, value in row.items()})
    sweep = read_sweep(folder.parent).trials.set_index("folder").loc[str(folder)]
    return trial, [rows[step] for step in sorted(rows)], sweep


def check(server, folder, state, status):
    """W&B's run is what the record says, a row at a time."""
    trial, rows, found = recorded(folder)
    run = server.run(trial["run_id"])
    assert [comparable(row) for row in run.rows] == [comparable(row) for row in rows]
    assert run.state == state
    assert run.settings == {**trial["seeds"], **trial["config"]}
    assert (run.entity, run.project, run.group, run.job_type) == ("me", "seedgrid", folder.parent.name, "trial")
    assert run.display_name == f"{folder.parent.name} {folder.name}"
    assert run.tags == ["grammar", "minilm", "default", "mine"]
    assert (run.sweep, run.notes) == (None, None)
    assert run.summary["status"] == status
    best = None if found["best_found"] != found["best_found"] else found["best_found"]
    assert run.summary["best_found"] == best
    assert run.summary["diverged"] == int(found["diverged"])
    for key in ("validation/score", "train/loss", "gradient_norm/head"):
        last = [row[key] for row in rows if key in row]
        assert comparable(run.summary.get(key)) == comparable(last[-1] if last else None)
    return run


def comparable(value):
    """No number is equal to itself, but its name is."""
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items()}
    return str(value) if value != value else value


def test_a_trial_is_shown_live_as_its_record_says_whatever_other_runs_the_environment_names(
    wandb_server, run, monkeypatch
):
    strange = {"SWEEP_ID": "s1", "RUN_ID": "one", "RUN_GROUP": "g", "NAME": "n", "RESUME": "must", "TAGS": "t"}
    strange |= {
        "NOTES": "x",
        "DIR": "/nowhere",
        "JOB_TYPE": "j",
        "SERVICE": "3-1-tcp-localhost-1",
        "FORK_FROM": "a?_step=1",
    }
    for name, value in strange.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    first, second = run(), run("seed.init=1")
    for folder in (first, second):
        stored = check(wandb_server, folder, "finished", "completed")
        assert stored.starts == 1
        axes = {item.get("1") or item.get("2"): item.get("5") for item in stored.config["_wandb"]["value"]["m"]}
        assert axes["validation/*"] and axes["train/*"] and axes["gradient_norm/*"]
    assert upload_hint(first.parent) is None
    assert not (first.parent / "wandb").exists()


# --------------------------------------------------------------------------------------------------------- sent later


def test_trials_of_a_user_without_a_login_are_sent_from_their_records_once_however_often_it_is_asked(
    well, run, logged_out, send
):
    with logged_out():
        folders = [run(), run("seed.init=1"), run("seed.init=2")]
        sweep = folders[0].parent
        sends = command("upload", sweep=str(sweep))
        hint = f"W&B has none of 3 trials; {sends} sends what it lacks (once you are logged in: "
        assert upload_hint(sweep).startswith(hint)
        assert send(f"sweep={sweep}")[0] == "error: no W&B account: log in with `wandb login`"
        assert send(f"sweep={sweep}-other")[0].endswith("no trial there yet; start a sweep, or name another folder")
    assert not (sweep / "wandb").exists()
    assert not any(run.group == "my-sweep" and run.name in names(folders) for run in well.runs.values())
    code, out, err = send(f"sweep={sweep}")
    assert (code, err) == (0, "")
    assert out == f"{sweep}: 3 trials, 3 sent\n  {well.address}/me/seedgrid/groups/my-sweep\n"
    for folder in folders:
        assert check(well, folder, "finished", "completed").starts == 1
    assert upload_hint(sweep) is None
    asked = len(well.requests)
    assert send(f"sweep={sweep}") == (0, f"{sweep}: 3 trials, 3 there already\n", "")
    assert len(well.requests) == asked
    # Without its notes, the server is asked.
    shutil.rmtree(sweep / ".cache" / "wandb")
    assert send(f"sweep={sweep}")[1].startswith(f"{sweep}: 3 trials, 3 sent")
    for folder in folders:
        check(well, folder, "finished", "completed")


def names(folders):
    return [json.loads((folder / "trial.json").read_text())["run_id"] for folder in folders]


def test_a_sweep_that_was_renamed_keeps_its_runs_and_a_trial_that_is_run_again_gets_a_new_one(
    well, run, logged_out, send, tmp_path
):
    with logged_out():
        old = run()
    assert send(f"sweep={old.parent}")[0] == 0
    runs = len(well.runs)
    old.parent.rename(tmp_path / "renamed")
    folder = tmp_path / "renamed" / old.name
    assert upload_hint(folder.parent).startswith("W&B has none of 1 trials")
    assert send(f"sweep={folder.parent}")[0] == 0
    assert len(well.runs) == runs
    first = check(well, folder, "finished", "completed")
    shutil.rmtree(folder)
    assert run(sweep="renamed") == folder
    assert len(well.runs) == runs + 1
    assert check(well, folder, "finished", "completed") is not first
    assert (len(first.rows), first.starts) == (7, 2)


@pytest.mark.parametrize("lines", [0, 4])
def test_an_upload_that_breaks_off_goes_on_where_the_server_says_that_it_ended(well, run, logged_out, send, lines):
    with logged_out():
        folder = run()
    well.lines_left = lines
    code, out, err = send(f"sweep={folder.parent}")
    assert code == 1
    assert out.startswith(f"{folder.parent}: 1 trial, 1 not sent\n")
    assert "W&B: TimeoutError" in err and err.endswith("  the same command goes on where this one stopped\n")
    well.refuse, well.lines_left = 0, None
    stored = well.run(*names([folder]))
    assert (len(stored.rows), stored.state) == (lines, "running")
    assert send(f"sweep={folder.parent}")[0] == 0
    check(well, folder, "finished", "completed")


def test_a_run_that_the_server_refuses_keeps_no_other_from_being_sent(well, run, logged_out, send, monkeypatch):
    with logged_out():
        refused, other = run(), run("seed.init=1")
    begin = wandb_run.WandbRun.__init__

    def refuse(self, folder, *given, **named):
        if folder == refused:
            raise wandb.errors.CommError("it was deleted")
        begin(self, folder, *given, **named)

    monkeypatch.setattr(wandb_run.WandbRun, "__init__", refuse)
    monkeypatch.setattr(upload_module, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))  # the refused one first
    code, out, err = send(f"sweep={other.parent}")
    assert (code, out.splitlines()[0]) == (1, f"{other.parent}: 2 trials, 1 sent, 1 not sent")
    assert err.startswith("  W&B: CommError: it was deleted\n")
    check(well, other, "finished", "completed")


def test_a_server_that_counts_rows_late_has_not_failed_and_is_asked_again(
    well, wandb_stand_in, run, send, monkeypatch, capsys
):
    asked = wandb_stand_in.StoredRun.asked
    with monkeypatch.context() as patch:
        patch.setattr(wandb_stand_in.StoredRun, "asked", lambda stored: asked(stored) | {"historyLineCount": 0})
        folder = run()
    assert capsys.readouterr().err == ""
    assert upload_hint(folder.parent).startswith("W&B has none of 1 trials")
    assert send(f"sweep={folder.parent}")[0] == 0
    check(well, folder, "finished", "completed")


# ------------------------------------------------------------------------------------------------- trials that go on


def test_an_interrupted_trial_is_preempted_and_goes_on_in_its_run(well, run, monkeypatch, logged_out, send):
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, "requested", stop_after(3, patch))
        folder = run()
    stored = check(well, folder, "preempted", "interrupted")
    assert [row["_step"] for row in stored.rows] == [0, 1, 2, 3]
    assert upload_hint(folder.parent) is None
    # It goes on where nobody is logged in, and W&B gets the rest later; the first part stays as it was.
    with logged_out():
        assert run() == folder
    assert len(stored.rows) == 4
    assert send(f"sweep={folder.parent}")[0] == 0
    assert check(well, folder, "finished", "completed").starts == 2


def stop_after(step, patch):
    """An answer to whether the process was asked to stop: yes, once so many steps are done."""
    done, add_step = [], TrialRecord.add_step

    def note(record, number, *row):
        add_step(record, number, *row)
        done.append(number)

    patch.setattr(TrialRecord, "add_step", note)
    return lambda: bool(done) and done[-1] >= step


def test_what_an_upload_sends_of_a_trial_that_runs_is_right_when_it_has_ended(well, run, logged_out, send, monkeypatch):
    with logged_out(), monkeypatch.context() as patch:
        patch.setattr(interrupt, "requested", stop_after(3, patch))
        folder = run()
    with trial_lock(folder):  # as if it ran
        assert send(f"sweep={folder.parent}")[0] == 0
        check(well, folder, "preempted", "running")
    assert send(f"sweep={folder.parent}")[0] == 0
    check(well, folder, "preempted", "interrupted")
    with run_lock(folder):
        said = f"{folder.parent}: 1 trial, 1 being sent by another process\n"
        assert send(f"sweep={folder.parent}") == (0, said, "")
    run()
    assert check(well, folder, "finished", "completed").starts == 3


def test_killed_while_it_was_shown_live_a_trial_goes_on_in_its_run(well, tiny, run, tmp_path):
    script = """
import json, sys, time
from seedgrid.records import record
from seedgrid.trials import run
from dying_trial import settings_of
from seedgrid.trials.preparation import prepare

add_step = record.TrialRecord.add_step

def waiting(self, step, *row):
    add_step(self, step, *row)
    if step == 5:
        time.sleep(600)  # to be killed in; W&B's client sends rows every 15 seconds

record.TrialRecord.add_step = waiting
settings = settings_of(json.loads(sys.argv[1]))
run.run_trial(settings, prepare(settings))
"""
    overrides = [*tiny, *SHORT, f"sweep={tmp_path / 'my-sweep'}", "checkpoint.minutes=0"]
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    before = set(well.runs)
    with subprocess.Popen([sys.executable, "-c", script, json.dumps(overrides)], env=os.environ | path) as child:
        deadline = time.monotonic() + 120
        while not any(len(well.runs[key].lines) >= 3 for key in well.runs.keys() - before):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        child.kill()
    folder = run("checkpoint.minutes=0")
    assert check(well, folder, "finished", "completed").starts == 2
    assert upload_hint(folder.parent) is None


def test_a_trial_that_stopped_at_a_rung_goes_on_in_its_run(well, run, tmp_path):
    (tmp_path / "my-sweep").mkdir()
    plan = StartMany(
        fingerprint="",
        asked={},
        steps=6,
        resume_by="checkpoint",
        rungs=(Rung(at=0.5, step=4, keep=1),),
        trials=("init=000,order=000",),
        found={},
    )
    plan.write(tmp_path / "my-sweep")
    folder = run("rung=4")
    assert len(check(well, folder, "finished", "stopped").rows) == 5
    run()
    assert check(well, folder, "finished", "completed").starts == 2


def test_a_step_in_whose_middle_a_trial_failed_is_neither_in_its_record_nor_in_its_run(well, run, monkeypatch):
    add_evaluation = TrialRecord.add_evaluation

    def fail(record, evaluation):
        if evaluation.step == 4:
            raise RuntimeError("no memory left")
        add_evaluation(record, evaluation)

    with monkeypatch.context() as patch:
        patch.setattr(TrialRecord, "add_evaluation", fail)
        folder = run()
    stored = check(well, folder, "failed", "failed")
    assert [row["_step"] for row in stored.rows] == [0, 1, 2, 3]
    run()
    assert check(well, folder, "finished", "completed").starts == 2


def test_a_loss_that_is_no_number_is_shown_and_its_trial_counts_as_diverged(well, run, overflow_at):
    overflow_at(5)
    assert check(well, run(), "finished", "nonfinite").summary["diverged"] == 1


# ------------------------------------------------------------------------------------------- servers that are not well


@pytest.mark.parametrize("trouble", [{"refuse": 500}, {"refuse": 429}, {"refuse": 401}, {"delay": 3.0}])
def test_a_server_that_fails_is_said_once_a_sweep_and_trials_are_whole_without_it(
    well, run, send, monkeypatch, capsys, trouble
):
    monkeypatch.setattr(wandb_run, "PATIENCE", 1)
    for name, value in trouble.items():
        setattr(well, name, value)
    first = run()
    asked = len(well.requests)
    second = run("seed.init=1")
    assert len(well.requests) == asked or trouble == {"delay": 3.0}  # of the first, noted late
    [line] = capsys.readouterr().err.splitlines()
    sweep = first.parent
    assert line.startswith("logger=wandb: CommError: ")
    assert line.endswith(f"; trials go on without it; later: {command('upload', sweep=str(sweep))}")
    assert {json.loads((f / "trial.json").read_text())["status"] for f in (first, second)} == {"completed"}
    well.refuse, well.delay = 0, 0.0
    assert upload_hint(sweep).startswith("W&B has none of 2 trials")
    wandb.teardown()  # as another process, which has no run open
    assert send(f"sweep={sweep}")[0] == 0
    for folder in (first, second):
        check(well, folder, "finished", "completed")


def test_a_server_that_fails_on_the_way_gets_the_rest_later(well, run, send, monkeypatch, capsys):
    monkeypatch.setattr(wandb_run, "PATIENCE", 2)
    well.lines_left = 3
    folder = run()
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("logger=wandb: TimeoutError: ")
    well.refuse, well.lines_left = 0, None
    assert send(f"sweep={folder.parent}")[0] == 0
    check(well, folder, "finished", "completed")
