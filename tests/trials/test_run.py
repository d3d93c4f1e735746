"""What a trial leaves, and that its numbers depend on nothing but its seeds and its configuration."""

import fcntl
import json
import os
import pty
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pyarrow.parquet as pq
import pytest

from seedgrid import __version__
from seedgrid.records import record
from seedgrid.records.store import read_sweep
from seedgrid.training.text.model import module as module_under_test
from seedgrid.trials.narration import say
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial


@pytest.fixture
def run(tiny, settings_of, tmp_path):
    """Run a trial with the given overrides; returns its folder."""

    def ran(*overrides, sweep="sweep"):
        settings = settings_of([*tiny, f"sweep={tmp_path / sweep}", *overrides])
        outcome = run_trial(settings, prepare(settings))
        assert outcome.error is None
        return tmp_path / sweep / f"init={settings.seed.init:03d},order={settings.seed.order:03d}"

    return ran


def losses(folder):
    return pq.read_table(folder / "train_loss.parquet").to_pydict()


def logits(folder):
    with np.load(folder / "predictions.npz") as archive:
        return dict(zip(archive["steps"].tolist(), archive["logits"], strict=True))


def scores(folder):
    return pq.read_table(folder / "evaluations.parquet").drop_columns("seconds").to_pydict()


def assert_same_numbers(one, other):
    assert losses(one) == losses(other)
    assert scores(one) == scores(other)
    for step, values in logits(one).items():
        np.testing.assert_array_equal(values, logits(other)[step])


def test_record_holds_every_step_and_evaluation(run):
    folder = run()
    trial = json.loads((folder / "trial.json").read_text())
    assert trial["status"] == "completed"
    assert (trial["train_examples"], trial["validation_examples"], trial["steps"]) == (90, 40, 18)
    assert losses(folder)["step"] == list(range(1, 19))
    table = scores(folder)
    assert table["step"] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert table["epoch"] == [step / 6 for step in table["step"]]
    assert table["score"] == table["accuracy"]
    with np.load(folder / "predictions.npz") as archive:
        assert archive["logits"].shape == (10, 40, 2)
        assert archive["logits"].dtype == np.float32
        for position, score in enumerate(table["accuracy"]):
            predicted = archive["logits"][position].argmax(axis=1)
            assert (predicted == archive["labels"]).mean() == pytest.approx(score, abs=1e-6)
    assert not (folder / "checkpoint").exists()
    assert not list(folder.glob(".*.part"))


def test_learning_rates_rise_over_the_warmup_and_fall_to_the_end(run):
    rates = losses(run())["learning_rate"]
    expected = [1e-3 * ((step / 18) / 0.1 if step / 18 < 0.1 else (1 - step / 18) / 0.9) for step in range(18)]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", ["init", "order", "dropout"])
def test_each_seed_changes_the_numbers(run, tmp_path, tiny, settings_of, seed):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'other'}", f"seed.{seed}=1"])
    run_trial(settings, prepare(settings))
    [other] = (tmp_path / "other").glob("init=*")
    assert losses(run())["loss"][1:] != losses(other)["loss"][1:]


def test_validating_more_or_less_often_leaves_the_training_bit_identical(run):
    often, seldom, once = (run(f"evaluation.per_epoch={times}", sweep=f"times-{times}") for times in (6, 1, 0.5))
    assert losses(often) == losses(seldom) == losses(once)
    assert logits(often).keys() > logits(seldom).keys()
    for step, values in logits(seldom).items():
        np.testing.assert_array_equal(values, logits(often)[step])
    assert sorted(logits(once)) == [0, 12, 18]


def test_tenth_trial_of_a_process_has_the_numbers_of_the_first(run):
    first = run("recipe.epochs=1", sweep="first")
    for init in range(1, 9):
        run("recipe.epochs=1", f"seed.init={init}", f"model.dropout=0.{init}", sweep=f"between-{init}")
    assert_same_numbers(first, run("recipe.epochs=1", sweep="tenth"))


def test_a_nonfinite_loss_ends_the_trial_with_what_it_had(run, overflow_at):
    overflow_at(6)
    folder = run()
    trial = json.loads((folder / "trial.json").read_text())
    assert trial["status"] == "nonfinite"
    assert len(losses(folder)["loss"]) == 6
    assert scores(folder)["step"] == [0, 2, 4]
    assert bool(read_sweep(folder.parent).trials.loc[0, "diverged"])


