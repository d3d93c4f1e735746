"""A sweep from Python: the command's trials to the last bit, in a process that is afterwards as it was before."""

import multiprocessing
import os
import random
import signal
import threading
import time
import warnings
from queue import Empty

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from jupyter_client.manager import start_new_kernel
from transformers.utils import logging as transformers_logging

import seedgrid
from seedgrid.trials import interrupt

HERE = "hydra/launcher=basic"  # trials in this process, which has imported torch already
SIGNALS = (signal.SIGINT, *interrupt.POLITE)


def state():
    """What a user's process has of its own."""
    return {
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "warnings": list(warnings.filters),
        "hydra": GlobalHydra.instance().hydra,
        "said": transformers_logging.get_verbosity(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "drawn": [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()],
    }


@pytest.fixture(scope="module")
def ran(tiny, repository, tmp_path_factory):
    """A sweep that a process of its own settings runs, and these before and after."""
    folder = tmp_path_factory.mktemp("ran") / "sweep"
    threads, said, run = torch.get_num_threads(), transformers_logging.get_verbosity(), seedgrid.run  # imported here
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    transformers_logging.set_verbosity_warning()
    try:
        with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
            before = state()
            sweep = run(*tiny, HERE, init=range(2), order=[0, np.int64(1)], folder=folder)
            after = state()
            assert compose("plan").budget == 20
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
        transformers_logging.set_verbosity(said)
    return sweep, before, after


def test_its_trials_are_those_of_the_command_to_the_last_bit(ran, reference, numbers):
    assert numbers(ran[0].folder) == numbers(reference)
    assert (ran[0].folder / "best_model" / "model.safetensors").exists() and (ran[0].folder / "grid.png").exists()


def test_it_leaves_the_process_as_it_was(ran):
    assert ran[1] == ran[2]


def test_what_is_done_is_read_and_more_seeds_add_what_is_new(ran, tiny, capfd):
    folder = ran[0].folder
    changed = {path: path.stat().st_mtime_ns for path in folder.glob("init=*/trial.json")}
    again = seedgrid.run(*tiny, HERE, init=range(2), order=range(2), folder=folder)
    assert repr(again) == repr(ran[0])
    assert {path: path.stat().st_mtime_ns for path in folder.glob("init=*/trial.json")} == changed
    assert capfd.readouterr() == ("", "")
    larger = seedgrid.run(*tiny, HERE, init=range(3), order=0, folder=folder)
    assert len(larger.trials) == 5 and set(larger.trials["status"]) == {"completed"}


def test_a_dry_run_says_what_would_run_and_runs_nothing(ran, tiny, capsys):
    sweep = seedgrid.run(*tiny, HERE, "dry_run=true", init=[0, 7], order=0, folder=ran[0].folder)
    assert "2 trials, 1 done, 1 to run\n" in capsys.readouterr().out
    assert 7 not in set(sweep.trials["init"])


def test_trials_are_started_many_and_stopped_early(learnable, tmp_path):
    words = ["hydra/sweeper=start_many", "hydra.sweeper.start=2", "hydra.sweeper.stop_at=0.5", "hydra.sweeper.keep=1"]
    sweep = seedgrid.run(*learnable, HERE, *words, init=range(2), order=range(2), folder=tmp_path / "sweep")
    assert sorted(sweep.trials["status"]) == ["completed", "stopped"]


def test_it_runs_beside_the_main_thread_but_not_twice_at_once(tiny, tmp_path):
    found = []

    def work():
        found.append(seedgrid.run(*tiny, HERE, "recipe.epochs=0.5", folder=tmp_path / "sweep"))

    thread = threading.Thread(target=work)
    thread.start()
    while not (tmp_path / "sweep").exists() and thread.is_alive():
        time.sleep(0.01)
    with pytest.raises(seedgrid.InputError, match=r"^another seedgrid\.run is at work in this process; "):
        seedgrid.run(*tiny, HERE, folder=tmp_path / "other")
    thread.join()
    assert list(found[0].trials["status"]) == ["completed"]


def test_killed_with_its_process_a_sweep_goes_on_to_the_same_numbers(tiny, reference, numbers, tmp_path):
    folder = tmp_path / "sweep"

    def work():
        seedgrid.run(*tiny, HERE, "checkpoint.minutes=0", init=range(2), order=range(2), folder=folder)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    while not (folder / "init=000,order=001" / "evaluations.parquet").exists() and child.is_alive():
        time.sleep(0.01)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert 0 < (seedgrid.read(folder).trials["status"] == "completed").sum() < 4
    work()
    assert numbers(folder) == numbers(reference)


def test_a_trial_that_fails_takes_no_other_along_and_is_named(tiny, tmp_path):
    folder = tmp_path / "sweep"
    (folder / "init=000,order=001").mkdir(parents=True)
    (folder / "init=000,order=001" / "train_loss.parquet").mkdir()  # where a file must be written
    with pytest.warns(UserWarning, match=r"failed +1; the same c(?s:.)*init=000,order=001: IsADirectoryError"):
        sweep = seedgrid.run(*tiny, HERE, "recipe.epochs=0.5", init=0, order=range(2), folder=folder)
    assert list(sweep.trials["status"]) == ["completed"]


SCRIPT = """
import os, signal, threading, time
from pathlib import Path

import seedgrid

folder, words, here = Path({folder!r}), {words!r}, {here!r}


def interrupt():
    while not any(folder.glob("init=*/evaluations.parquet")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=interrupt).start()
try:
    seedgrid.run(*words, "hydra.launcher.n_jobs=2", init=range(2), order=range(2), folder=folder)
except KeyboardInterrupt as stopped:
    print(stopped)
os.chdir(folder.parent)
print(seedgrid.run(*words, here, init=range(2), order=range(2), folder=folder.name))
"""


def test_a_script_is_interrupted_once_and_goes_on(start_python, tiny, reference, numbers, tmp_path):
    folder = tmp_path / "sweep"
    (tmp_path / "script.py").write_text(SCRIPT.format(folder=str(folder), words=tiny, here=HERE))
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "GLUE_DIR": ""}
    process = start_python("script.py", cwd=tmp_path, env=environment)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    first, second, *_ = output.splitlines()
    assert first == "stopped; the same call goes on where it stopped"
    assert second == "sweep: 4 trials, 4 completed"
    assert "stopping: each running trial writes its checkpoint" in errors and "Traceback" not in errors
    assert numbers(folder) == numbers(reference)


