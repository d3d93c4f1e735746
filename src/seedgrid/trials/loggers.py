"""A trial's curves in Weights & Biases or CSV, written beside the training: the trial waits for no server.

A logger that fails is dropped, which is said once a sweep; the trial goes on, and its record is whole without it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from filelock import Timeout
from pytorch_lightning.loggers import CSVLogger

from seedgrid.errors import one_line
from seedgrid.records.record import TrialRecord
from seedgrid.settings import LoggerSettings
from seedgrid.training.contract import Course, Listener
from seedgrid.trials.wandb_mode import forget_other_runs, run_lock, upload_command, wandb_mode

# Seconds after a failure before a trial of the sweep tries W&B's servers again, and before failures are said again.
_PAUSE, _SILENCE = 600, 3600


class Log(Protocol):
    """Somewhere that a trial's curves go.

    It is given all of a trial's rows in order, from the first on also where the trial goes on: what it has, it leaves
    out.
    """

    def row(self, step: int, values: dict[str, float]) -> None:
        """Take all that is known of a training step."""

    def finish(self, trial: dict[str, Any]) -> None:
        """Close, with the trial's ``trial.json`` as it is in the end."""


class TrialLog(Listener):
    """Follows a trial's record into a log; safe to call whatever the log does, and only ``finish`` waits for it.

    Args:
        record: the trial's; what it holds already is handed over first.
        settings: where to.
    """

    def __init__(self, record: TrialRecord, settings: LoggerSettings) -> None:
        self.record = record
        self.step = -1  # of the last row that was handed over
        self.curves: Log | None = None  # used in the one thread alone
        self.kind = settings.kind
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="logger")
        if settings.kind == "wandb":
            forget_other_runs()  # here, for other threads read the environment too
        opener = {"wandb": _open_wandb, "csv": _Csv, "none": lambda *_: None}[settings.kind]
        header = record.header | {"step": record.step}
        self._do(lambda: setattr(self, "curves", opener(record.folder, header, settings)))
        self.follow()

    def on_step_done(self, course: Course) -> None:
        self.follow()

    def follow(self) -> None:
        """Hand over the rows that the record has gained."""
        for step, values in self.record.rows(self.step):
            self.step = step
            self._do(lambda step=step, values=values: self.curves and self.curves.row(step, values))

    def finish(self) -> None:
        """Hand over the rest and close, so that the next trial of this process opens its own."""
        self.follow()
        trial = dict(self.record.header)
        if trial["status"] == "running":
            trial["status"] = "interrupted"
        self._do(lambda: self.curves and self.curves.finish(trial))
        self._thread.shutdown()

    def _do(self, action: Callable[[], object]) -> None:
        """Have the thread do it, after all that it was given before."""

        def guarded() -> None:
            try:
                action()
            except Exception as error:  # a logger is never worth a trial
                self.curves = None
                _say_failed(self.record.folder.parent, self.kind, error)

        self._thread.submit(guarded)


class _Csv:
    """``metrics.csv`` in the trial's folder, written anew where the trial goes on."""

    def __init__(self, folder: Path, trial: dict[str, Any], settings: LoggerSettings) -> None:
        self.logger = CSVLogger(save_dir=folder, name="", version="")

    def row(self, step: int, values: dict[str, float]) -> None:
        self.logger.log_metrics(values, step)

    def finish(self, trial: dict[str, Any]) -> None:
        self.logger.finalize("failed" if trial["status"] == "failed" else "success")


def _open_wandb(folder: Path, trial: dict[str, Any], settings: LoggerSettings) -> Log | None:
    """The trial's run; None where the record is enough: without a login, and a while after the servers failed."""
    mode = wandb_mode(settings.offline)
    if mode == "online" and _seconds_since_failure(folder.parent, "wandb") < _PAUSE:
        mode = settings.offline
    if mode == "records":
        return None
    import wandb

    from seedgrid.trials.wandb_run import PATIENCE, WandbRun

    lock = run_lock(folder)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        return None  # seedgrid upload sends what there is, and will send the rest
    try:
        run = WandbRun(folder, trial, settings, lock, online=mode == "online", patience=PATIENCE)
    except Exception as error:
        if mode != "online" or settings.offline != "folders":
            raise
        _say_failed(folder.parent, "wandb", error)
        wandb.teardown()  # until then, W&B's library takes the run for one that is open
        return WandbRun(folder, trial, settings, lock, online=False, patience=PATIENCE)
    if mode == "online":
        _failed_file(folder.parent, "wandb").unlink(missing_ok=True)
    return run


def _failed_file(sweep: Path, kind: str) -> Path:
    return sweep / ".cache" / f"{kind}.failed"


def _seconds_since_failure(sweep: Path, kind: str) -> float:
    try:
        return time.time() - _failed_file(sweep, kind).stat().st_mtime
    except OSError:
        return float("inf")


def _say_failed(sweep: Path, kind: str, error: Exception) -> None:
    """Print why a logger was dropped, unless some trial of the sweep did so lately."""
    said, file = False, _failed_file(sweep, kind)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("x").close()  # of several workers, one
    except FileExistsError:
        said = _seconds_since_failure(sweep, kind) < _SILENCE
        file.touch()
    except OSError:
        pass  # a full disk, for instance
    if not said:
        later = f"; later: {upload_command(sweep)}" if kind == "wandb" else ""
        print(f"logger={kind}: {one_line(error)}; trials go on without it{later}", file=sys.stderr, flush=True)
