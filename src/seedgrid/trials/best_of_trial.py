"""A trial's best weights, in memory until they are handed over: most are surpassed before anybody would read them."""

from __future__ import annotations

from typing import Any

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.contract import Course, Listener, Run, Training
from seedgrid.trials.best_model import FOLDER, is_better, keep_if_best


class BestOfTrial(Listener):
    """Remembers the weights of a trial's best evaluation, unless the sweep has better ones.

    Args:
        record: the trial's, which has each evaluation before this is told of it.
        training, run: what is trained.
        about: what is to be known of the weights besides score and step: ``metric``, ``direction``, ``task``, ``model``
            and the seeds.
    """

    def __init__(self, record: TrialRecord, training: Training, run: Run, about: dict[str, Any]) -> None:
        self.record = record
        self.sweep = record.folder.parent
        self.training = training
        self.run = run
        self.about = about
        self.facts: dict[str, Any] | None = None
        self.kept: dict[str, Any] = {}

    def on_evaluation(self, course: Course, evaluation: Evaluation) -> None:
        best = self.record.best()
        if best is None or best["step"] != evaluation.step:
            return
        facts = {"score": evaluation.score, **self.about, "step": evaluation.step, "epoch": evaluation.epoch}
        if not is_better(facts, self.sweep / FOLDER):
            return
        now = self.run.weights()
        if self.kept:
            for name, kept in self.kept.items():
                kept.copy_(now[name])
        else:
            self.kept = {name: value.detach().to("cpu", copy=True) for name, value in now.items()}
        self.facts = facts

    def hand_over(self) -> None:
        """Let what was remembered since the last time compete for ``<sweep>/best_model``."""
        if self.facts is not None:
            card = self.training.card(self.facts, "the trials so far")
            keep_if_best(self.sweep, self.run, card, self.facts, self.kept)
            self.facts = None
