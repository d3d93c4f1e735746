"""Which device a trial runs on, and how many trials run at once; asks torch only where there seems to be a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path

from filelock import FileLock, Timeout
from joblib import cpu_count

from seedgrid.errors import InputError
from seedgrid.settings import TrainerSettings

_CPUINFO = Path("/proc/cpuinfo")  # Linux's
_BF16 = {"avx512_bf16", "amx_bf16"}  # what it calls a processor's products in bfloat16


@cache
def visible_gpus() -> tuple[str, ...]:
    """Names of the GPUs that this process may use: entries of CUDA_VISIBLE_DEVICES, or 0, 1, ..."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1"))
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi is None:
        return ()
    listed = subprocess.run([nvidia_smi, "--list-gpus"], capture_output=True, text=True)
    return tuple(str(index) for index, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU"))


@cache
def usable_gpus() -> tuple[tuple[str, ...], str]:
    """Those of :func:`visible_gpus` that PyTorch can use, and if it can use none, why."""
    names = visible_gpus()
    if not names:
        return (), "no GPU is visible here; use trainer=cpu, or check nvidia-smi"
    import torch

    if not torch.backends.cuda.is_built():
        return (), f"this PyTorch ({torch.__version__}) was built without CUDA; use trainer=cpu, or install one with it"
    with warnings.catch_warnings(record=True) as said:  # of a driver that is too old, for one
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    reason = said[-1].message if said else f"PyTorch finds none (CUDA_VISIBLE_DEVICES={','.join(names)})"
    reason = " ".join(str(reason).split())
    return names[:count], f"no GPU can be used: {reason}; use trainer=cpu, or check nvidia-smi"


def _gpus() -> tuple[str, ...]:
    """Those that can be used; raises InputError if there are none."""
    names, reason = usable_gpus()
    if not names:
        raise InputError(f"trainer.accelerator=gpu: {reason}")
    return names


def resolve(trainer: TrainerSettings, elsewhere: bool = False, mixes: bool = True) -> tuple[str, str]:
    """Device type (``cpu`` or ``gpu``) and precision of a trial, here or on another machine.

    Args:
        trainer: the settings.
        elsewhere: whether it is another machine.
        mixes: whether ``auto`` may mean bf16-mixed.

    Raises:
        InputError: a GPU is asked for and there is none, or a precision that the device lacks.
    """
    device = trainer.accelerator
    if device == "auto":
        names, reason = usable_gpus()
        device = "gpu" if names else "cpu"
        if visible_gpus() and not names:
            _say(f"trainer.accelerator=auto: the CPU, since {reason}")
    if device == "gpu" and not elsewhere:
        _gpus()
    if trainer.precision == "auto":
        native = device == "gpu" or (not elsewhere and computes_bf16())
        return device, "bf16-mixed" if mixes and native else "32-true"
    if device == "cpu" and trainer.precision == "16-mixed":
        raise InputError("trainer.precision=16-mixed is for GPUs only; on a CPU use 32-true or bf16-mixed")
    return device, trainer.precision


@cache
def computes_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 numbers natively, which is about twice as fast as float32.

    Only Linux on x86 is asked; on no other was it measured.
    """
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and not _BF16.isdisjoint(line.split()) for line in lines)


@cache
def _say(line: str) -> None:
    """On standard error, once."""
    print(line, file=sys.stderr)


def on_gpu(accelerator: str) -> bool:
    """Whether trials run on GPUs, as far as can be said before the settings are checked."""
    return accelerator == "gpu" or (accelerator == "auto" and bool(usable_gpus()[0]))


def workers(accelerator: str, threads: int, per_gpu: int) -> int:
    """Trials to run at once on this machine: one a core (over its threads), or ``per_gpu`` a GPU."""
    if on_gpu(accelerator):
        return max(1, len(usable_gpus()[0]) * per_gpu)
    return max(1, cpu_count() // max(1, threads))  # joblib's: a container's share of a machine counts too


@contextmanager
def claim_gpu(per_gpu: int, first: int | None = None) -> Iterator[int]:
    """Index of a GPU with fewer than ``per_gpu`` trials on it, ``first`` if that has; waits for one.

    A claim is a lock on a file that goes with the process, so it holds between all sweeps of this user on this machine
    and cannot be left behind.

    Raises:
        InputError: there is none to wait for, as on another machine than the sweep's.
    """
    names = _gpus()
    folder = Path(tempfile.gettempdir()) / f"seedgrid-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    places = sorted(product(range(per_gpu), range(len(names))), key=lambda place: place[1] != first)
    while True:
        for slot, index in places:
            lock = FileLock(folder / f"gpu-{names[index]}-{slot}.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            try:
                yield index
            finally:
                lock.release()
            return
        time.sleep(1)
