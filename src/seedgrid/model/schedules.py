"""Learning rates as pure functions of the step, so that training can go on at any step."""

from __future__ import annotations


def linear_with_warmup(step: int, steps: int, warmup: float) -> float:
    """Factor of the peak rate at ``step`` (counted from 0): up from 0 over ``warmup``, then down to 0 at ``steps``.

    Devlin et al. (2019), and Dodge et al. (2020), section 3; the first step has rate 0 where there is a warm-up.
    """
    progress = step / steps
    if progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)
