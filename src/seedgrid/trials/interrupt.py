"""Ctrl-C once: every trial writes its checkpoint after the step it is in. Twice: at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from types import FrameType

_requested = threading.Event()
_parent = False


def listen(*, parent: bool = False) -> None:
    """Take over SIGINT and SIGTERM in this process, if this is its main thread.

    Args:
        parent: this process runs the sweep: it tells the user, and passes the request on to its worker processes.
    """
    global _parent
    _parent = _parent or parent
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _handle)
        signal.signal(signal.SIGTERM, _handle)


def requested() -> bool:
    """Whether this process was asked to stop; stays so until the process ends."""
    return _requested.is_set()


def _handle(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT and _requested.is_set():
        # At once, for files are whole or absent at every moment: no clean-up that could hang is worth the wait.
        for worker in multiprocessing.active_children():
            worker.kill()
        os._exit(130)
    first = not _requested.is_set()
    _requested.set()
    if first and _parent:
        # os.write: a signal may come while the main thread is inside a buffered write of its own.
        os.write(sys.stderr.fileno(), b"\nstopping: each running trial writes its checkpoint; Ctrl-C again: at once\n")
        # A terminal sends Ctrl-C to the workers too, `kill` does not. SIGTERM never escalates, so both are safe.
        for worker in multiprocessing.active_children():
            worker.terminate()
