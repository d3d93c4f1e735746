"""A trial's curves in Weights & Biases or CSV. A logger that fails is dropped with one line; the trial goes on."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from seedgrid.seeds import Seeds
from seedgrid.settings import Settings
from seedgrid.trials.store import trial_name
from seedgrid.trials.wandb_mode import wandb_is_online

# Seconds that a trial may wait for W&B's servers before its run is kept offline.
WANDB_PATIENCE = 20
_unreachable = False  # found out by a trial of this process; the next ones do not wait again


class TrialLog:
    """Where a trial's curves go; every method is safe to call whatever the logger does.

    Args:
        settings: the trial's.
        fingerprint: of the sweep's configuration.
        config: what is shown of the configuration.
    """

    def __init__(self, settings: Settings, fingerprint: str, config: dict[str, Any]) -> None:
        self.logger: Logger | None = None
        opener = {"wandb": _open_wandb, "csv": _open_csv, "none": lambda *_: None}[settings.logger.kind]
        self._guard(lambda: setattr(self, "logger", opener(settings, fingerprint, config)))

    def log_step(self, step: int, loss: float, learning_rate: float) -> None:
        self._log({"train/loss": loss, "train/learning_rate": learning_rate}, step)

    def log_evaluation(self, row: dict[str, float]) -> None:
        columns = {f"validation/{name}": value for name, value in row.items() if name not in ("step", "epoch")}
        self._log({"epoch": row["epoch"], **columns}, int(row["step"]))

    def finish(self, summary: dict[str, Any], failed: bool = False) -> None:
        """Close the run, so that the next trial of this process opens its own."""

        def close() -> None:
            if isinstance(self.logger, WandbLogger):
                self.logger.experiment.summary.update(summary)
                self.logger.experiment.finish(exit_code=int(failed))
            elif self.logger is not None:
                self.logger.finalize("failed" if failed else "success")

        self._guard(close)
        self.logger = None

    def _log(self, values: dict[str, float], step: int) -> None:
        if self.logger is not None:
            self._guard(lambda: self.logger.log_metrics(values, step))

    def _guard(self, action) -> None:
        try:
            action()
        except Exception as error:  # a logger is never worth a trial
            print(f"logger: {type(error).__name__}: {error}; this trial goes on without it", file=sys.stderr)
            self.logger = None


def run_id(sweep: str, fingerprint: str, seeds: Seeds) -> str:
    """A stable W&B id: the same trial of the same sweep continues the same run."""
    return hashlib.sha256(f"{Path(sweep).name} {fingerprint} {trial_name(seeds)}".encode()).hexdigest()[:16]


def _open_wandb(settings: Settings, fingerprint: str, config: dict[str, Any]) -> WandbLogger:
    import wandb

    global _unreachable
    folder = Path(settings.sweep)
    online = wandb_is_online() and not _unreachable
    arguments = {
        "project": settings.logger.project,
        "entity": settings.logger.entity,
        "group": folder.name,
        "job_type": "trial",
        "name": f"{folder.name} {trial_name(settings.seed)}",
        "tags": [settings.task.name, settings.model.name, settings.recipe.name, *settings.logger.tags],
        "id": run_id(settings.sweep, fingerprint, settings.seed),
        "config": {**settings.seed.model_dump(), **config},
        "dir": folder,
        # One process runs many trials: each has a run of its own, whatever the one before left open.
        "reinit": "create_new",
        "settings": wandb.Settings(silent=True, console="off", init_timeout=WANDB_PATIENCE),
    }
    try:
        # Offline, "allow" only earns a warning; the id makes the server continue the run when it is uploaded.
        run = wandb.init(
            mode=None if online else os.environ.get("WANDB_MODE", "offline"),
            resume="allow" if online else None,
            **arguments,
        )
    except Exception as error:
        if not online:
            raise
        print(f"logger: W&B cannot be reached ({type(error).__name__}); runs are kept offline", file=sys.stderr)
        _unreachable = True
        run = wandb.init(mode="offline", **arguments)
    run.define_metric("train/*", step_metric="trainer/global_step")
    run.define_metric("validation/*", step_metric="epoch")
    return WandbLogger(experiment=run)


def _open_csv(settings: Settings, fingerprint: str, config: dict[str, Any]) -> CSVLogger:
    return CSVLogger(save_dir=Path(settings.sweep) / trial_name(settings.seed), name="", version="")
