"""A trial's curves in Weights & Biases or any Lightning logger, written beside the training, which waits for no server.

A logger that fails is dropped, which is said once a sweep; the trial goes on, and its record is whole without it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from seedgrid.errors import InputError, one_line
from seedgrid.files import write_json
from seedgrid.records.record import TrialRecord
from seedgrid.settings import LoggerSettings
from seedgrid.targets import find, make
from seedgrid.training.contract import Course, Listener
from seedgrid.trials.wandb_mode import forget_other_runs, run_lock, upload_command, wandb_mode

# Seconds after a failure before a trial of the sweep tries W&B's servers again, and before failures are said again.
_PAUSE, _SILENCE = 600, 3600
_KEY = "logger.lightning"


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
        self.name = settings.kind if settings.lightning is None else settings.lightning["_target_"].rpartition(".")[2]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="logger")
        if settings.kind == "wandb":
            forget_other_runs()  # here, for other threads read the environment too
        opener = {"wandb": _open_wandb, "lightning": _LightningLog, "none": lambda *_: None}[settings.kind]
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
                _say_failed(self.record.folder.parent, self.name, error)

        self._thread.submit(guarded)


class _LightningLog:
    """A trial in a Lightning logger of its own, made with the arguments that the config gives.

    A trial that goes on gives it all rows anew, and writes files anew so. A run of MLflow's has them already: it goes
    on, with what it lacks.

    Args:
        folder: the trial's; ``logger.json`` in it says which run of MLflow's is the trial.
        trial: its ``trial.json``; its seeds and its config are the hyperparameters.
        settings: which logger.

    Raises:
        InputError: the logger cannot be made.
    """

    def __init__(self, folder: Path, trial: dict[str, Any], settings: LoggerSettings) -> None:
        arguments, note = _arguments(settings, folder), folder / "logger.json"
        has_runs = "run_id" in signature(find(_KEY, arguments)).parameters and "run_id" not in arguments
        goes_on = has_runs and note.exists()
        if goes_on:
            arguments |= json.loads(note.read_text())
        with FileLock(folder.parent / ".cache" / "logger.lock"):  # of several at once, one makes the experiment
            self.logger = _make_logger(arguments)
            run = self.logger.version if has_runs else None
        self.last = _last_step(self.logger.experiment, run) if goes_on else -1
        if has_runs and not goes_on:
            write_json(note, {"run_id": run})
        self.hyperparameters = trial["seeds"] | dict(_flat(trial["config"]))
        # TensorBoard's page of hyperparameters has columns for those values that come with them.
        self.with_first_row = "metrics" in signature(self.logger.log_hyperparams).parameters
        if self.last < 0 and not self.with_first_row:
            self.logger.log_hyperparams(self.hyperparameters)

    def row(self, step: int, values: dict[str, float]) -> None:
        if step <= self.last:
            return
        if self.with_first_row:
            self.with_first_row = False
            self.logger.log_hyperparams(self.hyperparameters, values, step)
        else:
            self.logger.log_metrics(values, step)

    def finish(self, trial: dict[str, Any]) -> None:
        self.logger.finalize("failed" if trial["status"] in ("failed", "interrupted") else "success")


def _last_step(client: Any, run: str) -> int:
    """The last step that a run of MLflow's has; -1: none. It takes each row whole, so it lacks none before."""
    histories = (client.get_metric_history(run, name) for name in client.get_run(run).data.metrics)
    return max((metric.step for history in histories for metric in history), default=-1)


def check_logger(settings: LoggerSettings, folder: Path) -> None:
    """Raise InputError where the logger of a trial in ``folder`` cannot be made."""
    if settings.kind == "lightning":
        _make_logger(_arguments(settings, folder))


def _make_logger(arguments: dict[str, Any]) -> Any:
    """The logger; raises InputError where it cannot be made, or is none."""
    logger = make(_KEY, arguments)
    if not all(hasattr(logger, name) for name in ("log_metrics", "log_hyperparams", "finalize")):
        raise InputError(f"{_KEY}._target_={arguments['_target_']}: no Lightning logger; it has no log_metrics")
    return logger


def _arguments(settings: LoggerSettings, folder: Path) -> dict[str, Any]:
    """What the config gives, with the names of a trial's and its sweep's folder in it."""

    def filled(value: Any) -> Any:
        match value:
            case str():
                return value.replace("{sweep}", str(folder.parent)).replace("{trial}", folder.name)
            case dict():
                return {key: filled(inner) for key, inner in value.items()}
            case list():
                return [filled(inner) for inner in value]
        return value

    return filled(settings.lightning)


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


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


def _failed_file(sweep: Path, name: str) -> Path:
    return sweep / ".cache" / f"{name}.failed"


def _seconds_since_failure(sweep: Path, name: str) -> float:
    try:
        return time.time() - _failed_file(sweep, name).stat().st_mtime
    except OSError:
        return float("inf")


def _say_failed(sweep: Path, name: str, error: Exception) -> None:
    """Print why a logger was dropped, unless some trial of the sweep did so lately."""
    said, file = False, _failed_file(sweep, name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("x").close()  # of several workers, one
    except FileExistsError:
        said = _seconds_since_failure(sweep, name) < _SILENCE
        file.touch()
    except OSError:
        pass  # a full disk, for instance
    if not said:
        later = f"; later: {upload_command(sweep)}" if name == "wandb" else ""
        print(f"logger={name}: {one_line(error)}; trials go on without it{later}", file=sys.stderr, flush=True)
