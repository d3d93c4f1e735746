"""What a rehearsal shows of a user's module."""

from __future__ import annotations

import time
from statistics import median

import pytorch_lightning as pl
from torch.nn.parameter import is_lazy

from seedgrid.errors import InputError
from seedgrid.training.own.loop import are_predictions, logged

_OTHER_STEPS = (pl.callbacks.EarlyStopping, pl.callbacks.Timer, pl.callbacks.GradientAccumulationScheduler)


class Watch(pl.Callback):
    """Notes what validation logs and returns, and how long steps and a validation take.

    Attributes:
        metrics: names of what is logged.
        predictions: whether validation steps return logits and labels.
        validation_seconds: of a validation.
    """

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.predictions = False
        self.validation_seconds = 0.0
        self._ends: list[float] = []

    def batch_seconds(self) -> float:
        """Median over the batches but the first, which allocates."""
        spent = [end - begin for begin, end in zip(self._ends, self._ends[1:], strict=False)]
        return median(spent[1:] or spent or [0.0])

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # the module's own, of configure_callbacks, too
            if isinstance(callback, _OTHER_STEPS):
                raise InputError(
                    f"training: the callback {type(callback).__name__} changes how many steps are taken, and trials are"
                    " compared at equal steps; leave it out"
                )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        lazy = [name for name, weight in pl_module.named_parameters() if is_lazy(weight)]
        if lazy:
            raise InputError(
                f"training.module: {', '.join(lazy)} would be drawn at the first batch, where no init seed reaches; let"
                " the constructor or setup pass an example through the module"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ends.append(time.perf_counter())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx) -> None:
        self._ends.append(time.perf_counter())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.predictions = True
        self._begin = time.perf_counter()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx, dataloader_idx=0
    ) -> None:
        self.predictions &= are_predictions(outputs)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation_seconds = time.perf_counter() - self._begin
        self.metrics = list(logged(trainer))
