"""Runs in Weights & Biases: how one is started, and a trial's own, which takes the trial's rows, each once."""

from __future__ import annotations

import logging
import math
import tempfile
from pathlib import Path
from typing import Any

import wandb
from filelock import BaseFileLock

from seedgrid.records.store import scale_of, trial_name
from seedgrid.seeds import Seeds
from seedgrid.settings import LoggerSettings
from seedgrid.trials.wandb_mode import forget_other_runs, group_of, note_sent, run_id

# Seconds that a trial or a report gives W&B's servers to answer at its start, and to take what is left at its end.
PATIENCE = 20
# A run that ends so is one that goes on later: W&B calls it preempted.
_GOES_ON = ("running", "interrupted")


def set_up() -> wandb.Settings:
    """Make W&B's library this process's, whatever runs of others the environment names; returns its settings."""
    forget_other_runs()
    # Of a server that fails, its telemetry would say so again and again.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return wandb.setup(wandb.Settings(silent=True)).settings  # silent also in what is about no run


def start_run(
    place: LoggerSettings,
    *,
    online: bool,
    dir: Path | str,
    patience: float,
    live: bool = True,
    **arguments: Any,
) -> Any:
    """A new run, whatever run this process has open.

    Args:
        place: project and entity.
        online: send it to W&B's servers; False: keep it in one of W&B's own folders.
        dir: below which that folder is, or what W&B's library needs besides.
        patience: seconds to wait for the servers, and again at the end; then the library's error is raised.
        live: whether what it shows happens on this machine, now.
        arguments: of ``wandb.init``.
    """
    set_up()
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=patience,
        finish_timeout=patience,
        finish_timeout_raises=True,
        sagemaker_disable=True,
        x_save_requirements=False,  # a second for each run; the record has the versions that matter
        x_disable_machine_info=not live,
        x_disable_stats=not live,
        x_skip_transaction_log=online,  # the record is there to be sent again
    )
    return wandb.init(
        mode="online" if online else "offline",
        project=place.project,
        entity=place.entity or None,
        reinit="create_new",
        dir=str(dir),
        settings=settings,
        **arguments,
    )


class WandbRun:
    """The run of a trial. A run that the servers have already goes on where they say that it ended; one of W&B's own
    folders begins where the trial does, for ``wandb sync`` appends folder to folder.

    Args:
        folder: the trial's.
        trial: its ``trial.json``.
        place: project, entity, and tags besides those that every run has.
        lock: on the run; given back at its end.
        online, patience, live: of :func:`start_run`.

    Raises:
        wandb.errors.Error: the servers cannot be reached, or refuse.
    """

    def __init__(
        self,
        folder: Path,
        trial: dict[str, Any],
        place: LoggerSettings,
        lock: BaseFileLock,
        *,
        online: bool,
        patience: float,
        live: bool = True,
    ) -> None:
        self.folder, self.lock, self.online, self.patience = folder, lock, online, patience
        self.rows = 0
        self.last: dict[str, float] = {}
        self.best: dict[str, float] = {}
        self.scratch = tempfile.TemporaryDirectory(prefix="seedgrid-wandb-", ignore_cleanup_errors=True)
        try:
            config = trial["config"]
            groups = [config[group] for group in ("task", "model", "recipe") if group in config]
            names = [group["name"] for group in groups or [config["training"]]]
            self.scale = scale_of(trial)
            self.run = start_run(
                place,
                online=online,
                patience=patience,
                live=live,
                dir=self.scratch.name if online else folder.parent,
                resume="allow" if online else None,
                id=run_id(trial),
                group=group_of(folder.parent),
                job_type="trial",
                name=f"{group_of(folder.parent)} {trial_name(Seeds(**trial['seeds']))}",
                tags=[*names, *place.tags],
                config={**trial["seeds"], **config},
            )
            self.first = self.run.starting_step if online or not trial["step"] else trial["step"] + 1
            self.run.define_metric("train/*", step_metric="trainer/global_step")
            self.run.define_metric("gradient_norm/*", step_metric="trainer/global_step")
            self.run.define_metric("validation/*", step_metric="epoch")
        except BaseException:
            self._close()
            raise

    def row(self, step: int, values: dict[str, float]) -> None:
        """Take the next row, from the first on; one that the servers have is left out."""
        values = {"trainer/global_step": step, **values}
        self.rows += 1
        self.last |= values
        score = values.get("validation/score")
        if score is not None and step > 0:
            before = self.best.get("best_found")
            if before is None or not self.scale.turned(score) <= self.scale.turned(before):
                self.best = {"best_found": score, "best_epoch": values["epoch"]}
        if step >= self.first:
            self.run.log(values, step=step, commit=True)

    def finish(self, trial: dict[str, Any]) -> None:
        """End the run as the trial ended, and note it if the servers say that they have all of it."""
        status = trial["status"]
        try:
            best, threshold = self.best.get("best_found"), trial["diverged_at"]
            known = best is not None and threshold is not None
            at_threshold = known and self.scale.turned(best) <= self.scale.turned(threshold)
            diverged = status == "nonfinite" or (status == "completed" and at_threshold)
            # Also what follows from rows: some may have come without it. What is not finite W&B keeps of itself.
            last = {key: value for key, value in self.last.items() if math.isfinite(value)}
            nothing = {"best_found": None, "best_epoch": None}
            # Diverged is a number, for W&B averages numbers only.
            self.run.summary.update({**last, **nothing, **self.best, "diverged": int(diverged), "status": status})
            if status in _GOES_ON:
                self.run.mark_preempting()
            self.run.finish(exit_code=int(status in ("failed", *_GOES_ON)))
            if self.online and self._all_is_there():
                place = {"address": self.run.settings.base_url}
                note_sent(self.folder, trial, place | {"entity": self.run.entity, "project": self.run.project})
        finally:
            self._close()

    def _all_is_there(self) -> bool:
        """Whether the servers count all rows; they may be late with it, which is no failure."""
        stored = wandb.Api(timeout=round(self.patience)).run(f"{self.run.entity}/{self.run.project}/{self.run.id}")
        return stored.history_line_count >= self.rows

    def _close(self) -> None:
        self.scratch.cleanup()
        self.lock.release()
