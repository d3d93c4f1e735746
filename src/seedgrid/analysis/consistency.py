"""How far trials that differ in nothing but seeds agree on single examples, and what they are worth together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seedgrid.analysis.scores import MISSING, predicted_classes, score


@dataclass(frozen=True)
class Agreement:
    """Agreement between trials on single examples, and the scores of their ensembles.

    Attributes:
        per_example: length examples; share of the pairs of trials that predict the same class. NaN with one trial.
        mean: mean of ``per_example``.
        flipped: share of examples on which not all trials predict the same class. NaN with one trial.
        single: mean score of single trials; this and the scores below are NaN without a metric.
        majority: score of the class that most trials predict, of classes with equal votes the lowest-numbered.
        tied: share of examples on which the majority was decided by that rule.
        averaged: score of the highest mean logit over trials; NaN if predictions were given instead of logits.
    """

    per_example: np.ndarray
    mean: float
    flipped: float
    single: float
    majority: float
    tied: float
    averaged: float


def agreement(outputs: np.ndarray, labels: np.ndarray, metric: str | None = "accuracy") -> Agreement:
    """Agreement of trials on single examples, in closed form from the votes for each class.

    Scores say how good trials are, not whether they are right about the same examples (Zhou et al., Bui et al. 2025):
    two trials with an accuracy of 0.9 may disagree on a fifth of all examples.

    Args:
        outputs: one evaluation of each trial: float logits, trials x examples x classes, or integer predictions, trials
            x examples.
        labels: examples, integer classes from 0.
        metric: as ``scores.score`` takes; None: no scores.

    Returns:
        Agreement and scores; with one trial there is no pair, and the ensembles are that trial.

    Raises:
        ValueError: shapes do not fit; a trial has a logit that is not finite or a missing prediction, so that it votes
            for nothing; the metric is unknown or does not fit the classes.
    """
    outputs, labels = np.asarray(outputs), np.asarray(labels)
    predictions = predicted_classes(outputs)
    if predictions.ndim != 2 or predictions.size == 0 or predictions.shape[1:] != labels.shape:
        raise ValueError(
            f"outputs have shape {outputs.shape} and labels {labels.shape}; give trials x examples"
            " (x classes for logits) and examples"
        )
    without = np.count_nonzero((predictions == MISSING).any(axis=1))
    if without:
        raise ValueError(f"{without} of {len(predictions)} trials have no prediction for some example; leave them out")

    trials = len(predictions)
    votes = np.stack([(predictions == c).sum(axis=0) for c in range(predictions.max() + 1)], axis=-1)
    most = votes.max(axis=1)
    if trials > 1:
        per_example = (votes * (votes - 1)).sum(axis=1) / (trials * (trials - 1))
        flipped = float((most < trials).mean())
    else:
        per_example, flipped = np.full(len(labels), np.nan), float("nan")
    logits_given = np.issubdtype(outputs.dtype, np.floating)
    mean_logits = outputs.mean(axis=0, dtype=np.float64) if logits_given and metric is not None else None

    def scored(predictions: np.ndarray) -> np.ndarray:
        return np.array(np.nan) if metric is None else score(predictions, labels, metric)

    return Agreement(
        per_example=per_example,
        mean=float(per_example.mean()),
        flipped=flipped,
        single=float(scored(predictions).mean()),
        majority=float(scored(votes.argmax(axis=1))),
        tied=float(((votes == most[:, None]).sum(axis=1) > 1).mean()),
        averaged=float("nan") if mean_logits is None else float(scored(mean_logits.argmax(axis=1))),
    )
