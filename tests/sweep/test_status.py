"""What ``seedgrid status`` says of sweeps that run, ended, were cut off or are damaged, and that it changes nothing."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seedgrid.errors import InputError
from seedgrid.records.store import trial_lock
from seedgrid.seeds import Seeds
from seedgrid.sweep.status import OF_LATE, SweepWatch
from seedgrid.sweep.watch import watch
from seedgrid.trials.asked import forget_grid, write_grid
from seedgrid.trials.rungs import FILE, Decision, Outcome, Rung, StartMany

# Trials as write_sweep writes them: evaluations at steps 10, 20 and 30 of 30, in 120 seconds.
NAMES = [f"init=000,order={order:03d}" for order in range(4)]


def set_back(trial, evaluations, seconds, status="running"):
    """Make the record of a finished trial that of one which has come to so many of its evaluations."""
    path = trial / "evaluations.parquet"
    pq.write_table(pq.read_table(path).slice(0, evaluations), path)
    record = json.loads((trial / "trial.json").read_text())
    (trial / "trial.json").write_text(json.dumps(record | {"status": status, "seconds": seconds}))


@pytest.fixture
def run():
    """Hold a trial's lock, as a process that runs it does, until the end of the test or ``run.close()``."""
    with ExitStack() as held:

        def running(trial):
            held.enter_context(trial_lock(trial))

        running.close = held.close
        yield running


@pytest.fixture
def sweep(write_sweep, tmp_path, run):
    """One trial of each kind; of the two that are recorded as running, the first does."""
    folder = write_sweep(
        tmp_path / "sweep", 2, 4, status={(0, 0): "failed", (1, 0): "nonfinite", (1, 3): "failed"}, metric="mcc"
    )
    set_back(folder / NAMES[1], 1, 50.0)
    set_back(folder / NAMES[2], 2, 50.0)
    run(folder / NAMES[1])
    return folder


def scores(folder, *names):
    return [max(pq.read_table(folder / name / "evaluations.parquet")["score"].to_pylist()) for name in names]


def test_only_a_held_lock_makes_a_trial_run(sweep, run):
    seen = SweepWatch(sweep).look()
    assert seen.counts == {"completed": 3, "nonfinite": 1, "failed": 2, "running": 1, "interrupted": 1}
    finished = scores(sweep, NAMES[3], *(f"init=001,order={order:03d}" for order in range(3)))
    assert seen.mean == pytest.approx(sum(finished) / 4)
    every = {(i, o): scores(sweep, f"init={i:03d},order={o:03d}")[0] for i in range(2) for o in range(4)}
    init, order = max(every, key=every.get)
    assert seen.best == (every[init, order], Seeds(init=init, order=order))
    assert (seen.scale.metric, seen.workers, seen.damaged) == ("mcc", 1, ())
    [trial] = seen.running
    assert (trial.name, trial.step, trial.goal, trial.best) == (NAMES[1], 10, 30, 0.5)
    # By its own pace it takes 5 seconds a step; the finished ones took 4.
    assert trial.seconds_left == seen.seconds_left == pytest.approx(100, abs=10)
    assert seen.trials_per_hour == pytest.approx(3600 / 120)
    assert not seen.planned
    run.close()
    seen = SweepWatch(sweep).look()
    assert seen.counts == {"completed": 3, "nonfinite": 1, "failed": 2, "interrupted": 2}
    assert (seen.running, seen.workers, seen.trials_per_hour, seen.seconds_left) == ((), 0, None, None)


def test_of_equal_scores_the_smaller_seeds_are_the_best(write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "sweep", 1, 3)
    for name in NAMES[:3]:
        set_back(folder / name, 1, 10.0, "nonfinite")
    assert SweepWatch(folder).look().best == (0.5, Seeds(init=0, order=0))


