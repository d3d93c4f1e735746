"""Scores are scikit-learn's, whatever the predictions and the labels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from seedgrid.training.text.metrics import compute_metrics
from seedgrid.training.text.tasks import METRIC_COLUMNS, majority_score


def expected_metrics(predicted, labels, metric: str) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single label
        accuracy = accuracy_score(labels, predicted)
        f1 = f1_score(labels, predicted, zero_division=0) if metric in ("f1", "acc_and_f1") else None
        return {
            "accuracy": {"accuracy": accuracy},
            "f1": {"accuracy": accuracy, "f1": f1},
            "acc_and_f1": {
                "accuracy": accuracy,
                "f1": f1,
                "acc_and_f1": ((accuracy + f1) / 2) if f1 is not None else 0,
            },
            "mcc": {"accuracy": accuracy, "mcc": matthews_corrcoef(labels, predicted)},
            "macro_f1": {
                "accuracy": accuracy,
                "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
            },
        }[metric]


def logits_of(predicted, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.as_tensor(predicted), classes).float() - 0.3


def check(predicted, labels, classes: int) -> None:
    for metric in METRIC_COLUMNS:
        if classes > 2 and metric in ("f1", "acc_and_f1"):
            continue
        found = compute_metrics(logits_of(predicted, classes), torch.as_tensor(labels), metric)
        assert found == pytest.approx(expected_metrics(predicted, labels, metric), abs=1e-6), metric
        assert tuple(found) == METRIC_COLUMNS[metric]
        assert all(type(value) is float for value in found.values())


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(2, 5), st.integers(1, 40))
def test_any_predictions_of_any_labels_have_scikit_learns_scores(data, classes, examples):
    column = st.lists(st.integers(0, classes - 1), min_size=examples, max_size=examples)
    check(data.draw(column), data.draw(column), classes)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("predicted", [0, 1])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [1, 1, 0, 1], [0], [1]])
def test_constant_predictions_and_single_labels_have_scikit_learns_scores(classes, predicted, labels):
    check([predicted] * len(labels), labels, classes)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 1, 1, 1]])
def test_the_matthews_correlation_of_constant_predictions_is_exactly_0(classes, labels):
    assert compute_metrics(logits_of([1, 1, 1, 1], classes), torch.tensor(labels), "mcc")["mcc"] == 0


def test_large_validation_sets_have_scikit_learns_scores_too():
    rng = np.random.default_rng(0)
    labels = (rng.random(70_000) < 0.02).astype(np.int64)
    check(np.where(rng.random(70_000) < 0.01, 1 - labels, labels), labels, 2)
    nearly_constant = np.zeros(70_000, np.int64)
    nearly_constant[:3] = 1
    check(nearly_constant, labels, 2)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 1000), st.integers(1, 1000), st.sampled_from(list(METRIC_COLUMNS)))
def test_always_predicting_the_majority_is_at_its_score_to_the_last_bit(zeros, ones, metric):
    # Such a trial has diverged: the threshold is this score, and "at or below" must hold whatever the rounding.
    labels = torch.tensor([0] * zeros + [1] * ones)
    majority = int(ones > zeros)
    found = compute_metrics(logits_of([majority] * len(labels), 2), labels, metric)[metric]
    assert found == majority_score(labels.numpy(), metric)


def test_ties_of_logits_go_to_the_first_class():
    assert compute_metrics(torch.zeros(2, 2), torch.tensor([0, 1]), "accuracy")["accuracy"] == 0.5
