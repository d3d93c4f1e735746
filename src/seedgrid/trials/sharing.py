"""How several trials share a GPU: how many of them fit, and NVIDIA's server that lets them compute at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

from seedgrid.settings import Settings
from seedgrid.trials.devices import usable_gpus

# Trials at once by millions of weights: what was measured to gain on an H200, three of BERT-large (335), four of
# BERT-base (110); of smaller models more, which was not measured.
_AT_ONCE = ((200, 3), (50, 4), (0, 8))
_TURNS = 50  # above it, trials with a captured step gain nothing from sharing a GPU by turns: they leave no gaps
_CONTEXT = 2**30  # bytes that each process takes for CUDA itself, its libraries' kernels and their workspaces
_SPARE = 1.25  # over the estimate: evaluations, recorded steps of several shapes, gaps between blocks of memory
_CONTROL = "nvidia-cuda-mps-control"
_PATIENCE = 30  # seconds for the server to end


def trials_a_gpu(settings: Settings, memory: Callable[[], tuple[float, float]]) -> int:
    """What ``trainer.per_gpu=auto`` comes to: as many trials as a GPU has memory for, and the machine cores.

    Args:
        settings: of the trials.
        memory: gives a model's number of weights, and bytes of GPU memory that a trial of it takes.

    Returns:
        1 to 8; 1, with a line that says why, where the training or the driver does not tell enough.
    """
    try:
        weights, own = memory()
        needed = _CONTEXT + _SPARE * own
        free = _free_memory()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, subprocess.SubprocessError) as error:
        print(f"trainer.per_gpu=auto: 1, since memory cannot be estimated ({type(error).__name__})", file=sys.stderr)
        return 1
    millions = weights / 1e6
    by_turns = shutil.which(_CONTROL) is None or not settings.trainer.mps
    if by_turns and settings.trainer.capture and millions > _TURNS:
        return 1
    most = next(count for above, count in _AT_ONCE if millions > above)
    cores = cpu_count() // settings.trainer.threads // len(usable_gpus()[0])
    return max(1, min(most, int(free / needed), cores))


def _free_memory() -> float:
    """Bytes that are free on the fullest of the GPUs; nvidia-smi is asked, PyTorch would take some of it to answer."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    names = usable_gpus()[0]
    answer = subprocess.run([*command, f"--id={','.join(names)}"], capture_output=True, text=True, check=True)
    return min(int(line) for line in answer.stdout.splitlines()) * 2**20


@contextmanager
def mps_server(folder: Path) -> Iterator[None]:
    """NVIDIA's Multi-Process Service for the workers that are started meanwhile; ended with the block.

    Whoever kills the process, or sends Ctrl-C twice, leaves it behind.

    A server of this command's own: its pipes lie in a temporary folder, on a local disk and under a short name as
    sockets need them, its log where it can be found afterwards. Where there is none, a line says why.

    Args:
        folder: the sweep's.
    """
    program = shutil.which(_CONTROL)
    if program is None:
        print(f"trainer.mps=true: no {_CONTROL} on this machine; trials that share a GPU take turns", file=sys.stderr)
        yield
        return
    log = folder.resolve() / ".cache" / "mps"
    log.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="seedgrid-mps-", ignore_cleanup_errors=True) as pipes:
        places = {"CUDA_MPS_PIPE_DIRECTORY": pipes, "CUDA_MPS_LOG_DIRECTORY": str(log)}
        before = {name: os.environ.get(name) for name in places}
        # Without a session of its own, Ctrl-C would end it while trials write their checkpoints.
        environment = os.environ | places
        started = subprocess.run([program, "-d"], env=environment, start_new_session=True).returncode == 0
        if not started:
            print(f"trainer.mps=true: its server does not start, log: {log}; trials take turns", file=sys.stderr)
            yield
            return
        os.environ.update(places)  # workers inherit them, and connect when they first use the GPU
        try:
            yield
        finally:
            os.environ.update({name: value for name, value in before.items() if value is not None})
            for name in (name for name, value in before.items() if value is None):
                del os.environ[name]
            # Joblib keeps its workers, and a server waits for its clients.
            get_reusable_executor().shutdown(wait=True)
            try:
                subprocess.run([program], env=environment, input="quit\n", text=True, timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                print(f"trainer.mps=true: its server has not ended after {_PATIENCE} s; log: {log}", file=sys.stderr)
