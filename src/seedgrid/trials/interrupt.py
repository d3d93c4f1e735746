"""Ctrl-C once: every trial writes its checkpoint after the step it is in. Twice: at once.

SIGTERM, and SIGUSR1 and SIGUSR2, with which batch systems announce the end of a job's time, are as Ctrl-C once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from types import FrameType

POLITE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # those that never end a process at once

_requested = threading.Event()
_by: int | None = None
_parent = False


def listen(*, parent: bool = False) -> None:
    """Take over the signals that ask this process to end, if this is its main thread.

    Args:
        parent: this process runs the sweep: it tells the user, and passes the request on to its worker processes.
    """
    global _parent
    _parent = _parent or parent
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *POLITE):
            signal.signal(number, _handle)


def requested() -> bool:
    """Whether this process was asked to stop; stays so until the process ends."""
    return _requested.is_set()


def requested_by() -> int | None:
    """The signal that asked this process to stop first; None before."""
    return _by


def _handle(number: int, frame: FrameType | None) -> None:
    global _by
    if number == signal.SIGINT and _requested.is_set():
        # At once, for files are whole or absent at every moment: no clean-up that could hang is worth the wait.
        for worker in multiprocessing.active_children():
            worker.kill()
        os._exit(130)
    first = not _requested.is_set()
    if first:
        _by = number
    _requested.set()
    if first and _parent:
        # os.write: a signal may come while the main thread is inside a buffered write of its own.
        os.write(sys.stderr.fileno(), b"\nstopping: each running trial writes its checkpoint; Ctrl-C again: at once\n")
        # A terminal sends Ctrl-C to the workers too, `kill` does not. SIGTERM never escalates, so both are safe.
        for worker in multiprocessing.active_children():
            worker.terminate()
