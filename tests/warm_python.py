"""A Python that has imported what trials need and is forked for each command: tests start commands by the dozen.

Importing torch, Lightning and Transformers takes ten times as long as a tiny trial. Run as a script, this file imports
them once, reads requests from a socket on its standard input, and for each forks a process that becomes ``python
WORDS``: its words, folder, environment, output, signals and exit code are those of the command. What only a new process
shows is tested with one: what is imported when and what is said then, what libraries read from the environment when
they are imported, and the engines that start workers.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn


class WarmPython:
    """The process that is forked, as long as the context lasts."""

    def __enter__(self) -> WarmPython:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen([sys.executable, __file__], stdin=theirs, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.wait(timeout=60)

    def start(self, *words: str, cwd: Path = Path(), env: Mapping[str, str] | None = None, **options: bool) -> Running:
        """Start ``python WORDS``: ``-m MODULE`` or a script's path, and its words.

        Args:
            words: behind ``python``.
            cwd, env: its folder and its environment; None: this process's.
            options: ``start_new_session``, as for :class:`subprocess.Popen`.
        """
        request = {"words": words, "cwd": str(cwd.resolve()), "env": dict(os.environ if env is None else env)} | options
        ends = [os.pipe() for _ in range(3)]
        socket.send_fds(self._requests, [json.dumps(request).encode()], [theirs for _, theirs in ends])
        for _, theirs in ends:
            os.close(theirs)
        return Running([ours for ours, _ in ends])


class Running:
    """A process that was started, as far as tests need it like :class:`subprocess.Popen`.

    Attributes:
        pid: its number, and its group's if it started a session.
        stdout, stderr: pipes, as text.
        returncode: None while it runs; negative: the signal that ended it.
    """

    def __init__(self, ends: list[int]) -> None:
        self.stdout, self.stderr, self._status = (open(end) for end in ends)  # noqa: SIM115 - open while it runs
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it still puts out, standard output and standard error, until it has ended."""
        said = {}
        readers = [
            threading.Thread(target=lambda name=name: said.update({name: getattr(self, name).read()}), daemon=True)
            for name in ("stdout", "stderr")
        ]
        until = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if until is None else max(0, until - time.monotonic()))
        self.wait(None if until is None else max(0, until - time.monotonic()))
        return said["stdout"], said["stderr"]

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._status.readline()))
        return self.returncode


def _requested() -> dict:
    """Fork for each request; comes back in the processes that shall do what was requested."""
    requests = socket.socket(fileno=0)
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    waiting: set[int] = set()
    while True:
        message, ends, *_ = socket.recv_fds(requests, 2**20, 3)
        for pid in [pid for pid in waiting if os.waitpid(pid, os.WNOHANG)[0]]:
            waiting.remove(pid)
        if not message:
            sys.exit()
        pid = os.fork()
        if pid == 0:
            break
        waiting.add(pid)
        for end in ends:
            os.close(end)
    stdout, stderr, status = ends
    requests.close()
    os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free: standard input's
    pid = os.fork()
    if pid:
        _report(pid, ends)
    os.close(status)
    for end, number in ((stdout, 1), (stderr, 2)):
        os.dup2(end, number)
        os.close(end)
    signal.signal(signal.SIGINT, on_interrupt)
    return json.loads(message)


def _report(pid: int, ends: list[int]) -> NoReturn:
    """Write a child's number, and how it ended."""
    stdout, stderr, status = ends
    os.close(stdout)
    os.close(stderr)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody may be left to hear it
    os.write(status, f"{pid}\n".encode())
    os.write(status, f"{os.waitpid(pid, 0)[1]}\n".encode())
    os._exit(0)


def _become(words: list[str], cwd: str, env: dict[str, str], start_new_session: bool = False) -> NoReturn:
    """What an interpreter does with its words; but it frees no memory at the end, which would copy all of it first."""
    if start_new_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.orig_argv = [sys.executable, *words]
    code: object = None
    try:
        if words[0] == "-m":
            sys.path[0], sys.argv = cwd, words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0], sys.argv = str(Path(words[0]).parent), words
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError as error:
        print(f"at exit: {error}", file=sys.stderr)
        code = 120
    os._exit(code or 0)


if __name__ == "__main__":
    import seedgrid.report.entry
    import seedgrid.sweep.start_many
    import seedgrid.training.text.fine_tuning
    import seedgrid.training.text.model.first_pass
    import seedgrid.trials.run  # noqa: F401

    gc.collect()
    gc.freeze()  # or a fork's first search for garbage would copy all memory
    _become(**_requested())
