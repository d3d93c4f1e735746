"""A trial's curves in Weights & Biases or CSV, written beside the training: the trial waits for no server.

A logger that fails is dropped with one line; the trial goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from seedgrid.settings import Settings
from seedgrid.trials.store import trial_name
from seedgrid.trials.wandb_mode import run_id


class TrialLog:
    """Where a trial's curves go; every method is safe to call whatever the logger does, and only ``finish`` waits.

    Args:
        settings: the trial's.
        fingerprint: of the sweep's configuration.
        config: what is shown of the configuration.
    """

    def __init__(self, settings: Settings, fingerprint: str, config: dict[str, Any]) -> None:
        self.logger: Logger | None = None  # used in the one thread alone
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="logger")
        opener = {"wandb": _open_wandb, "csv": _open_csv, "none": lambda *_: None}[settings.logger.kind]
        self._do(lambda: setattr(self, "logger", opener(settings, fingerprint, config)))

    def log_step(self, step: int, loss: float, learning_rate: float) -> None:
        self._log({"train/loss": loss, "train/learning_rate": learning_rate}, step)

    def log_gradient_norms(self, row: dict[str, float]) -> None:
        self._log({f"gradient_norm/{name}": value for name, value in row.items() if name != "step"}, int(row["step"]))

    def log_evaluation(self, row: dict[str, float]) -> None:
        columns = {f"validation/{name}": value for name, value in row.items() if name not in ("step", "epoch")}
        self._log({"epoch": row["epoch"], **columns}, int(row["step"]))

    def finish(self, summary: dict[str, Any], failed: bool = False) -> None:
        """Close the run when all is written, so that the next trial of this process opens its own."""

        def close() -> None:
            if isinstance(self.logger, WandbLogger):
                self.logger.experiment.summary.update(summary)
                self.logger.experiment.finish(exit_code=int(failed))
            elif self.logger is not None:
                self.logger.finalize("failed" if failed else "success")

        self._do(close)
        self._thread.shutdown()

    def _log(self, values: dict[str, float], step: int) -> None:
        def log() -> None:
            if self.logger is not None:
                self.logger.log_metrics(values, step)

        self._do(log)

    def _do(self, action: Callable[[], None]) -> None:
        """Have the thread do it, after all that it was given before."""

        def guarded() -> None:
            try:
                action()
            except Exception as error:  # a logger is never worth a trial
                print(f"logger: {type(error).__name__}: {error}; this trial goes on without it", file=sys.stderr)
                self.logger = None

        self._thread.submit(guarded)


def _open_wandb(settings: Settings, fingerprint: str, config: dict[str, Any]) -> WandbLogger:
    from seedgrid.trials.wandb_run import start_run

    folder = Path(settings.sweep)
    run = start_run(
        settings.logger,
        resume=True,
        group=folder.name,
        job_type="trial",
        name=f"{folder.name} {trial_name(settings.seed)}",
        tags=[settings.task.name, settings.model.name, settings.recipe.name, *settings.logger.tags],
        id=run_id(settings.sweep, fingerprint, settings.seed),
        config={**settings.seed.model_dump(), **config},
        dir=folder,
    )
    run.define_metric("train/*", step_metric="trainer/global_step")
    run.define_metric("gradient_norm/*", step_metric="trainer/global_step")
    run.define_metric("validation/*", step_metric="epoch")
    return WandbLogger(experiment=run)


def _open_csv(settings: Settings, fingerprint: str, config: dict[str, Any]) -> CSVLogger:
    return CSVLogger(save_dir=Path(settings.sweep) / trial_name(settings.seed), name="", version="")
