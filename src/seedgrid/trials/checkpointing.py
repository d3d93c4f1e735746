"""Where a trial ends, or is left so that it can go on."""

from __future__ import annotations

import time

from seedgrid.records.record import TrialRecord
from seedgrid.training.contract import Course, Listener, Run
from seedgrid.trials import checkpoint, interrupt
from seedgrid.trials.best_of_trial import BestOfTrial
from seedgrid.trials.clock import Clock
from seedgrid.trials.losses import Losses


class Checkpointing(Listener):
    """Ends the training at its last step; before, writes a checkpoint every so many minutes and at a request to end.

    A checkpoint after a step promises that all of the step is recorded, and that the best weights were handed over.

    Args:
        record: the trial's.
        run: what is trained.
        losses: that may have to be recorded first.
        best: the trial's best weights, which it would not train again.
        minutes: between two checkpoints.
        last_step: of the training.
        clock: the trial's.
    """

    def __init__(
        self,
        record: TrialRecord,
        run: Run,
        losses: Losses,
        best: BestOfTrial,
        minutes: float,
        last_step: int,
        clock: Clock,
    ) -> None:
        self.record = record
        self.run = run
        self.losses = losses
        self.best = best
        self.minutes = minutes
        self.last_step = last_step
        self.clock = clock
        self.interrupted = False
        self._latest = time.monotonic()

    def on_start(self, course: Course) -> None:
        interrupt.listen()  # again: Lightning has put a handler in front of ours that ends the process at SIGTERM

    def on_step_done(self, course: Course) -> None:
        if course.ended or course.step == self.last_step:
            course.ended = True
            return
        requested = interrupt.requested()
        if requested or time.monotonic() - self._latest >= 60 * self.minutes:
            self.losses.settle(course)
            if course.ended:  # one of them was no number
                return
            seconds = self.clock.seconds()
            self.record.write("running", seconds)
            self.best.hand_over()
            checkpoint.save(self.record.folder, self.run.state(), course.step, seconds)
            self._latest = time.monotonic()
        self.interrupted = course.ended = requested