def test_an_exception_becomes_a_failed_trial_with_its_traceback(tiny, settings_of, tmp_path, monkeypatch):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    with monkeypatch.context() as patched:
        patched.setattr(module_under_test, "dropout_state", lambda seed, step: 1 // 0 if step == 5 else step)
        outcome = run_trial(settings, prepared)
    folder = tmp_path / "sweep" / "init=000,order=000"
    assert outcome.status == "failed"
    assert outcome.error.startswith("ZeroDivisionError")
    assert "dropout_state" in (folder / "traceback.txt").read_text()
    assert json.loads((folder / "trial.json").read_text())["status"] == "failed"
    # Tried again, it completes, and nothing of the failure is left in its numbers or its folder.
    assert run_trial(settings, prepared).status == "completed"
    assert not (folder / "traceback.txt").exists()


def test_a_full_disk_fails_the_trial_and_leaves_the_earlier_state_readable(tiny, settings_of, tmp_path, monkeypatch):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "checkpoint.minutes=0", "keep_best=false"])
    prepared = prepare(settings)
    real, writes = record.write_whole, []

    def full(path, write):
        writes.append(path)
        if len(writes) > 40:
            raise OSError(28, "No space left on device", str(path))
        real(path, write)

    with monkeypatch.context() as patched:
        patched.setattr(record, "write_whole", full)
        outcome = run_trial(settings, prepared)
    assert outcome.status == "failed"
    assert "No space left on device" in outcome.error
    assert read_sweep(tmp_path / "sweep").trials.loc[0, "status"] in ("interrupted", "failed")
    assert run_trial(settings, prepared).status == "completed"


def test_a_finished_trial_is_not_run_again(run):
    folder = run()
    before = (folder / "trial.json").stat().st_mtime_ns
    run()
    assert (folder / "trial.json").stat().st_mtime_ns == before


def test_a_trial_that_another_process_runs_is_left_alone(tiny, settings_of, tmp_path):
    from filelock import FileLock

    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    locks = tmp_path / "sweep" / ".cache" / "locks"
    locks.mkdir()
    with FileLock(locks / "init=000,order=000.lock"):
        assert run_trial(settings, prepared).status == "elsewhere"


def test_who_only_looks_whether_a_trial_runs_keeps_no_process_from_running_it(tiny, settings_of, tmp_path):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    lock = tmp_path / "sweep" / ".cache" / "locks" / "init=000,order=000.lock"
    lock.parent.mkdir()
    looking = lock.open("w")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.1, looking.close).start()  # a very slow look
    assert run_trial(settings, prepared).status == "completed"


def test_another_configuration_in_the_same_folder_is_refused_with_the_keys_that_differ(
    run, tiny, settings_of, tmp_path
):
    from seedgrid.errors import InputError

    run()
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "recipe.batch_size=8"])
    with pytest.raises(InputError, match=r"recipe\.batch_size was 16, now 8"):
        prepare(settings)


@pytest.mark.parametrize(
    "name", ["evaluations.parquet", "train_loss.parquet", "gradient_norms.parquet", "predictions.npz", "trial.json"]
)
def test_damage_of_a_finished_trial_is_named_and_mended_on_request(run, tiny, settings_of, tmp_path, name):
    folder = run("recipe.epochs=0.5")
    intact = scores(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "recipe.epochs=0.5"])
    outcome = run_trial(settings, prepare(settings))
    assert outcome.status == "failed"
    assert name in outcome.error and "redo=true" in outcome.error
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "recipe.epochs=0.5", "redo=true"])
    assert run_trial(settings, prepare(settings)).status == "completed"
    assert scores(folder) == intact
    [aside] = (tmp_path / "sweep" / "damaged").iterdir()
    assert (aside / name).read_bytes() == content[: len(content) // 2]


def test_a_record_that_cannot_be_looked_at_is_not_replaced_by_a_failure(run, tiny, settings_of, tmp_path):
    folder = run()
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"])
    path = folder / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": []}))  # of a kind that nobody expects
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert run_trial(settings, prepare(settings)).status == "failed"
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_trial_goes_on_when_its_terminal_is_closed(monkeypatch):
    terminal, inside = pty.openpty()
    os.close(terminal)
    with monkeypatch.context() as patched, suppress(OSError), os.fdopen(inside, "w") as output:
        patched.setattr(sys, "stdout", output)
        with pytest.raises(OSError, match="Input/output error"):
            print("to whom", flush=True)
        say("to whom")


def test_a_trial_that_goes_on_with_other_versions_says_both(tiny, settings_of, tmp_path, monkeypatch):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "checkpoint.minutes=0"])
    prepared = prepare(settings)
    now = record.package_versions()
    with monkeypatch.context() as patched:
        patched.setattr(module_under_test, "dropout_state", lambda seed, step: 1 // 0 if step == 3 else step)
        patched.setattr(record, "package_versions", lambda: {**now, "torch": "1.0"})
        assert run_trial(settings, prepared).status == "failed"
    assert run_trial(settings, prepared).status == "completed"
    trial = json.loads((tmp_path / "sweep" / "init=000,order=000" / "trial.json").read_text())
    assert trial["versions"] == {**now, "torch": f"1.0, then {now['torch']}"}


def test_the_code_version_is_that_of_an_own_checkout_alone(monkeypatch, tmp_path):
    own = record.code_version.__wrapped__()
    others = tmp_path / "project"
    installed = others / ".venv" / "lib" / "python" / "site-packages" / "seedgrid" / "trials" / "record.py"
    git = ["git", "-C", str(others), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q", str(others)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    with monkeypatch.context() as patched:
        patched.setenv("GIT_DIR", str(others / ".git"))  # as in a hook of theirs
        assert record.code_version.__wrapped__() == own
    monkeypatch.setattr(record, "__file__", str(installed))
    assert record.code_version.__wrapped__() == __version__
