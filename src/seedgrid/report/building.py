"""Reports and comparisons made for someone who waits: one at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

from seedgrid.errors import InputError
from seedgrid.records.store import read_sweep
from seedgrid.report.comparing import ComparisonOptions, make_comparison, read_pair
from seedgrid.report.entry import ReportOptions, make_report

# Not forked from a server that has threads; and what these import, a page does not wait for.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])
Make = Callable[[Callable[[str, int], object]], None]


@dataclass
class Build:
    """A page that is asked for, being made, or done.

    Attributes:
        what: what is being done now.
        part, parts: which part of the page that is, of how many; 0 before the first.
        done: whether it has ended.
        error: why there is no page, in one line; empty if there is one.
    """

    what: str = "waiting for another page that is being made"
    part: int = 0
    parts: int = 0
    done: bool = False
    error: str = ""


class Builder:
    """Makes pages, one at a time: each computes on all cores, and drawing is for one thread at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._closed = False
        self._process: multiprocessing.process.BaseProcess | None = None
        # Ctrl-C is the server's: started with it blocked, the others know none, not even while they import. The tracker
        # is started first, since its start ends in unblocking.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        forkserver.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def start(self, make: Make) -> Build:
        """Make a page when its turn comes, by ``make(advance)`` in another process."""
        build = Build()
        threading.Thread(target=self._run, args=(build, make), daemon=True).start()
        return build

    def _run(self, build: Build, make: Make) -> None:
        with self._turn:
            if self._closed:
                return
            build.what = "reading the records"
            ours, theirs = _PROCESSES.Pipe(duplex=False)
            process = _PROCESSES.Process(target=_work, args=(theirs, make), daemon=True)
            process.start()
            theirs.close()
            self._process = process
            try:
                while not build.done:
                    done, build.error, build.what, build.parts = ours.recv()
                    build.part += not done
                    build.done = done
            except EOFError:
                process.join()
                code = process.exitcode
                build.error = f"the process that made this page ended with code {code}; the terminal may say why"
                build.done = True
            process.join()
            self._process = None

    def close(self) -> None:
        """End what is being made, and make nothing more. A page that was not finished is made again when asked for."""
        self._closed = True
        process = self._process
        if process is not None:
            process.terminate()


def _work(connection: Connection, make: Make) -> None:
    error = ""
    try:
        make(lambda what, parts: connection.send((False, "", what, parts)))
    except InputError as refused:
        error = str(refused)
    connection.send((True, error, "", 0))


def sweep_report(advance: Callable[[str, int], object], folder: Path, output: Path, options: ReportOptions) -> None:
    """A sweep's report, as ``seedgrid report`` makes it."""
    make_report([read_sweep(folder)], output, options, advance, [folder])


def comparison(
    advance: Callable[[str, int], object], a: Path, b: Path, output: Path, options: ComparisonOptions
) -> None:
    """A comparison of two sweeps, as ``seedgrid compare`` makes it."""
    make_comparison(*read_pair(a, b), output, options)
