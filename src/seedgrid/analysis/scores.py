"""Scores of many sets of predictions at once, from how often each class was predicted, right, and true.

They are the tasks' metrics with scikit-learn's values where a score is undefined: F1 and the Matthews correlation are
then 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MISSING = -1  # the predicted class where an evaluation has none


@dataclass(frozen=True)
class ClassCounts:
    """Numbers of examples by class; the shapes broadcast.

    Attributes:
        right: ... x classes, examples of the class predicted as it.
        predicted: ... x classes, examples predicted as the class.
        true: ... x classes, examples of the class.
    """

    right: np.ndarray
    predicted: np.ndarray
    true: np.ndarray


def predicted_classes(outputs: np.ndarray) -> np.ndarray:
    """Predicted classes from logits, or checked predictions.

    Args:
        outputs: float logits, ... x examples x classes, the first of equal logits winning; or integer predictions,
            ... x examples, from 0, or ``MISSING``.

    Returns:
        ... x examples, int16; all ``MISSING`` for each set of examples of which any logit is not finite (its model had
        diverged, or the evaluation did not take place) or any prediction is missing.

    Raises:
        ValueError: an integer below ``MISSING``, or outputs that are neither integers nor floats.
    """
    outputs = np.asarray(outputs)
    if np.issubdtype(outputs.dtype, np.floating):
        predictions = outputs.argmax(axis=-1).astype(np.int16)
        missing = ~np.isfinite(outputs).all(axis=(-2, -1))
    elif np.issubdtype(outputs.dtype, np.integer):
        if outputs.size and outputs.min() < MISSING:
            raise ValueError(f"prediction {outputs.min()} is no class; give classes from 0, or {MISSING} where missing")
        predictions = outputs.astype(np.int16)
        missing = (predictions == MISSING).any(axis=-1)
    else:
        raise ValueError(f"outputs are {outputs.dtype}; give float logits or integer predictions")
    predictions[missing] = MISSING
    return predictions


def count_classes(predictions: np.ndarray, labels: np.ndarray, classes: int) -> ClassCounts:
    """Count predictions (... x examples, integers) and labels (examples, integers) by class."""
    right = np.stack([(predictions[..., labels == c] == c).sum(axis=-1) for c in range(classes)], axis=-1)
    predicted = np.stack([(predictions == c).sum(axis=-1) for c in range(classes)], axis=-1)
    return ClassCounts(right, predicted, np.bincount(labels, minlength=classes))


def score(predictions: np.ndarray, labels: np.ndarray, metric: str) -> np.ndarray:
    """The score of each set of predictions.

    Args:
        predictions: ... x examples, integer classes from 0.
        labels: examples, integer classes from 0.
        metric: ``accuracy``, ``f1`` (of class 1), ``acc_and_f1`` (their mean), ``mcc`` or ``macro_f1``.

    Returns:
        Array of the leading shape.

    Raises:
        ValueError: the metric is unknown, or of two classes where there are more; there are no labels, or the numbers
            of examples differ; a class is negative.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0 or predictions.shape[-1:] != labels.shape:
        raise ValueError(
            f"predictions have shape {predictions.shape} and labels {labels.shape}; give ... x examples and examples"
        )
    if min(predictions.min(initial=0), labels.min()) < 0:
        raise ValueError("predictions or labels hold a negative class; classes count from 0")
    classes = max(2, predictions.max(initial=0) + 1, labels.max() + 1)
    return score_of_counts(count_classes(predictions, labels, classes), metric)


def metric_range(metric: str) -> tuple[float, float]:
    """Lowest and highest value that a score can have; of a metric that ``score`` does not know, no limits."""
    if metric not in METRICS:
        return -np.inf, np.inf
    return (-1.0, 1.0) if metric == "mcc" else (0.0, 1.0)


def score_of_counts(counts: ClassCounts, metric: str) -> np.ndarray:
    """The score that belongs to counts by class; see ``score``."""
    if metric not in METRICS:
        raise ValueError(f"metric '{metric}' is unknown; use one of {', '.join(METRICS)}")
    classes = counts.true.shape[-1]
    if metric in ("f1", "acc_and_f1") and classes != 2:
        raise ValueError(f"metric '{metric}' is for two classes, here are {classes}; use accuracy, macro_f1 or mcc")
    return METRICS[metric](counts)


def _accuracy(counts: ClassCounts) -> np.ndarray:
    return counts.right.sum(axis=-1) / counts.true.sum(axis=-1)


def _f1_by_class(counts: ClassCounts) -> np.ndarray:
    found_or_true = counts.predicted + counts.true
    return 2 * counts.right / np.maximum(found_or_true, 1)


def _f1(counts: ClassCounts) -> np.ndarray:
    return _f1_by_class(counts)[..., 1]


def _accuracy_and_f1(counts: ClassCounts) -> np.ndarray:
    return (_accuracy(counts) + _f1(counts)) / 2


def _macro_f1(counts: ClassCounts) -> np.ndarray:
    """Mean over the classes that occur in labels or predictions."""
    return _f1_by_class(counts).sum(axis=-1) / np.count_nonzero(counts.predicted + counts.true, axis=-1)


def _matthews_correlation(counts: ClassCounts) -> np.ndarray:
    """Gorodkin (2004), for any number of classes."""
    right, predicted, true = (part.astype(np.float64) for part in (counts.right, counts.predicted, counts.true))
    examples = true.sum(axis=-1)
    covariance = right.sum(axis=-1) * examples - (predicted * true).sum(axis=-1)
    variances = (examples**2 - (predicted**2).sum(axis=-1)) * (examples**2 - (true**2).sum(axis=-1))
    return np.where(variances > 0, covariance / np.sqrt(np.maximum(variances, 1)), 0.0)


METRICS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "acc_and_f1": _accuracy_and_f1,
    "mcc": _matthews_correlation,
    "macro_f1": _macro_f1,
}
