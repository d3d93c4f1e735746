"""Tests of the vectorised scores against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from seedgrid.analysis.scores import MISSING, predicted_classes, score


def reference(predictions: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """scikit-learn's score."""
    match metric:
        case "accuracy":
            return metrics.accuracy_score(labels, predictions)
        case "f1":
            return metrics.f1_score(labels, predictions, zero_division=0)
        case "acc_and_f1":
            return (reference(predictions, labels, "accuracy") + reference(predictions, labels, "f1")) / 2
        case "mcc":
            return metrics.matthews_corrcoef(labels, predictions)
        case "macro_f1":
            return metrics.f1_score(labels, predictions, average="macro", zero_division=0)
    raise AssertionError(metric)


def pairs_of(classes: int):
    """Predictions and labels of the same length; short ones are often constant or lack a class."""
    return st.integers(1, 12).flatmap(lambda n: arrays(np.int64, (2, n), elements=st.integers(0, classes - 1)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("metric", ["accuracy", "f1", "acc_and_f1", "mcc", "macro_f1"])
@settings(max_examples=50, deadline=None)
@given(pair=pairs_of(2))
def test_binary_scores_are_those_of_scikit_learn(metric, pair):
    predictions, labels = pair
    assert score(predictions, labels, metric) == pytest.approx(reference(predictions, labels, metric), abs=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("metric", ["accuracy", "mcc", "macro_f1"])
@settings(max_examples=50, deadline=None)
@given(pair=pairs_of(4))
def test_scores_of_several_classes_are_those_of_scikit_learn(metric, pair):
    predictions, labels = pair
    assert score(predictions, labels, metric) == pytest.approx(reference(predictions, labels, metric), abs=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "acc_and_f1", "mcc", "macro_f1"])
def test_every_set_of_predictions_is_scored_on_its_own(metric):
    generator = np.random.default_rng(0)
    predictions, labels = generator.integers(0, 2, (3, 4, 1000)), generator.integers(0, 2, 1000)
    got = score(predictions, labels, metric)
    assert got.shape == (3, 4)
    for place in np.ndindex(3, 4):
        assert got[place] == pytest.approx(reference(predictions[place], labels, metric), abs=1e-12)


@pytest.mark.parametrize(
    ("predictions", "labels", "metric", "message"),
    [
        ([0, 1], [0, 1], "rouge", "'rouge' is unknown; use one of accuracy"),
        ([0, 2], [0, 1], "f1", "is for two classes, here are 3"),
        ([0, 1], [2, 1], "acc_and_f1", "is for two classes, here are 3"),
        ([0, 1, 1], [0, 1], "accuracy", "shape"),
        ([], [], "accuracy", "shape"),
        ([0, -1], [0, 1], "accuracy", "negative"),
        ([0, 1], [0, -1], "accuracy", "negative"),
    ],
)
def test_what_has_no_score_is_refused(predictions, labels, metric, message):
    with pytest.raises(ValueError, match=message):
        score(np.array(predictions, dtype=int), np.array(labels, dtype=int), metric)


def test_logits_predict_the_highest_and_the_first_of_equals():
    logits = np.array([[[0.1, 0.2, -1.0], [3.0, 3.0, 1.0]]], dtype=np.float32)
    assert predicted_classes(logits).tolist() == [[1, 0]]


def test_an_evaluation_with_any_logit_not_finite_is_missing_as_a_whole():
    logits = np.zeros((3, 2, 2))
    logits[1, 0, 1] = np.nan
    logits[2, 1, 0] = np.inf
    assert predicted_classes(logits).tolist() == [[0, 0], [MISSING, MISSING], [MISSING, MISSING]]
    assert predicted_classes(np.array([[0, 1], [MISSING, 1]])).tolist() == [[0, 1], [MISSING, MISSING]]


@pytest.mark.parametrize(("outputs", "message"), [(np.array([0, -2]), "-2 is no class"), (np.array(["a"]), "logits")])
def test_outputs_that_are_neither_logits_nor_classes_are_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        predicted_classes(outputs)
