"""Tests of agreement between trials on single examples."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from seedgrid.analysis.consistency import agreement

votes = st.tuples(st.integers(2, 7), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 2))
)


@given(votes)
def test_agreement_is_the_share_of_pairs_that_agree(predictions):
    result = agreement(predictions, np.zeros(predictions.shape[1], dtype=int))
    brute = np.mean([predictions[i] == predictions[j] for i, j in combinations(range(len(predictions)), 2)], axis=0)
    np.testing.assert_allclose(result.per_example, brute, atol=1e-12)
    assert result.mean == pytest.approx(brute.mean())


@given(votes)
def test_an_example_is_flipped_if_any_seed_dissents(predictions):
    result = agreement(predictions, np.zeros(predictions.shape[1], dtype=int))
    assert result.flipped == np.mean([len(set(column)) > 1 for column in predictions.T.tolist()])
    assert result.tied <= result.flipped


def test_mean_agreement_is_the_observed_agreement_of_fleiss_kappa():
    predictions = np.random.default_rng(0).integers(0, 3, (9, 200))
    table, _ = aggregate_raters(predictions.T)
    by_chance = ((table.sum(axis=0) / table.sum()) ** 2).sum()
    observed = agreement(predictions, predictions[0]).mean
    assert (observed - by_chance) / (1 - by_chance) == pytest.approx(fleiss_kappa(table))


def test_majority_of_independent_trials_beats_each_of_them():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 2000)
    predictions = np.where(generator.random((15, 2000)) < 0.7, labels, 1 - labels)
    result = agreement(predictions, labels)
    assert result.single == pytest.approx(0.7, abs=0.02)
    assert result.majority == pytest.approx(0.95, abs=0.02)  # P(Binomial(15, 0.7) >= 8)
    assert result.tied == 0
    assert np.isnan(result.averaged)


def test_equal_votes_go_to_the_lowest_class_and_are_reported():
    predictions = np.array([[0, 1, 2], [1, 2, 2]])
    result = agreement(predictions, np.array([0, 1, 2]))
    assert result.majority == 1.0
    assert result.tied == pytest.approx(2 / 3)


def test_averaged_logits_let_a_confident_trial_overrule_the_majority():
    logits = np.array([[[0.0, 0.1]], [[0.0, 0.1]], [[5.0, 0.0]]], dtype=np.float32)
    result = agreement(logits, np.array([0]))
    assert result.majority == 0.0
    assert result.averaged == 1.0


def test_scores_are_in_the_metric_that_was_asked_for():
    generator = np.random.default_rng(2)
    predictions, labels = generator.integers(0, 2, (5, 50)), generator.integers(0, 2, 50)
    result = agreement(predictions, labels, metric="f1")
    assert result.single == pytest.approx(np.mean([f1_score(labels, row) for row in predictions]))
    assert result.majority == pytest.approx(f1_score(labels, (predictions.sum(axis=0) >= 3).astype(int)))


def test_one_trial_has_no_pair_and_is_its_own_ensemble():
    logits = np.random.default_rng(3).normal(size=(1, 20, 2))
    result = agreement(logits, np.zeros(20, dtype=int))
    assert np.isnan(result.per_example).all() and np.isnan(result.mean) and np.isnan(result.flipped)
    assert result.single == result.majority == result.averaged


def test_identical_trials_agree_on_everything():
    result = agreement(np.ones((4, 6), dtype=int), np.ones(6, dtype=int))
    assert (result.mean, result.flipped, result.majority) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (np.full((2, 3, 2), np.nan), "2 of 2 trials have no prediction"),
        (np.array([[0, 1, 1], [0, -1, 1]]), "1 of 2 trials have no prediction"),
        (np.zeros((2, 4), dtype=int), "give trials x examples"),
        (np.zeros((0, 3), dtype=int), "give trials x examples"),
    ],
)
def test_trials_that_vote_for_nothing_are_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        agreement(outputs, np.zeros(3, dtype=int))