class Notebook:
    """A kernel, and what its cells put out."""

    def __init__(self, folder):
        options = ["--IPKernelApp.log_level=ERROR"]
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder), extra_arguments=options)

    def run(self, code, until=None):
        """The outputs of a cell; ``until`` something is so, when the kernel is interrupted."""
        cell, outputs = self.client.execute(code), []
        while True:
            if until is not None and until():
                self.manager.interrupt_kernel()
                until = None
            try:
                message = self.client.get_iopub_msg(timeout=0.05)
            except Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != cell:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                return outputs
            if kind not in ("status", "execute_input"):
                outputs.append((kind, content.get("data", content)))


@pytest.fixture
def notebook(tmp_path):
    notebook = Notebook(tmp_path)
    yield notebook
    notebook.manager.shutdown_kernel(now=True)


def test_in_a_notebook_one_bar_changes_in_place_and_an_interrupt_stops_the_sweep(
    notebook, tiny, reference, numbers, tmp_path
):
    notebook.run("import seedgrid, seedgrid.trials.run")
    call = f"sweep = seedgrid.run(*{tiny!r}, {HERE!r}, init=range(2), order=range(2), folder='sweep')"
    outputs = notebook.run(call, until=lambda: any(tmp_path.glob("sweep/init=*/evaluations.parquet")))
    kinds = [kind for kind, _ in outputs]
    assert kinds[0] == "display_data" and kinds[-1] == "error" and set(kinds[1:-1]) == {"update_display_data"}
    assert "<progress " in outputs[0][1]["text/html"]
    assert outputs[-2][1]["text/plain"].startswith("stopped: ") and "<progress" not in outputs[-2][1]["text/html"]
    assert (outputs[-1][1]["ename"], outputs[-1][1]["evalue"]) == (
        "KeyboardInterrupt",
        "stopped; the same call goes on where it stopped",
    )
    outputs = notebook.run(f"{call}\nsweep")
    assert outputs[-2][1]["text/plain"].startswith("4 of 4 trials, best found ")
    assert outputs[-1][0] == "execute_result" and outputs[-1][1]["text/html"].count("<img ") == 2
    assert numbers(tmp_path / "sweep") == numbers(reference)


@pytest.mark.parametrize(
    ("words", "seeds", "line"),
    [
        (["task=mrcp"], {}, r"task=mrcp: no such option; there are .*mrpc"),
        (["recipe.lr=1"], {}, r"recipe\.lr=1: no such key; did you mean recipe\.learning_rate"),
        (["recipe.learning_rate=-1"], {}, r"recipe\.learning_rate=-1: input should be greater than 0"),
        (
            ["recipe.epochs=1,2"],
            {},
            r"recipe\.epochs=1,2: only seeds vary in a sweep; call seedgrid\.run once for each",
        ),
        (["hydra.job.chdir=true"], {}, r"hydra\.job\.chdir=true: trials lie in sweep=FOLDER"),
        (["a b"], {}, r"a b: not of the form key=value"),
        ([3], {}, r'3: not a word of the command line, such as "task=mrpc"'),
        ([], {"init": []}, r"init=\[\]: no seed; give one or more"),
        ([], {"init": "range(5)"}, r"init='range\(5\)': give a seed or several, such as init=0 or init=range\(5\)"),
        ([], {"order": 0.5}, r"order=0\.5: give a seed or several"),
        ([], {"dropout": True}, r"dropout=True: give a seed or several"),
        ([], {"dropout": [0, -1]}, r"dropout=-1: a seed is an integer from 0 to 2\*\*32 - 1"),
        (["seed.init=0"], {"init": 1}, r"seed\.init is given twice, as a word and as an argument"),
    ],
)
def test_what_cannot_be_used_is_an_input_error_with_the_commands_line(tmp_path, words, seeds, line):
    with pytest.raises(seedgrid.InputError, match=f"^{line}") as refused:
        seedgrid.run(*words, **seeds, folder=tmp_path / "sweep")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "sweep").exists()
    assert not GlobalHydra.instance().is_initialized()
