"""Where a trial ends, or is left so that it can go on."""

from __future__ import annotations

import time

import pytorch_lightning as pl

from seedgrid.records.record import TrialRecord
from seedgrid.training.text.model.module import FineTuning
from seedgrid.trials import checkpoint, interrupt
from seedgrid.trials.best_of_trial import BestOfTrial
from seedgrid.trials.clock import Clock
from seedgrid.trials.losses import Losses


class Checkpointing(pl.Callback):
    """Ends the training at its last step; before, writes a checkpoint every so many minutes and at a request to end.

    A checkpoint after a step promises that all of the step is recorded, and that the best weights were handed over.

    Args:
        record: the trial's.
        losses: that may have to be recorded first.
        best: the trial's best weights, which it would not train again.
        minutes: between two checkpoints.
        last_step: of the training.
        clock: the trial's.
    """

    def __init__(
        self,
        record: TrialRecord,
        losses: Losses,
        best: BestOfTrial,
        minutes: float,
        last_step: int,
        clock: Clock,
    ) -> None:
        self.record = record
        self.losses = losses
        self.best = best
        self.minutes = minutes
        self.last_step = last_step
        self.clock = clock
        self.interrupted = False
        self._latest = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: FineTuning) -> None:
        interrupt.listen()  # again: Lightning has put a handler in front of ours that ends the process at SIGTERM

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        step = pl_module.start + batch_idx + 1
        if trainer.should_stop or step == self.last_step:
            trainer.should_stop = True
            return
        requested = interrupt.requested()
        if requested or time.monotonic() - self._latest >= 60 * self.minutes:
            self.losses.settle(trainer)
            if trainer.should_stop:  # one of them was no number
                return
            seconds = self.clock.seconds()
            self.record.write("running", seconds)
            self.best.hand_over()
            training = pl_module.step
            checkpoint.save(self.record.folder, training.network, training.optimizer, trainer, step, seconds)
            self._latest = time.monotonic()
        self.interrupted = trainer.should_stop = requested
