"""What one pass over the validation set gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Evaluation:
    """One pass over the validation set.

    Attributes:
        step: optimizer steps taken before it.
        epoch: the same as a fraction of an epoch.
        loss: mean over the examples; None where the training does not tell.
        metrics: column to value.
        score: one of ``metrics``.
        seconds: how long the pass took.
        logits: float32 on the CPU, examples (in the data set's order) x classes; None without predictions.
        labels: int64 on the CPU, examples; None without predictions.
    """

    step: int
    epoch: float
    loss: float | None
    metrics: dict[str, float]
    score: float
    seconds: float
    logits: torch.Tensor | None = None
    labels: torch.Tensor | None = None
