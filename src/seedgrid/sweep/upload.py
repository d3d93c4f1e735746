"""What ``seedgrid upload`` calls with its composed config: sends sweeps' trials to W&B from their records."""

from __future__ import annotations

import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from filelock import Timeout
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from seedgrid.errors import InputError, one_line, plain_exit
from seedgrid.records.rows import read_rows
from seedgrid.records.store import find_sweeps, trial_folders
from seedgrid.settings import LoggerSettings, SettingsGroup, read_config
from seedgrid.trials.wandb_mode import check_account, is_sent, read_shown, run_lock
from seedgrid.wording import count

_AT_ONCE = 8
# Seconds to wait for W&B's servers, of whom much is asked at once.
_PATIENCE = 60


class UploadSettings(SettingsGroup):
    """``upload.yaml``.

    Attributes:
        sweep: folder of a sweep, a pattern of folders, or a list of both.
        project, entity: of Weights & Biases; None: those that a trial was given.
    """

    sweep: str | list[str] | None
    project: str | None
    entity: str | None


@plain_exit()
def upload(config: DictConfig) -> None:
    """Send what W&B lacks of each sweep; exits with code 1 where something of it could not be sent."""
    settings = read_config(config, UploadSettings)
    trials = {sweep: [folder for _, folder in trial_folders(sweep)] for sweep in find_sweeps(settings.sweep)}
    for sweep, folders in trials.items():
        if not folders:
            raise InputError(f"sweep={sweep}: no trial there yet; start a sweep, or name another folder")
    check_account()
    from seedgrid.trials.wandb_run import set_up  # W&B's library takes a while

    address = set_up().base_url
    failed = False
    for sweep, folders in trials.items():
        failed = not _Upload(sweep, folders, settings, address).run() or failed
    if failed:
        sys.exit(1)


class _Upload:
    """One sweep's: its trials, several at once, until as many have failed at the servers: these are out of reach then.

    A single run may be refused for itself, for instance one that somebody deleted there, whose id is not given again.
    """

    def __init__(self, sweep: Path, folders: list[Path], settings: UploadSettings, address: str) -> None:
        self.sweep, self.folders, self.settings = sweep, folders, settings
        self.results: dict[Path, str] = {}
        self.errors: dict[Path, str] = {}
        self.refused: list[Path] = []  # by the servers
        self.address = address
        self.stopped = threading.Event()
        self.page = ""

    def run(self) -> bool:
        """Send all, and say what came of it; returns whether W&B has all that the records hold."""
        with (
            Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            bar = progress.add_task(self.sweep.name, total=len(self.folders))
            try:
                for _ in pool.map(lambda folder: (self._try(folder), progress.advance(bar)), self.folders):
                    pass
            except BaseException:
                self.stopped.set()  # those that are being sent are sent to their end
                raise
        self._say()
        return not self.errors

    def _try(self, folder: Path) -> None:
        if self.stopped.is_set():
            return
        try:
            self.results[folder] = self._send(folder)
        except Timeout:
            self.results[folder] = "live"
        except InputError as error:
            self.errors[folder] = str(error)
        except Exception as error:  # of the server, the network or the library: each has its own kinds
            # One fault is one line, whichever of the runs it is said of.
            self.errors[folder] = f"W&B: {re.sub(r'run [0-9a-f]{16}', 'a run', one_line(error))}"
            self.refused.append(folder)
            if len(self.refused) >= _AT_ONCE:
                self.stopped.set()

    def _send(self, folder: Path) -> str:
        from seedgrid.trials.wandb_run import WandbRun

        lock = run_lock(folder)
        with lock.acquire(timeout=0):
            trial = read_shown(folder)
            place = self._place(trial)
            known = {"project": place.project} | ({"entity": place.entity} if place.entity else {})
            if is_sent(folder, trial, address=self.address, **known):
                return "there"
            rows = read_rows(folder, trial)
            run = WandbRun(folder, trial, place, lock, online=True, patience=_PATIENCE, live=False)
            self.page = f"{run.run.project_url}/groups/{run.run.group}"
            for step, values in rows:
                run.row(step, values)
            run.finish(trial)
        if not is_sent(folder, trial):
            raise InputError(f"{folder}: W&B does not count all of its rows yet; the same command asks again")
        return "sent"

    def _place(self, trial: dict[str, Any]) -> LoggerSettings:
        """Where a trial goes: as it was told when it was trained, unless this command says otherwise."""
        logged = trial.get("logger") or {}
        logged = logged if logged.get("kind") == "wandb" else {}
        project, entity = (getattr(self.settings, key) or logged.get(key) for key in ("project", "entity"))
        return LoggerSettings(kind="wandb", project=project, entity=entity, tags=logged.get("tags", []))

    def _say(self) -> None:
        counts = [list(self.results.values()).count(how) for how in ("sent", "there", "live")]
        words = ("sent", "there already", "being sent by another process")
        parts = [f"{number} {word}" for number, word in zip(counts, words, strict=True) if number]
        left = len(self.folders) - len(self.results)
        parts += [f"{left} not sent"] if left else []
        print(f"{self.sweep}: {count(len(self.folders))}, {', '.join(parts)}")
        if self.page:
            print(f"  {self.page}")
        for reason in dict.fromkeys(self.errors.values()):
            print(f"  {reason}", file=sys.stderr)
        if self.refused:
            print("  the same command goes on where this one stopped", file=sys.stderr)
