"""Which device a trial runs on, and that no more trials share a GPU than were allowed to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings

import pytest
import torch

from seedgrid.errors import InputError
from seedgrid.settings import TrainerSettings
from seedgrid.trials import devices
from seedgrid.trials.devices import claim_gpu, computes_bf16, resolve, usable_gpus, visible_gpus, workers


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Nothing remembered from before, no claims of other sweeps, and a CPU without bfloat16."""
    remembered = (visible_gpus, usable_gpus, computes_bf16, devices._say)
    for function in remembered:
        function.cache_clear()
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    yield
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def gpus(monkeypatch):
    """GPUs of these names, as a PyTorch with CUDA sees them."""

    def make(*names: str) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        visible_gpus.cache_clear()
        usable_gpus.cache_clear()

    return make


def trainer(**changes) -> TrainerSettings:
    values = {
        "accelerator": "auto",
        "precision": "auto",
        "threads": 1,
        "per_gpu": 1,
        "deterministic": True,
        "mps": False,
        "capture": True,
    }
    return TrainerSettings(**{**values, **changes})


# ---------------------------------------------------------------------------------------------------------- visible


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ("", ()),
        ("-1", ()),
        ("0", ("0",)),
        ("2, 3", ("2", "3")),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,1", ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "1")),
    ],
)
def test_the_environment_says_which_gpus_are_visible(monkeypatch, allowed, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus() == names


def nvidia_smi(folder, script: str, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_without_the_environment_the_driver_says_which_gpus_there_are(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, "echo 'GPU 0: H100 (UUID: GPU-1)'\necho 'GPU 1: H100 (UUID: GPU-2)'", monkeypatch)
    assert visible_gpus() == ("0", "1")


def test_a_driver_that_fails_has_no_gpus(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, "echo 'NVIDIA-SMI has failed because it could not reach the driver.'\nexit 9", monkeypatch)
    assert visible_gpus() == ()


def test_without_a_driver_there_are_no_gpus(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == ()


# ---------------------------------------------------------------------------------------------------------- resolve


@pytest.mark.parametrize(
    ("names", "settings", "resolved"),
    [
        ((), {}, ("cpu", "32-true")),
        (("0",), {}, ("gpu", "bf16-mixed")),
        (("0",), {"accelerator": "cpu"}, ("cpu", "32-true")),
        (("0",), {"accelerator": "gpu", "precision": "16-mixed"}, ("gpu", "16-mixed")),
        (("0",), {"precision": "32-true"}, ("gpu", "32-true")),
        ((), {"precision": "bf16-mixed"}, ("cpu", "bf16-mixed")),
    ],
)
def test_auto_is_a_gpu_in_bf16_where_there_is_one_else_the_cpu(gpus, names, settings, resolved):
    gpus(*names)
    assert resolve(trainer(**settings)) == resolved


@pytest.mark.parametrize(
    ("cpuinfo", "precision"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", "bf16-mixed"),
        ("flags\t\t: fpu avx512f\n\nflags\t\t: fpu amx_tile amx_bf16\n", "bf16-mixed"),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\nbugs\t\t: avx512_bf16\n", "32-true"),
        ("Features\t: fp asimd bf16\n", "32-true"),  # ARM: not measured
        (None, "32-true"),  # no Linux
    ],
)
def test_auto_is_bf16_on_a_cpu_that_computes_it_natively(gpus, tmp_path, cpuinfo, precision):
    gpus()
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert resolve(trainer()) == ("cpu", precision)
    assert resolve(trainer(), elsewhere=True) == ("cpu", "32-true"), "another machine's CPU cannot be seen from here"
    assert resolve(trainer(precision="32-true")) == ("cpu", "32-true")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"accelerator": "gpu"}, r"^trainer\.accelerator=gpu: no GPU"),
        ({"precision": "16-mixed"}, r"^trainer\.precision=16-mixed"),
    ],
)
def test_what_the_machine_cannot_do_is_refused(gpus, settings, complaint):
    gpus()
    with pytest.raises(InputError, match=complaint):
        resolve(trainer(**settings))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("named_by", ["the environment", "the driver"])
def test_auto_is_the_cpu_where_a_gpu_is_named_that_torch_cannot_use_and_says_why(
    monkeypatch, tmp_path, capsys, named_by
):
    if named_by == "the environment":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    else:
        nvidia_smi(tmp_path, "echo 'GPU 0: H100 (UUID: GPU-1)'", monkeypatch)
    assert visible_gpus() == ("0",)
    assert resolve(trainer()) == resolve(trainer()) == ("cpu", "32-true")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("trainer.accelerator=auto: the CPU, since ")
    assert workers("auto", 10**6, 7) == 1
    with pytest.raises(InputError) as refused:
        resolve(trainer(accelerator="gpu"))
    assert str(refused.value).startswith("trainer.accelerator=gpu: ")
    assert ("was built without CUDA" in str(refused.value)) == (not torch.backends.cuda.is_built())
    assert "use trainer=cpu" in str(refused.value)


