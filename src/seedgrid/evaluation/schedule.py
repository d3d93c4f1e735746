"""At which steps a trial is validated."""

from __future__ import annotations

from fractions import Fraction
from math import floor


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
