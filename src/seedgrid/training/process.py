"""The process that runs trials: what it computes with, what memory it keeps, what its libraries say."""

from __future__ import annotations

import ctypes
import gc
import logging
import platform
import resource
import sys
import warnings
from contextlib import suppress
from functools import cache

import torch
import torch.utils.deterministic
from pytorch_lightning.plugins.environments import LightningEnvironment

from seedgrid.training import borrowed

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def configure_process(threads: int) -> None:
    """Threads decide the order of additions, so they are part of a trial; what libraries say is not."""
    borrowed.note()
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)  # whatever a notebook has set
    torch.set_float32_matmul_precision("highest")  # whatever TORCH_ALLOW_TF32_CUBLAS_OVERRIDE says
    # Lightning's loggers write in rank 0 alone, and took their rank from RANK, SLURM_PROCID, ... when imported.
    LightningEnvironment().set_global_rank(0)
    # Deterministic algorithms also fill memory that nobody has written yet, to show whoever reads it; nobody does.
    torch.utils.deterministic.fill_uninitialized_memory = False
    _keep_freed_memory()
    _keep_imports()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")


@cache
def _keep_imports() -> None:
    """Leave what is imported out of the search for garbage after each trial, a quarter of a second."""
    gc.freeze()


@cache
def _keep_freed_memory() -> None:
    """Let the next step have a step's large tensors: by default, glibc hands them back, and Linux clears them again."""
    if platform.libc_ver()[0] == "glibc":
        c = ctypes.CDLL(None)
        c.mallopt(_M_MMAP_MAX, 0)
        c.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Give back what a trial held, so that the next one does not share its device with it."""
    gc.collect()  # Trainer and module refer to each other
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # a device that has failed: the error of the trial says so
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def peak_memory_mb(device: str) -> int:
    """Peak memory that this process held of the GPU during this trial, or of the machine since it started."""
    if device == "gpu":  # reserved, for a recording that is replayed allocates nothing
        return round(torch.cuda.max_memory_reserved() / 2**20)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