def test_what_torch_says_of_a_driver_that_is_too_old_is_passed_on(gpus, monkeypatch):
    def is_available():
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old\n(found 11040).", stacklevel=1)
        return False

    gpus("0")
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    assert resolve(trainer()) == ("cpu", "32-true")
    with pytest.raises(
        InputError, match=r"^trainer\.accelerator=gpu: no GPU can be used: CUDA .* too old \(found 11040\)"
    ):
        resolve(trainer(accelerator="gpu"))


def test_more_gpus_named_than_there_are_are_not_waited_for(gpus, monkeypatch):
    gpus("0", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert workers("auto", 1, 3) == 3


@pytest.mark.parametrize(
    ("names", "arguments", "count"),
    [
        (("0", "1"), ("gpu", 1, 1), 2),
        (("0", "1"), ("gpu", 1, 3), 6),
        (("0", "1"), ("auto", 8, 2), 4),
        ((), ("gpu", 1, 2), 1),
        (("0",), ("cpu", 1, 2), 8),
        ((), ("auto", 1, 1), 8),
        ((), ("cpu", 3, 1), 2),
        ((), ("cpu", 16, 1), 1),
        ((), ("cpu", 0, 1), 8),
    ],
)
def test_a_worker_a_gpu_place_or_a_core_over_the_threads_of_a_trial(gpus, monkeypatch, names, arguments, count):
    gpus(*names)
    monkeypatch.setattr(devices, "cpu_count", lambda: 8)
    assert workers(*arguments) == count


# ------------------------------------------------------------------------------------------------------------ claims


class _Waited(Exception):
    """A claim had to wait."""


@pytest.fixture
def no_waiting(monkeypatch):
    def sleep(_):
        raise _Waited

    monkeypatch.setattr(devices.time, "sleep", sleep)


def test_trials_spread_over_the_gpus_before_they_share_one(gpus, no_waiting):
    gpus("4", "7")
    with claim_gpu(2) as first, claim_gpu(2) as second, claim_gpu(2) as third, claim_gpu(2) as fourth:
        assert [first, second, third, fourth] == [0, 1, 0, 1]  # positions among the visible ones, as torch counts
        with pytest.raises(_Waited), claim_gpu(2):
            pass


def test_a_worker_stays_on_the_gpu_that_it_was_on_where_that_has_room(gpus, no_waiting):
    gpus("4", "7")
    with claim_gpu(2, 1) as first, claim_gpu(2, 1) as second, claim_gpu(2, 1) as third:
        assert [first, second, third] == [1, 1, 0]


def test_where_there_is_no_gpu_a_trial_that_needs_one_does_not_wait_for_it(gpus, no_waiting):
    gpus()  # of a sweep whose trials run on another machine than its command
    with pytest.raises(InputError, match=r"trainer\.accelerator=gpu: no GPU is visible here"), claim_gpu(2):
        pass


def test_a_gpu_that_is_given_back_goes_to_the_trial_that_waits(gpus, monkeypatch):
    gpus("0")
    first = claim_gpu(1)
    first.__enter__()
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        first.__exit__(None, None, None)

    monkeypatch.setattr(devices.time, "sleep", sleep)
    with claim_gpu(1) as index:
        assert index == 0
    assert len(waited) == 1


def test_a_trial_that_fails_gives_its_gpu_back(gpus, no_waiting):
    gpus("0")
    with pytest.raises(ValueError, match="of the trial"), claim_gpu(1):
        raise ValueError("of the trial")
    with claim_gpu(1) as index:
        assert index == 0


def test_a_process_that_is_killed_gives_its_gpu_back(gpus, no_waiting):
    gpus("0")
    fork = multiprocessing.get_context("fork")
    claimed = fork.Event()

    def hold():
        with claim_gpu(1):
            claimed.set()
            signal.pause()

    holder = fork.Process(target=hold, daemon=True)
    holder.start()
    assert claimed.wait(timeout=60)
    with pytest.raises(_Waited), claim_gpu(1):
        pass
    holder.kill()
    holder.join(timeout=60)
    with claim_gpu(1) as index:
        assert index == 0


def test_where_no_gpu_is_in_sight_torch_is_not_asked():
    code = (
        "import sys; from seedgrid.trials.devices import usable_gpus; usable_gpus(); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
