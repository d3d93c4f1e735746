"""At which steps a trial is validated."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from seedgrid.settings import EvaluationSettings


def schedule_of(evaluation: EvaluationSettings, steps: int, steps_per_epoch: int) -> list[int]:
    """Steps after which a trial is validated, ascending, without repeats; 0 is before the first step.

    Args:
        evaluation: the settings.
        steps: of the whole training.
        steps_per_epoch: of one pass over the examples.
    """
    return planned_steps(evaluation.schedule, evaluation.per_epoch, evaluation.at_start, steps, steps_per_epoch)


def planned_steps(schedule: str, per_epoch: float, at_start: bool, steps: int, steps_per_epoch: int) -> list[int]:
    """As :func:`schedule_of`, from the settings' values."""
    if schedule == "dodge2020":
        return dodge2020_steps(steps, steps_per_epoch, at_start)
    return evaluation_steps(steps, steps_per_epoch, per_epoch, at_start)


def dodge2020_steps(steps: int, steps_per_epoch: int, at_start: bool = False) -> list[int]:
    """As the released code of Dodge et al. (2020) validated.

    In the first epoch after each of the first 49 steps, then up to step 300 about a hundred times an epoch; in all
    epochs ten times, or after every 100 steps where that is more often; and after the last step.
    """
    tenth, hundredth = min(100, max(1, steps_per_epoch // 10)), max(1, steps_per_epoch // 100)
    chosen = {0} if at_start else set()
    for step in range(1, steps + 1):
        in_epoch = (step - 1) % steps_per_epoch + 1
        early = step <= steps_per_epoch and (step < 50 or (step <= 300 and step % hundredth == 0))
        if early or in_epoch % tenth == 0:
            chosen.add(step)
    return sorted(chosen | {steps})


def evaluation_steps(steps: int, steps_per_epoch: int, per_epoch: float, at_start: bool = False) -> list[int]:
    """Steps after which to validate, ascending, without repeats; 0 is before the first step.

    The k-th falls after step ``k * steps_per_epoch / per_epoch``, rounded to the nearest step, halves up. The last
    step is always one of them, also when the schedule does not divide.
    """
    interval = Fraction(steps_per_epoch) / Fraction(str(per_epoch))
    chosen = {0} if at_start else set()
    for k in range(1, floor(steps / interval) + 2):
        step = floor(k * interval + Fraction(1, 2))
        if 1 <= step <= steps:
            chosen.add(step)
    return sorted(chosen | {steps})
