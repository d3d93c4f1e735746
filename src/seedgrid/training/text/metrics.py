"""Scores of predictions: counts by torchmetrics, with scikit-learn's values where a score is undefined."""

from __future__ import annotations

import torch
from torchmetrics.functional.classification import multiclass_stat_scores

from seedgrid.training.text.tasks import METRIC_COLUMNS


def compute_metrics(logits: torch.Tensor, labels: torch.Tensor, metric: str) -> dict[str, float]:
    """All columns that go with a task's metric.

    The counts are divided in float64: torchmetrics' own scores are float32, which may lie just above a threshold that
    they should reach, and lose a per cent of the Matthews correlation where nearly all predictions are of one class.

    Args:
        logits: examples x classes, finite.
        labels: int64, examples.
        metric: name of the task's metric; the column of that name is the score.

    Returns:
        Column to value. Undefined values are scikit-learn's: F1 without any positive is 0, and so is the Matthews
        correlation when predictions or labels are all of one class (a diverged trial).
    """
    counts = multiclass_stat_scores(logits.argmax(dim=1), labels, logits.shape[1], average="none").double()
    correct, false_positive, _, false_negative, labelled = counts.T  # each: classes
    predicted, examples = correct + false_positive, labelled.sum()
    values = {"accuracy": (correct.sum() / examples).item()}
    columns = METRIC_COLUMNS[metric]
    f1 = 2 * correct / (2 * correct + false_positive + false_negative)  # NaN for a class that never occurs
    if "f1" in columns:
        values["f1"] = f1[1].nan_to_num().item()
    if "acc_and_f1" in columns:
        values["acc_and_f1"] = (values["accuracy"] + values["f1"]) / 2
    if "mcc" in columns:
        # Gorodkin (2004), for any number of classes: covariance over standard deviations, in counts.
        covariance = correct.sum() * examples - (predicted * labelled).sum()
        variances = (examples**2 - (predicted**2).sum()) * (examples**2 - (labelled**2).sum())
        values["mcc"] = (covariance / variances.sqrt()).item() if variances > 0 else 0.0
    if "macro_f1" in columns:
        values["macro_f1"] = f1.nanmean().item()
    return {column: values[column] for column in columns}
