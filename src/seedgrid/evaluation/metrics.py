"""Scores of predictions, by torchmetrics, with scikit-learn's values where a score is undefined."""

from __future__ import annotations

import torch
from torchmetrics.functional.classification import (
    binary_f1_score,
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_matthews_corrcoef,
)

from seedgrid.tasks import METRIC_COLUMNS


def compute_metrics(logits: torch.Tensor, labels: torch.Tensor, metric: str) -> dict[str, float]:
    """All columns that go with a task's metric.

    Args:
        logits: examples x classes, finite.
        labels: int64, examples.
        metric: name of the task's metric; the column of that name is the score.

    Returns:
        Column to value. Undefined values are scikit-learn's: F1 without any positive is 0, and so is the Matthews
        correlation when predictions or labels are all of one class (a diverged trial).
    """
    predicted, classes = logits.argmax(dim=1), logits.shape[1]
    values = {"accuracy": multiclass_accuracy(predicted, labels, classes, average="micro").item()}
    columns = METRIC_COLUMNS[metric]
    if "f1" in columns:
        values["f1"] = binary_f1_score(predicted, labels).item()
    if "acc_and_f1" in columns:
        values["acc_and_f1"] = (values["accuracy"] + values["f1"]) / 2
    if "mcc" in columns:
        # torchmetrics gives 1 or -1 for some constant predictions, where the correlation does not exist.
        constant = len(predicted.unique()) == 1 or len(labels.unique()) == 1
        values["mcc"] = 0.0 if constant else multiclass_matthews_corrcoef(predicted, labels, classes).item()
    if "macro_f1" in columns:
        values["macro_f1"] = multiclass_f1_score(predicted, labels, classes, average="macro").item()
    return {column: values[column] for column in columns}
