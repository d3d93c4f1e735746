"""Ctrl-C once: every trial writes its checkpoint after the step it is in. Twice: at once.

SIGTERM, and SIGUSR1 and SIGUSR2, with which batch systems announce the end of a job's time, are as Ctrl-C once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from types import FrameType

POLITE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # those that never end a process at once

_requested = threading.Event()
_by: int | None = None
_parent = False
_lent: frozenset[BaseProcess] | None = None  # within given_back: the caller's own child processes


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


@contextmanager
def given_back() -> Iterator[None]:
    """Around a sweep in a process that goes on after it: signals are its own again at the end, and no request is left.

    Ctrl-C twice ends the sweep at once, and not the process: it raises KeyboardInterrupt.
    """
    global _by, _parent, _lent
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *POLITE)} if main else {}
    _lent = frozenset(multiprocessing.active_children())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _requested.clear()
        _by, _parent, _lent = None, False, None


def requested() -> bool:
    """Whether this process was asked to stop; stays so until the process ends, or what :func:`given_back` encloses."""
    return _requested.is_set()


def requested_by() -> int | None:
    """The signal that asked this process to stop first; None before."""
    return _by


def _handle(number: int, frame: FrameType | None) -> None:
    global _by
    workers = [child for child in multiprocessing.active_children() if child not in (_lent or ())]
    if number == signal.SIGINT and _requested.is_set():
        # At once, for files are whole or absent at every moment: no clean-up that could hang is worth the wait.
        for worker in workers:
            worker.kill()
        if _lent is not None:
            raise KeyboardInterrupt
        os._exit(130)
    first = not _requested.is_set()
    if first:
        _by = number
    _requested.set()
    if first and _parent:
        _tell("\nstopping: each running trial writes its checkpoint; Ctrl-C again: at once\n")
        # A terminal sends Ctrl-C to the workers too, `kill` does not. SIGTERM never escalates, so both are safe.
        for worker in workers:
            worker.terminate()


def _tell(text: str) -> None:
    """Write to standard error, past its buffer: a signal may come while the main thread is inside of such a write."""
    with suppress(AttributeError, OSError, ValueError):  # there is none, or none that is a file
        os.write(sys.stderr.fileno(), text.encode())
