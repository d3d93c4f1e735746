"""Sweeps and errors through the real command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seedgrid.records.store import read_sweep
from seedgrid.shell import quoted
from seedgrid.sweep.status import SweepWatch
from seedgrid.trials.asked import write_grid
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

GRID = ("seed.init=range(0,2)", "seed.order=range(0,2)")


def test_one_trial_says_what_it_reached_and_where_it_lies(command, tiny, tmp_path):
    (tmp_path / "sweep" / ".cache").mkdir(parents=True)
    write_grid(tmp_path / "sweep", 18, ["init=000,order=000", "init=000,order=001"])  # by a grid that was interrupted
    code, output, errors = command(*tiny, f"sweep={tmp_path / 'sweep'}", new=True)
    assert code == 0, errors
    assert "completed: best found accuracy" in output
    assert output.count("classes      train unacceptable: 45, acceptable: 45; ") == 1
    assert str(tmp_path / "sweep" / "init=000,order=000") in output
    assert errors == ""
    assert SweepWatch(tmp_path / "sweep").look().counts == {"completed": 1}, "nobody asks for the rest of the grid"


@pytest.mark.parametrize("place", ["file", "file/sweep", "/proc/sweep"])
def test_a_folder_that_cannot_be_written_is_named(command, tiny, tmp_path, place):
    (tmp_path / "file").touch()
    code, output, errors = command("-m", *tiny, f"sweep={tmp_path / place}")
    assert (code, output) == (1, "")
    assert errors.startswith(f"error: sweep={tmp_path / place}: cannot be written (")
    assert errors.count("\n") == 1


def test_one_trial_of_a_study_is_said_to_be_one(command, tmp_path):
    code, output, errors = command("experiment=debug", "dry_run=true", f"sweep={tmp_path / 'sweep'}")
    assert (code, errors) == (0, "one trial: without -m nothing is swept\n")
    assert "init=000,order=000: missing" in output


def test_a_reader_of_a_dry_run_may_leave(start, tiny, tmp_path):
    reading = start("-m", *tiny, "seed.init=range(0,4000)", "dry_run=true", f"sweep={tmp_path / 'sweep'}")
    assert "4,000 trials, 0 done, 4,000 to run" in reading.stdout.readline()
    reading.stdout.close()
    errors = reading.stderr.read()
    assert (reading.wait(), errors) == (1, "")


def test_a_sweep_on_workers_has_the_numbers_of_one_in_a_single_process(command, tiny, reference, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    code, output, errors = command("-m", *tiny, *GRID, f"sweep={sweep}", "hydra.launcher.n_jobs=2", new=True)
    assert code == 0, errors
    assert numbers(sweep) == numbers(reference)
    assert "4 trials, 4 completed" in output
    assert output.count("classes      train unacceptable: 45, acceptable: 45; ") == 1
    for name in ("grid.png", "curves.png"):
        assert (sweep / name).read_bytes().startswith(b"\x89PNG")
        assert str(sweep / name) in output
    best = read_sweep(sweep).trials["best_found"].max()
    assert f"best found   {best:.4f}" in output
    assert re.search(r"\d of 4 trials", errors), "no line of progress"


def test_workers_in_bf16_have_the_numbers_of_this_process(command, tiny, settings_of, numbers, tmp_path):
    words = [*tiny, "trainer.precision=bf16-mixed"]
    seeds = ("seed.init=0,1", "seed.order=${seed.init}", "hydra.launcher.n_jobs=2")
    of_gpus = ("trainer.per_gpu=auto", "trainer.mps=true")  # on a CPU they do nothing
    code, _, errors = command("-m", *words, *seeds, *of_gpus, f"sweep={tmp_path / 'workers'}")
    assert code == 0, errors
    assert "MPS" not in errors.upper()
    trial = json.loads((tmp_path / "workers" / "init=001,order=001" / "trial.json").read_text())
    assert (trial["precision"], trial["config"]["trainer"]["per_gpu"]) == ("bf16-mixed", 1)
    for seed in (0, 1):
        settings = settings_of([*words, f"seed.init={seed}", f"seed.order={seed}", f"sweep={tmp_path / 'here'}"])
        assert run_trial(settings, prepare(settings)).status == "completed"
    assert numbers(tmp_path / "workers") == numbers(tmp_path / "here")


def test_the_debugging_study_runs_with_a_recipe_of_another_kind(command, tmp_path):
    sweep = tmp_path / "sweep"
    code, output, errors = command(
        "-m", "experiment=debug", "recipe=dodge2020", "recipe.reinitialize=1", "hydra/launcher=basic", f"sweep={sweep}"
    )
    assert code == 0, errors
    assert "4 trials, 4 completed" in output
    trial = json.loads((sweep / "init=001,order=001" / "trial.json").read_text())
    assert trial["config"]["recipe"]["schedule"] == "dodge2020"
    assert trial["identity"]["recipe.reinitialize"] == 1


def test_a_finished_sweep_answers_without_torch_and_a_larger_grid_adds_only_what_is_new(
    command, tiny, reference, tmp_path
):
    sweep = tmp_path / "sweep"
    shutil.copytree(reference, sweep)
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("init=*/*")}
    code, output, errors = command("-m", *tiny, *GRID, f"sweep={sweep}", env={"PYTHONPROFILEIMPORTTIME": "1"}, new=True)
    assert code == 0
    assert "4 trials, 4 completed" in output
    imported = {line.rpartition("|")[2].strip() for line in errors.splitlines()}
    assert "seedgrid.sweep.grid" in imported
    assert not imported & {"torch", "pytorch_lightning", "wandb"}
    larger = ("seed.init=range(0,3)", "seed.order=range(0,2)", "hydra/launcher=basic")
    code, output, errors = command("-m", *tiny, *larger, f"sweep={sweep}")
    assert code == 0, errors
    assert "6 trials, 6 completed" in output
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_independent_pairs_run_along_the_diagonal(command, tiny, reference, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    code, _, errors = command(
        "-m", *tiny, "seed.init=range(0,2)", "seed.order=${seed.init}", f"sweep={sweep}", "hydra/launcher=basic"
    )
    assert code == 0, errors
    assert numbers(sweep) == {name: numbers(reference)[name] for name in ("init=000,order=000", "init=001,order=001")}
    assert (sweep / "trials.png").exists()


def test_any_other_swept_key_makes_a_sweep_of_its_own_and_the_commands_that_are_printed_can_be_pasted(
    command, tiny, repository, tmp_path
):
    sweep, before = tmp_path / "it's (1), a=b", tmp_path / "it's (1), a=b,recipe.epochs=0.5"
    before.mkdir()  # as releases before this one named it: what was begun there goes on there
    words = (f"sweep={quoted(str(sweep))}", "hydra/launcher=basic")
    code, output, errors = command("-m", *tiny, "recipe.epochs=0.5,1", "seed.init=0,1", *words)
    assert code == 0, errors
    folders = [before, tmp_path / "it's (1), a=b+recipe.epochs-1"]
    for folder in folders:
        assert len(read_sweep(folder).trials) == 2
    *table, _, report, compare = output.splitlines()[-6:]
    assert "best found" in table[-3]
    assert all(str(folder) in line for folder, line in zip(folders, table[-2:], strict=True))
    assert report.startswith("  report       ") and "seedgrid report 'sweep=[" in report
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    pasted = f"{compare.removeprefix('  compare      ')} max_budget=0"
    done = subprocess.run(["bash", "-c", pasted], cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (before / f"compare-{folders[1].name}" / "index.html").exists()


def test_a_dry_run_lists_what_is_done_what_would_run_and_the_time(command, tiny, reference):
    code, output, errors = command(
        "-m", *tiny, "seed.init=range(0,3)", "seed.order=range(0,2)", f"sweep={reference}", "dry_run=true"
    )
    assert code == 0, errors
    assert "6 trials, 4 done, 2 to run" in output
    assert "would run init=002,order=000" in output
    assert "would run init=000,order=000" not in output
    assert re.search(r"about \d+ (s|min|h)", output)
    assert output.count("classes      train unacceptable: 45, acceptable: 45; ") == 1
    assert not (reference / "init=002,order=000").exists()


def test_a_failing_trial_fails_alone_and_the_sweep_says_which_and_why(command, tiny, tmp_path):
    sweep = tmp_path / "sweep"
    (sweep / "init=000,order=000").mkdir(parents=True)
    # A directory where the trial must put a file: a real error, in one trial alone.
    (sweep / "init=000,order=000" / "train_loss.parquet").mkdir()
    words = ["-m", *tiny, "recipe.epochs=0.5", "seed.init=0,1", f"sweep={sweep}", "hydra/launcher=basic"]
    code, output, errors = command(*words)
    assert code == 1
    assert "init=000,order=000: IsADirectoryError" in errors
    assert "1 completed" in output
    (sweep / "init=000,order=000" / "train_loss.parquet").rmdir()
    code, output, errors = command(*words)
    assert code == 0, errors
    assert "2 completed" in output


def test_workers_and_whole_groups_that_are_killed_lose_nothing(start, command, tiny, reference, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    words = ["-m", *tiny, *GRID, f"sweep={sweep}", "checkpoint.minutes=0", "hydra.launcher.n_jobs=2"]

    def wait_for_a_trial(status):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for path in sweep.glob("init=*/trial.json"):
                try:
                    if json.loads(path.read_text())["status"] == status:
                        return
                except FileNotFoundError:
                    pass
            time.sleep(0.02)
        raise AssertionError(f"no trial was ever {status}")

    # The whole process group, in the middle of its first trials.
    process = start(*words, start_new_session=True)
    wait_for_a_trial("running")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # One worker: the sweep launches again what it took along.
    process = start(*words, start_new_session=True)
    wait_for_a_trial("completed")
    children = subprocess.run(["pgrep", "-P", str(process.pid), "-f", "loky"], capture_output=True, text=True)
    victims = [int(pid) for pid in children.stdout.split()]
    os.kill(victims[-1], signal.SIGKILL)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    assert numbers(sweep) == numbers(reference)


def test_ctrl_c_ends_a_sweep_with_a_summary_and_the_same_command_goes_on(
    start, command, tiny, reference, numbers, tmp_path
):
    sweep = tmp_path / "sweep"
    words = ["-m", *tiny, *GRID, f"sweep={sweep}"]
    process = start(*words, "hydra.launcher.n_jobs=2", start_new_session=True, new=True)
    deadline = time.monotonic() + 120
    while not list(sweep.glob("init=*/evaluations.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command goes on" in output
    assert "Traceback" not in errors
    code, output, errors = command(*words, "hydra/launcher=basic")
    assert code == 0, errors
    assert numbers(sweep) == numbers(reference)


def test_two_commands_at_once_split_the_work(start, tiny, reference, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    words = ["-m", *tiny, *GRID, f"sweep={sweep}", "hydra/launcher=basic"]
    processes = [start(*words), start(*words)]
    for process in processes:
        _, errors = process.communicate(timeout=150)
        assert process.returncode == 0, errors
    assert numbers(sweep) == numbers(reference)
    starts = [json.loads(path.read_text())["started"] for path in sweep.glob("init=*/trial.json")]
    assert len(starts) == 4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seed.init=1.5"], "error: seed.init=1.5: input should be a valid integer"),
        (["-m", "seed.init=a,b"], "error: seed.init=a: input should be a valid integer"),
        (["seed.init=-1"], "error: seed.init=-1: input should be greater than or equal to 0"),
        (["recipe.batch_size=0"], "error: recipe.batch_size=0: input should be greater than or equal to 1"),
        (["-m", "recipe.batch_size=16,0"], "error: recipe.batch_size=0: input should be greater than or equal to 1"),
        (["task=csv"], "error: task.source.train has no value"),
        (["task=mrpc", "data.root=no/such/folder"], "error: data.root=no/such/folder: no such folder"),
        (["task=mrpc"], "error: task=mrpc: cannot fetch nyu-mll/glue from the Hugging Face hub"),
        (["model=bert_large"], "error: model.path=google-bert/bert-large-uncased: cannot fetch it"),
        (["model.path=./no-such-model"], "error: model.path=./no-such-model: no such folder"),
        (["model.layers=7"], "error: model.layers=7: the model has only 6"),
        (["trainer=gpu"], "error: trainer.accelerator=gpu: no GPU is visible here"),
        (["data.train_size=3000"], "error: data.train_size=3000: the task has only"),
        (["-m", "seed.init=interval(0,1)"], "error: seed.init=interval(0,1): this sweeper knows"),
        (["-m", "seed.init=range(0,0)"], "error: seed.init=range(0,0): no value lies in it"),
        (["hydra/sweeper=start_many"], "error: hydra/sweeper=start_many starts trials only with -m"),
        (["-m", "hydra.sweep.subdir=${hydra.job.num}"], "error: hydra.sweep.subdir=${hydra.job.num}: trials lie in"),
        (["task.name="], "error: task.name=: string should have at least 1 character"),
        (["model.name=a/b"], "error: model.name=a/b: string should match"),
    ],
)
def test_a_bad_value_ends_the_command_with_one_line_before_any_work(command, tmp_path, words, expected):
    code, output, errors = command(*words, f"sweep={tmp_path / 'sweep'}")
    assert code == 1
    assert output == ""
    assert errors.startswith(expected)
    assert errors.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["task=nope"], "error: task=nope: no such option; there are cola, csv"),
        (["nope=1"], "error: nope=1: no such key; there are seed, evaluation, task, model"),
        (["-m", "seed=0,1"], "error: seed=0,1: the new layer and the order have a seed each"),
        (["--seed", "42"], "error: --seed: no option of this command; keys are written without dashes: key=value"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(command, words, expected):
    code, output, errors = command(*words)
    assert (code, output) == (1, "")
    assert errors.startswith(expected)
    assert errors.count("\n") == 1


def test_help_names_the_groups_and_shows_commands(command):
    code, output, _ = command("--help")
    assert code == 0
    assert "seedgrid train -m seed.init='range(0,5)' seed.order='range(0,5)'" in output
    assert "task: cola, csv, grammar, mrpc, rte, sst2" in output
