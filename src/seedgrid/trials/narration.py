"""What a trial says of itself while it runs."""

from __future__ import annotations

from contextlib import suppress

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.scale import Scale
from seedgrid.training.contract import Course, Listener
from seedgrid.trials.clock import Clock


def say(line: str) -> None:
    """Print to whoever still reads: a trial goes on without a reader, or a terminal."""
    with suppress(OSError):
        print(line, flush=True)


class Narration(Listener):
    """Prints a line an evaluation.

    Args:
        steps: of the whole training.
        scale: of the scores.
        clock: the trial's.
    """

    def __init__(self, steps: int, scale: Scale, clock: Clock) -> None:
        self.steps = steps
        self.scale = scale
        self.clock = clock

    def on_evaluation(self, course: Course, evaluation: Evaluation) -> None:
        left = self.clock.seconds() / max(evaluation.step, 1) * (self.steps - evaluation.step)
        remaining = f"{left:.0f} s left" if evaluation.step else ""
        score = self.scale.fitted([evaluation.score]).written(evaluation.score)
        loss = "" if evaluation.loss is None else f"loss {evaluation.loss:.4f}   "
        say(
            f"epoch {evaluation.epoch:5.2f}   step {evaluation.step:5d} of {self.steps}   {loss}"
            f"{self.scale.metric} {score}   {remaining}"
        )
