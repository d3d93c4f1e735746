"""What a trial changes in its process: noted before, and put back for a caller who goes on there.

What needs no torch, the signals and the environment for instance, is not among it: that caller keeps it.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.utils.deterministic

_LIGHTNING = logging.getLogger("pytorch_lightning")


def _deterministic(setting: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(setting[0], warn_only=setting[1])


def _fill(setting: bool) -> None:
    torch.utils.deterministic.fill_uninitialized_memory = setting


def _kernels(setting: tuple[bool, bool]) -> None:
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = setting


def _thaw(frozen: int) -> None:
    if not frozen:
        gc.unfreeze()


# How each is read, and how it is set. That glibc is told to keep freed memory cannot be read, and stays so.
_Setting = tuple[Callable[[], Any], Callable[[Any], object]]
_SETTINGS: list[_Setting] = [
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _deterministic,
    ),
    (lambda: torch.utils.deterministic.fill_uninitialized_memory, _fill),
    (lambda: (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark), _kernels),
    (torch.get_rng_state, torch.set_rng_state),
    (lambda: torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [], torch.cuda.set_rng_state_all),
    (gc.get_freeze_count, _thaw),
    (lambda: _LIGHTNING.level, _LIGHTNING.setLevel),
]
_found: list[Any] = []


def note(*more: _Setting) -> None:
    """Note what there is, unless something is noted already.

    Args:
        more: how further settings are read and set, the same ones whenever they are given.
    """
    new = [setting for setting in more if setting not in _SETTINGS]
    _SETTINGS.extend(new)
    if _found:
        _found.extend(read() for read, _ in new)
    else:
        _found[:] = [read() for read, _ in _SETTINGS]


def forget() -> None:
    """Forget what was noted, before somebody whose settings may be others."""
    _found.clear()


def put_back() -> None:
    """Put back what was noted, if anything was, and forget it."""
    for (_, put), found in zip(_SETTINGS, _found, strict=False):
        put(found)
    forget()
