"""Every step's loss, which stays on the device until somebody needs it; one that is no number ends the trial."""

from __future__ import annotations

import math
from collections.abc import Collection

import pytorch_lightning as pl
import torch

from seedgrid.evaluation.callback import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.text.model.module import FineTuning
from seedgrid.trials.gradient_norms import GradientNorms

# Steps after which their losses come over, by the kind of device. A GPU is waited for meanwhile, and what it trained
# after a loss that is no number was in vain; on a CPU the value is there.
AT_ONCE = {"cpu": 1, "cuda": 50}


class Losses(pl.Callback):
    """Records each step's loss, with its learning rate and its gradients' norms.

    They come over together: at the latest before an evaluation, or when :meth:`settle` is called. Which step they are
    of stays with them, so that the record does not depend on when that is: after a loss that is no number it has
    nothing, as if the training had ended there.

    Args:
        record: the trial's.
        norms: measures the gradients.
        evaluated: steps after which there is an evaluation.
    """

    def __init__(self, record: TrialRecord, norms: GradientNorms, evaluated: Collection[int]) -> None:
        self.record = record
        self.norms = norms
        self.evaluated = frozenset(evaluated)
        self.nonfinite = False
        self._waiting: list[tuple[int, float]] = []  # steps and learning rates
        self._values: torch.Tensor | None = None  # their losses

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        step, loss = pl_module.start + batch_idx + 1, outputs["loss"]
        if self._values is None:
            self._values = torch.empty(AT_ONCE[loss.device.type], dtype=loss.dtype, device=loss.device)
        self._values[len(self._waiting)] = loss  # a copy: a step may compute into the tensor of the step before
        self._waiting.append((step, pl_module.learning_rate))
        if len(self._waiting) == len(self._values) or step in self.evaluated:
            self.settle(trainer)

    def on_evaluation(self, trainer: pl.Trainer, pl_module: FineTuning, evaluation: Evaluation) -> None:
        if not math.isfinite(evaluation.loss):
            self._end(trainer, evaluation.step)

    def settle(self, trainer: pl.Trainer) -> None:
        """Wait for the device, and record what it has computed since the last time."""
        waiting, self._waiting = self._waiting, []
        losses = self._values[: len(waiting)].tolist() if waiting else []
        for row in self.norms.take():
            self.record.add_gradient_norms(row)
        for (step, learning_rate), loss in zip(waiting, losses, strict=True):
            self.record.add_step(step, loss, learning_rate)
            if not math.isfinite(loss):
                return self._end(trainer, step)

    def salvage(self, trainer: pl.Trainer) -> None:
        """As :meth:`settle`, after a failure: steps whose losses the device took along are not recorded."""
        try:
            self.settle(trainer)
        except Exception:  # each device has its own kinds
            rows = self.record.train_rows
            self.record.step = min(self.record.step, rows[-1][0] if rows else 0)

    def _end(self, trainer: pl.Trainer, step: int) -> None:
        self.nonfinite = trainer.should_stop = True
        self.record.step = step  # the last that counts
