"""What a trial says of itself while it runs."""

from __future__ import annotations

from contextlib import suppress

import pytorch_lightning as pl

from seedgrid.evaluation.callback import Evaluation
from seedgrid.training.text.model.module import FineTuning
from seedgrid.trials.clock import Clock


def say(line: str) -> None:
    """Print to whoever still reads: a trial goes on without a reader, or a terminal."""
    with suppress(OSError):
        print(line, flush=True)


class Narration(pl.Callback):
    """Prints a line an evaluation.

    Args:
        steps: of the whole training.
        metric: the score's name.
        clock: the trial's.
    """

    def __init__(self, steps: int, metric: str, clock: Clock) -> None:
        self.steps = steps
        self.metric = metric
        self.clock = clock

    def on_evaluation(self, trainer: pl.Trainer, pl_module: FineTuning, evaluation: Evaluation) -> None:
        left = self.clock.seconds() / max(evaluation.step, 1) * (self.steps - evaluation.step)
        remaining = f"{left:.0f} s left" if evaluation.step else ""
        say(
            f"epoch {evaluation.epoch:5.2f}   step {evaluation.step:5d} of {self.steps}   loss {evaluation.loss:.4f}   "
            f"{self.metric} {evaluation.score:.4f}   {remaining}"
        )
