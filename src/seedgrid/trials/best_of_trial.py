"""A trial's best weights, in memory until they are handed over: most are surpassed before anybody would read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from seedgrid.evaluation.callback import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.text.model.module import FineTuning
from seedgrid.trials.best_model import FOLDER, is_better, keep_if_best


class BestOfTrial(pl.Callback):
    """Remembers the weights of a trial's best evaluation, unless the sweep has better ones.

    Args:
        record: the trial's, which has each evaluation before this is told of it.
        network: a Transformers model, in training.
        tokenizer_folder: where its tokenizer lies.
        max_length: word pieces after which an example is cut.
        about: what is to be known of the weights besides score and step: ``metric``, ``task``, ``model`` and the seeds.
    """

    def __init__(
        self, record: TrialRecord, network, tokenizer_folder: Path, max_length: int, about: dict[str, Any]
    ) -> None:
        self.record = record
        self.sweep = record.folder.parent
        self.network = network
        self.tokenizer_folder = tokenizer_folder
        self.max_length = max_length
        self.about = about
        self.facts: dict[str, Any] | None = None
        self.weights: dict[str, Any] = {}

    def on_evaluation(self, trainer: pl.Trainer, pl_module: FineTuning, evaluation: Evaluation) -> None:
        best = self.record.best()
        if best is None or best["step"] != evaluation.step:
            return
        facts = {"score": evaluation.score, **self.about, "step": evaluation.step, "epoch": evaluation.epoch}
        if not is_better(facts, self.sweep / FOLDER):
            return
        now = self.network.state_dict()
        if self.weights:
            for name, kept in self.weights.items():
                kept.copy_(now[name])
        else:
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in now.items()}
        self.facts = facts

    def hand_over(self) -> None:
        """Let what was remembered since the last time compete for ``<sweep>/best_model``."""
        if self.facts is not None:
            keep_if_best(self.sweep, self.network, self.tokenizer_folder, self.max_length, self.facts, self.weights)
            self.facts = None
