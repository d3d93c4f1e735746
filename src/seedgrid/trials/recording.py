"""A trial's evaluations, on disk as soon as they are there."""

from __future__ import annotations

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.contract import Course, Listener
from seedgrid.trials.clock import Clock


class Recording(Listener):
    """Writes the record at each evaluation, and says of each step in it when all of it is done."""

    def __init__(self, record: TrialRecord, clock: Clock) -> None:
        self.record = record
        self.clock = clock

    def on_evaluation(self, course: Course, evaluation: Evaluation) -> None:
        self.record.add_evaluation(evaluation)
        self.record.write("running", self.clock.seconds())

    def on_step_done(self, course: Course) -> None:
        if not course.ended:  # a loss that was no number had its say about the last step
            self.record.step = course.step