def test_a_trial_without_an_evaluation_has_the_pace_of_those_that_ended_if_any_did(write_sweep, tmp_path, run):
    folder = write_sweep(tmp_path / "sweep", 1, 2)
    set_back(folder / NAMES[1], 0, 0.1)
    before = pa.table({"step": [0], "score": [0.9]})  # the evaluation before training counts for nothing
    pq.write_table(before, folder / NAMES[1] / "evaluations.parquet")
    run(folder / NAMES[1])
    [trial] = SweepWatch(folder).look().running
    assert (trial.step, trial.best) == (0, None)
    assert trial.seconds_left == pytest.approx(120, abs=10)
    set_back(folder / NAMES[0], 0, 0.1)
    seen = SweepWatch(folder).look()
    assert seen.running[0].seconds_left is seen.seconds_left is seen.trials_per_hour is seen.best is None


def test_a_trial_is_known_before_it_has_a_record(tmp_path, run):
    (tmp_path / NAMES[0]).mkdir()
    run(tmp_path / NAMES[0])
    seen = SweepWatch(tmp_path).look()
    assert (seen.counts, seen.workers, seen.running) == ({"starting": 1}, 1, ())


def test_the_pace_is_that_of_the_latest_trials(write_sweep, tmp_path, run):
    folder = write_sweep(tmp_path / "sweep", 1, OF_LATE + 2)
    set_back(folder / NAMES[0], 3, 12_000.0, "completed")
    os.utime(folder / NAMES[0] / "trial.json", (1e9, 1e9))
    set_back(folder / NAMES[1], 1, 40.0)
    run(folder / NAMES[1])
    assert SweepWatch(folder).look().trials_per_hour == pytest.approx(30)


def test_what_changed_is_seen_at_the_next_look(sweep):
    watched = SweepWatch(sweep)
    assert watched.look().running[0].step == 10
    set_back(sweep / NAMES[1], 1, 60.0, "failed")
    set_back(sweep / NAMES[2], 0, 1.0, "nonfinite")
    seen = watched.look()
    assert seen.running == ()
    assert seen.counts == {"completed": 3, "nonfinite": 2, "failed": 3}


def plan(folder, resume_by="checkpoint", extend=0, **decided):
    """Four trials, of which two go on at step 10."""
    written = StartMany(
        fingerprint="",
        asked={"extend": extend},
        steps=30,
        resume_by=resume_by,
        rungs=(Rung(at=1 / 3, step=10, keep=2),),
        trials=tuple(NAMES),
        found={},
        **decided,
    )
    written.write(folder)


@pytest.mark.parametrize(
    ("workers", "resume_by", "extend", "seconds"),
    [
        # To the rung three trials of 10 steps, from there two of 20, all of 4 seconds a step.
        (1, "checkpoint", 0, 3 * 40 + 2 * 80),
        (2, "checkpoint", 0, 3 * 40 / 2 + 80),
        (1, "retrain", 0, 3 * 40 + 2 * 120),
        (1, "checkpoint", 2, 5 * 40 + 2 * 80),
    ],
)
def test_a_plan_tells_the_end_of_all_its_trials(write_sweep, tmp_path, run, workers, resume_by, extend, seconds):
    folder = write_sweep(tmp_path / "sweep", 1, 3)
    plan(folder, resume_by, extend)
    set_back(folder / NAMES[0], 1, 40.0, "stopped")
    for position in (1, 2):
        set_back(folder / NAMES[position], 0, 0.0)
        if position <= workers:
            run(folder / NAMES[position])
    seen = SweepWatch(folder).look()
    counts = {"stopped": 1, "running": workers, "interrupted": 2 - workers, "not started": 1 + extend}
    assert seen.counts == {status: number for status, number in counts.items() if number}
    assert seen.running[0].goal == 10
    assert (seen.planned, seen.mean) == (True, None)
    assert seen.seconds_left == pytest.approx(seconds, abs=20)


