"""A trial's evaluations, on disk as soon as they are there."""

from __future__ import annotations

import pytorch_lightning as pl

from seedgrid.evaluation.callback import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.text.model.module import FineTuning
from seedgrid.trials.clock import Clock


class Recording(pl.Callback):
    """Writes the record at each evaluation, and says of each step in it when all of it is done."""

    def __init__(self, record: TrialRecord, clock: Clock) -> None:
        self.record = record
        self.clock = clock

    def on_evaluation(self, trainer: pl.Trainer, pl_module: FineTuning, evaluation: Evaluation) -> None:
        self.record.add_evaluation(evaluation)
        self.record.write("running", self.clock.seconds())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        if not trainer.should_stop:  # a loss that was no number had its say about the last step
            self.record.step = pl_module.start + batch_idx + 1
