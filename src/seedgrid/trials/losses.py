"""Every step's loss, which stays on the device until somebody needs it; one that is no number ends the trial."""

from __future__ import annotations

import math

import torch

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.contract import Course, Listener, Run

# Steps after which their losses come over, by the kind of device. A GPU is waited for meanwhile, and what it trained
# after a loss that is no number was in vain; on a CPU the value is there.
AT_ONCE = {"cpu": 1, "cuda": 50}


class Losses(Listener):
    """Records each step's loss, with its learning rate and its gradients' norms.

    They come over together: at the latest before an evaluation, or when :meth:`settle` is called. Which step they are
    of stays with them, so that the record does not depend on when that is: after a loss that is no number it has
    nothing, as if the training had ended there.

    Args:
        record: the trial's.
        run: measures the gradients.
    """

    def __init__(self, record: TrialRecord, run: Run) -> None:
        self.record = record
        self.run = run
        self.nonfinite = False
        self._waiting: list[tuple[int, float]] = []  # steps and learning rates
        self._values: torch.Tensor | None = None  # their losses

    def on_step(self, course: Course, loss: torch.Tensor | None, learning_rate: float) -> None:
        if loss is None:
            self.settle(course)
            self.record.add_step(course.step, None, learning_rate)
            return
        if self._values is None:
            self._values = torch.empty(AT_ONCE.get(loss.device.type, 1), dtype=loss.dtype, device=loss.device)
        self._values[len(self._waiting)] = loss  # a copy: a step may compute into the tensor of the step before
        self._waiting.append((course.step, learning_rate))
        if len(self._waiting) == len(self._values) or course.due:
            self.settle(course)

    def on_evaluation(self, course: Course, evaluation: Evaluation) -> None:
        known = [evaluation.score] if evaluation.loss is None else [evaluation.score, evaluation.loss]
        if not all(map(math.isfinite, known)):
            self._end(course, evaluation.step)

    def settle(self, course: Course) -> None:
        """Wait for the device, and record what it has computed since the last time."""
        waiting, self._waiting = self._waiting, []
        losses = self._values[: len(waiting)].tolist() if waiting else []
        for row in self.run.take_gradient_norms():
            self.record.add_gradient_norms(row)
        for (step, learning_rate), loss in zip(waiting, losses, strict=True):
            self.record.add_step(step, loss, learning_rate)
            if not math.isfinite(loss):
                return self._end(course, step)

    def salvage(self, course: Course) -> None:
        """As :meth:`settle`, after a failure: steps whose losses the device took along are not recorded."""
        try:
            self.settle(course)
        except Exception:  # each device has its own kinds
            rows = self.record.train_rows
            self.record.step = min(self.record.step, rows[-1][0] if rows else 0)

    def _end(self, course: Course, step: int) -> None:
        self.nonfinite = course.ended = True
        self.record.step = step  # the last that counts