@pytest.mark.parametrize(("resume_by", "seconds"), [("checkpoint", 40 + 80), ("retrain", 40 + 120)])
def test_after_the_last_rung_the_end_is_that_of_those_that_go_on(write_sweep, tmp_path, run, resume_by, seconds):
    folder = write_sweep(tmp_path / "sweep", 1, 4)
    scored = dict.fromkeys(NAMES, 0.5)
    decision = Decision(step=10, scores=scored, ended={}, kept=(NAMES[2], NAMES[0]), cost=4 / 3, found=0)
    plan(folder, resume_by, decisions=(decision,))
    for name in NAMES[:3]:
        set_back(folder / name, 1, 40.0, "stopped")
    # All have come to step 10, this one to 20.
    donor = write_sweep(tmp_path / "donor", 1, 1) / NAMES[0]
    donor.joinpath("evaluations.parquet").replace(folder / NAMES[2] / "evaluations.parquet")
    set_back(folder / NAMES[2], 2, 80.0)
    run(folder / NAMES[2])
    seen = SweepWatch(folder).look()
    assert seen.counts == {"completed": 1, "stopped": 2, "running": 1}
    assert seen.mean is None
    [trial] = seen.running
    assert (trial.step, trial.goal) == (20, 30)
    assert seen.seconds_left == pytest.approx(seconds, abs=20)


def test_a_plan_that_is_done_says_nothing_of_what_runs_there_now(write_sweep, tmp_path, run):
    folder = write_sweep(tmp_path / "sweep", 1, 3)
    plan(folder, outcome=Outcome(best_found=0.8, trial=NAMES[0], cost=2, found=0))
    set_back(folder / NAMES[1], 0, 0.0)
    run(folder / NAMES[1])
    seen = SweepWatch(folder).look()
    assert (seen.planned, seen.running[0].goal, seen.counts) == (False, 30, {"completed": 2, "running": 1})


def test_of_a_grid_the_trials_that_a_command_asked_for_are_known(write_sweep, tmp_path, run):
    folder = write_sweep(tmp_path / "sweep", 1, 2)
    set_back(folder / NAMES[1], 1, 40.0)
    run(folder / NAMES[1])
    (folder / ".cache").mkdir(exist_ok=True)
    write_grid(folder, 30, NAMES[1:])
    seen = SweepWatch(folder).look()
    assert (seen.counts, seen.planned) == ({"completed": 1, "running": 1, "not started": 2}, True)
    assert seen.running[0].goal == 30
    assert seen.seconds_left == pytest.approx(80 + 120 + 120, abs=20)  # one worker, 4 seconds a step
    # Another command, while the first one runs; then one when nothing runs any more.
    write_grid(folder, 30, ["init=001,order=000"])
    assert SweepWatch(folder).look().counts["not started"] == 3
    run.close()
    write_grid(folder, 30, ["init=001,order=000"])
    assert SweepWatch(folder).look().counts == {"completed": 1, "interrupted": 1, "not started": 1}


def test_a_trial_that_runs_unasked_leaves_the_end_open(write_sweep, tmp_path, run):
    folder = write_sweep(tmp_path / "sweep", 1, 2)
    (folder / ".cache").mkdir(exist_ok=True)
    write_grid(folder, 30, NAMES[2:])
    set_back(folder / NAMES[1], 1, 40.0)
    run(folder / NAMES[1])
    seen = SweepWatch(folder).look()
    assert (seen.counts, seen.planned) == ({"completed": 1, "running": 1}, False)


def test_trials_that_failed_before_a_command_that_asks_for_them_are_still_to_run(write_sweep, tmp_path, run):
    folder = write_sweep(tmp_path / "sweep", 1, 3, status={(0, 1): "failed"})
    set_back(folder / NAMES[2], 1, 40.0)
    run(folder / NAMES[2])
    os.utime(folder / NAMES[1] / "trial.json", (1e9, 1e9))
    (folder / ".cache").mkdir(exist_ok=True)
    write_grid(folder, 30, NAMES[1:3])
    assert SweepWatch(folder).look().seconds_left == pytest.approx(80 + 120, abs=20)
    set_back(folder / NAMES[1], 0, 1.0, "failed")  # again
    assert SweepWatch(folder).look().seconds_left == pytest.approx(80, abs=20)


