"""How many trials ``trainer.per_gpu=auto`` puts on a GPU, and the server of ``trainer.mps=true``.

No GPU is needed: nvidia-smi and nvidia-cuda-mps-control are shell scripts that say what they were asked. They show what
this project asks of NVIDIA's programs, and when; not that those do it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seedgrid.training.text.memory import memory_of_a_trial
from seedgrid.trials import sharing
from seedgrid.trials.devices import usable_gpus, visible_gpus
from seedgrid.trials.sharing import mps_server, trials_a_gpu

GIB = 2**30


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder for programs, the only ones besides those of the system."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


# ------------------------------------------------------------------------------------------------------------- memory


@pytest.fixture
def bert(tmp_path):
    """A folder with the configuration of a BERT, and a file of weights of its size that takes no room."""

    def made(layers: int, width: int, millions: int, dtype: str = "float32") -> Path:
        folder = tmp_path / f"bert-{layers}-{dtype}"
        folder.mkdir()
        sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": width // 64}
        (folder / "config.json").write_text(json.dumps({"model_type": "bert", "dtype": dtype, **sizes}))
        with (folder / "model.safetensors").open("wb") as file:
            file.truncate(millions * 10**6 * (4 if dtype == "float32" else 2))
        return folder

    return made


@pytest.fixture
def gpus(monkeypatch, programs):
    """GPUs as PyTorch and the driver see them, each with so many free GiB, on a machine of 16 cores."""

    def make(*free: float) -> None:
        names = [str(k) for k in range(len(free))]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
        lines = "; ".join(f"echo {round(1024 * one)}" for one in free)
        wanted = f"--query-gpu=memory.free --format=csv,noheader,nounits --id={','.join(names)}"
        program(programs, "nvidia-smi", f'[ "$*" = "{wanted}" ] || exit 2; {lines}')
        visible_gpus.cache_clear()
        usable_gpus.cache_clear()

    monkeypatch.setattr(sharing, "cpu_count", lambda: 16)
    yield make
    visible_gpus.cache_clear()
    usable_gpus.cache_clear()


def test_a_trial_of_bert_large_is_estimated_to_take_its_weights_and_what_its_layers_keep(settings_of, bert):
    folder = bert(24, 1024, 335)
    weights, needed = memory_of_a_trial(settings_of([]), folder)
    assert weights == 335e6
    fixed = 335e6 * 22
    activations = 24 * (16 * 128) * (34 * 1024 + 5 * 16 * 128) * 2
    assert needed == pytest.approx(fixed + activations)
    assert memory_of_a_trial(settings_of([]), bert(24, 1024, 335, "float16")) == (weights, needed)
    assert memory_of_a_trial(settings_of(["recipe.batch_size=32"]), folder)[1] == pytest.approx(needed + activations)


@pytest.mark.parametrize(
    ("model", "free", "words", "count"),
    [
        ((24, 1024, 335), (139,), ["trainer.mps=true"], 3),
        ((12, 768, 110), (139,), ["trainer.mps=true"], 4),
        ((6, 384, 22), (139,), ["trainer.mps=true"], 8),
        ((24, 1024, 335), (30,), ["trainer.mps=true"], 2),  # memory for two
        ((24, 1024, 335), (139, 10), ["trainer.mps=true"], 1),  # the fuller GPU counts
        ((6, 384, 22), (79, 79, 79, 79), [], 4),  # 16 cores
        ((6, 384, 22), (79,), ["trainer.threads=8"], 2),
        ((24, 1024, 335), (139,), [], 1),  # taking turns gains nothing for so large a one,
        ((24, 1024, 335), (139,), ["trainer.capture=false"], 3),  # unless the GPU waits for the host
    ],
)
def test_auto_is_what_memory_cores_and_the_models_size_allow(
    settings_of, bert, gpus, programs, model, free, words, count
):
    gpus(*free)
    program(programs, "nvidia-cuda-mps-control", "")
    settings, folder = settings_of(words), bert(*model)
    assert trials_a_gpu(settings, lambda: memory_of_a_trial(settings, folder)) == count


def test_without_an_answer_of_the_driver_auto_is_one_and_a_line_says_so(settings_of, bert, gpus, programs, capsys):
    gpus(139)
    program(programs, "nvidia-smi", "echo 'Field memory.free is not valid'; exit 2")
    settings, folder = settings_of([]), bert(6, 384, 22)
    assert trials_a_gpu(settings, lambda: memory_of_a_trial(settings, folder)) == 1
    assert capsys.readouterr().err.startswith("trainer.per_gpu=auto: 1, since memory cannot be estimated (")


# ---------------------------------------------------------------------------------------------------------------- MPS

# What a control daemon is told, and where: a line a call.
CONTROL = """
told=$([ "$1" = -d ] || cat)
echo "$1 $told $CUDA_MPS_PIPE_DIRECTORY $CUDA_MPS_LOG_DIRECTORY" >> "$CALLS"
"""
PLACES = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")


@pytest.fixture
def calls(programs, tmp_path, monkeypatch):
    """What the control program was called with so far, word by word."""
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    program(programs, "nvidia-cuda-mps-control", CONTROL)

    def read() -> list[list[str]]:
        path = tmp_path / "calls"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    return read


def test_a_server_of_the_sweeps_own_is_there_while_trials_run(calls, tmp_path):
    with mps_server(tmp_path):
        [started] = calls()
        inherited = subprocess.run(["printenv", *PLACES], capture_output=True, text=True).stdout.split()
        assert started == ["-d", *inherited]
        pipes, log = map(Path, inherited)
        assert pipes.is_dir()
        assert log == tmp_path / ".cache" / "mps"
        assert log.is_dir()
    assert calls()[1:] == [["quit", *inherited]]
    assert not pipes.exists()
    assert not set(PLACES) & set(os.environ)


def test_the_server_ends_with_a_command_that_fails(calls, tmp_path):
    with pytest.raises(ValueError, match="of the sweep"), mps_server(tmp_path):
        raise ValueError("of the sweep")
    assert [call[0] for call in calls()] == ["-d", "quit"]
    assert not set(PLACES) & set(os.environ)


def test_the_server_ends_at_ctrl_c_after_the_workers(calls, tmp_path):
    code = f"""
import time
from pathlib import Path
from joblib import Parallel, delayed
from seedgrid.trials.sharing import mps_server

def trial(k):
    Path({str(tmp_path)!r}, "began").touch()
    time.sleep(60)

with mps_server(Path({str(tmp_path)!r})):
    Parallel(n_jobs=2)(delayed(trial)(k) for k in range(2))
"""
    sweep = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [call[0] for call in calls()] == ["-d"]
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does: to the whole group
    sweep.communicate(timeout=60)
    assert [call[0] for call in calls()] == ["-d", "quit"]


def test_without_the_program_or_where_it_fails_trials_run_and_a_line_says_so(calls, programs, tmp_path, capsys):
    program(programs, "nvidia-cuda-mps-control", "echo 'Cannot find MPS control daemon process'; exit 1")
    with mps_server(tmp_path):
        assert not set(PLACES) & set(os.environ)
    assert capsys.readouterr().err.startswith("trainer.mps=true: its server does not start, log: ")
    (programs / "nvidia-cuda-mps-control").unlink()
    with mps_server(tmp_path):
        assert not set(PLACES) & set(os.environ)
    assert capsys.readouterr().err.startswith("trainer.mps=true: no nvidia-cuda-mps-control on this machine; ")
