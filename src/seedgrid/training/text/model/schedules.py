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


def twice_with_restarts(step: int, steps_per_epoch: int, steps: int, warmup: float) -> float:
    """Factor of the peak rate as the released code of Dodge et al. (2020) had it.

    The training loop scaled the rate by BERT's schedule of the step within the epoch, BertAdam once more by that of the
    step within the training. Their ``steps`` can be a few less than are taken: those have rate 0.

    Args:
        step: counted from 0.
        steps_per_epoch: steps of one pass over the examples.
        steps: what both schedules take for the length of the training.
        warmup: share of it.
    """
    return _of_bert(step % steps_per_epoch, steps, warmup) * _of_bert(step, steps, warmup)


def _of_bert(step: int, steps: int, warmup: float) -> float:
    """The schedule in BERT's first PyTorch releases: after the warm-up 1 - x, so it falls from 1 to 1 - ``warmup``."""
    progress = step / steps
    return progress / warmup if progress < warmup else max(0.0, 1 - progress)