def test_the_latest_command_counts_be_it_a_grid_or_a_plan(write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "sweep", 1, 2)
    (folder / ".cache").mkdir(exist_ok=True)
    plan(folder)
    assert SweepWatch(folder).look().counts == {"completed": 2, "not started": 2}
    write_grid(folder, 30, [NAMES[2]])
    assert SweepWatch(folder).look().counts == {"completed": 2, "not started": 1}
    forget_grid(folder)
    assert SweepWatch(folder).look().counts == {"completed": 2, "not started": 2}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"steps": "many", "trials": []}'])
def test_where_what_was_asked_for_is_damaged_nothing_is_said_of_it(write_sweep, tmp_path, content):
    folder = write_sweep(tmp_path / "sweep", 1, 2)
    (folder / ".cache").mkdir(exist_ok=True)
    (folder / ".cache" / "grid.json").write_text(content)
    assert SweepWatch(folder).look().counts == {"completed": 2}


# ----------------------------------------------------------------------------------------------------- seedgrid status


def test_not_in_a_terminal_it_looks_once_without_torch_and_changes_nothing(sweep, run_command, tmp_path, monkeypatch):
    def content():
        return {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}

    before = content()
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = run_command("status", f"sweep={sweep}", cwd=tmp_path, new=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{sweep}: 8 trials, 3 completed, 1 nonfinite, 2 failed, 1 running, 1 interrupted"
    facts = {line[:16].strip(): line[16:].strip() for line in lines[1:5]}
    assert list(facts) == ["best so far", "mean", "workers", "expected end"]
    assert " mcc   init " in facts["best so far"]
    assert facts["workers"] == "1, at their pace 30 full trainings an hour"
    assert facts["expected end"].endswith("(of the trials that run now; others may follow)")
    assert lines[-1].split()[:6] == [NAMES[1], "10", "of", "30", "33", "%"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "seedgrid.sweep.status" in imported
    assert not imported & {"torch", "pytorch_lightning", "wandb", "matplotlib"}
    assert (content(), list(tmp_path.iterdir())) == (before, [sweep])


def test_several_sweeps_stand_below_each_other(sweep, write_sweep, entry, tmp_path, capsys):
    write_sweep(tmp_path / "other", 1, 2)
    (tmp_path / "notes").mkdir()
    watch(entry("status", f"sweep='{tmp_path}/*'"))
    output = capsys.readouterr().out
    assert output.index(f"{tmp_path / 'other'}: 2 trials, 2 completed") < output.index(f"{sweep}: 8 trials")
    assert "notes" not in output
    over, _, going_on = output.partition("\n\n")
    assert "  best found  " in over and "of the finished" not in over  # nothing of it is to come
    assert "  best so far  " in going_on and " of the finished" in going_on
    assert [line for line in output.splitlines() if line != line.rstrip()] == []


def test_damaged_records_are_named_and_hide_no_other(sweep, entry, capsys):
    record = json.loads((sweep / NAMES[3] / "trial.json").read_text())
    del record["seconds"]
    (sweep / NAMES[3] / "trial.json").write_text(json.dumps(record))
    (sweep / NAMES[0] / "trial.json").write_text('{"record_v')
    (sweep / NAMES[2] / "evaluations.parquet").write_bytes(b"PAR1")
    (sweep / FILE).write_text("{}")
    with pytest.raises(SystemExit) as ended:
        watch(entry("status", f"sweep={sweep}"))
    assert ended.value.code == 1
    output, errors = capsys.readouterr()
    assert f"{sweep}: 8 trials, 2 completed, 1 nonfinite, 1 failed, 1 running, 3 damaged\n" in output
    assert NAMES[1] in output.splitlines()[-1]
    starts = (f"{NAMES[0]}/trial.json", f"{NAMES[2]}/evaluations.parquet", f"{NAMES[3]}/trial.json", FILE)
    for line, start in zip(errors.splitlines(), starts, strict=True):
        assert line.startswith(f"error: {sweep}/{start}: damaged")
        assert "redo=true" in line or "move it away" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=null"], "sweep has no value: give a sweep's folder"),
        (["sweep=no/where"], "sweep=no/where: no such folder; run a sweep first"),
        (["sweep='no/*'"], r"sweep=no/\*: no sweep's folder is like that"),
        (["sweep=empty"], "sweep=empty: no trial there yet; start a sweep"),
        (["sweep=empty", "every=0"], "every=0: input should be greater than or equal to 0.1"),
        (["sweep=empty", "once=maybe"], "once=maybe: input should be a valid boolean"),
    ],
)
def test_what_cannot_be_watched_is_one_line(entry, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{said}[^\n]*$"):
        watch(entry("status", *words))


def test_a_wrong_key_is_named(run_command, tmp_path):
    done = run_command("status", "swep=runs/quickstart", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "swep" in done.stderr and "Traceback" not in done.stderr


class Terminal:
    """``seedgrid status`` in a terminal of its own."""

    def __init__(self, *words):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seedgrid", "status", *words],
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"COLUMNS": "250", "LINES": "40", "TERM": "xterm", "NO_COLOR": "1"},
            # A shell's background job ignores Ctrl-C, and so would its children: a terminal's does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(theirs)

    def read_until(self, said=None):
        """What is shown from now on until ``said`` is, or to the end."""
        text, deadline = "", time.monotonic() + 60
        while said is None or said not in text:
            assert time.monotonic() < deadline, text
            if select.select([self.ours], [], [], 1)[0]:
                try:
                    text += os.read(self.ours, 65536).decode()
                except OSError:  # nobody is at the other end any more
                    assert said is None, text
                    break
        return text

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def terminal(sweep):
    opened = Terminal(f"sweep={sweep}", "every=0.1")
    yield opened
    opened.close()


def test_in_a_terminal_it_follows_the_sweep_over_a_pause_to_its_end(terminal, sweep, run):
    terminal.read_until("1 running, 1 interrupted")
    run.close()
    terminal.read_until("2 interrupted")
    time.sleep(0.5)
    run(sweep / NAMES[2])
    terminal.read_until("1 running, 1 interrupted")
    set_back(sweep / NAMES[2], 2, 90.0, "nonfinite")
    run.close()
    assert "3 completed, 2 nonfinite, 2 failed, 1 interrupted" in terminal.read_until()
    assert terminal.process.wait(timeout=20) == 0


def test_ctrl_c_ends_it_without_complaint(terminal):
    text = terminal.read_until("1 running, 1 interrupted")
    terminal.process.send_signal(signal.SIGINT)
    text += terminal.read_until()
    assert terminal.process.wait(timeout=20) == 0
    assert "Traceback" not in text


def test_a_trial_that_trains_is_seen_and_one_that_was_killed_is_interrupted(start, tiny, tmp_path):
    folder = tmp_path / "sweep"
    words = ("-m", *tiny, "recipe.epochs=500", "evaluation.per_epoch=0.5", "seed.init=0,1", f"sweep={folder}")
    process = start(*words, "hydra/launcher=basic", start_new_session=True)
    try:
        watched, seen, deadline = SweepWatch(folder), None, time.monotonic() + 120
        while seen is None or not any(trial.best is not None for trial in seen.running):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
            try:
                seen = watched.look()
            except InputError:
                continue  # no trial yet
        assert (seen.counts, seen.workers, seen.planned) == ({"running": 1, "not started": 1}, 1, True)
        [trial] = seen.running
        assert (trial.name, trial.goal) == (NAMES[0], 3000)
        assert 0 < trial.step < 3000 and 0 < trial.seconds_left < seen.seconds_left
        assert seen.best == (trial.best, Seeds())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    seen = SweepWatch(folder).look()
    assert (seen.counts, seen.workers) == ({"interrupted": 1, "not started": 1}, 0)
