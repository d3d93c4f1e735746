"""Rank correlation between evaluations, against SciPy pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seedgrid.analysis.correlation import rank_correlation


def pair_by_pair(curves):
    size = curves.shape[1]
    rho = np.full((size, size), np.nan)
    for i in range(size):
        for j in range(size):
            both = np.isfinite(curves[:, i]) & np.isfinite(curves[:, j])
            one, two = curves[both, i], curves[both, j]
            if both.sum() > 1 and np.ptp(one) > 0 and np.ptp(two) > 0:
                rho[i, j] = stats.spearmanr(one, two).statistic
    return rho


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["full", "scattered", "stopped"]))
def test_rho_is_spearmans_over_the_trials_that_have_both(seed, gaps):
    generator = np.random.default_rng(seed)
    curves = np.round(generator.standard_normal((12, 5)).cumsum(axis=1), 1)  # rounded: ties
    if gaps == "scattered":
        curves[generator.random(curves.shape) < 0.3] = np.nan
    if gaps == "stopped":
        curves[np.arange(5) > generator.integers(1, 8, size=(12, 1))] = np.nan
    result = rank_correlation(curves)
    np.testing.assert_allclose(result.rho, pair_by_pair(curves), atol=1e-12)
    np.testing.assert_array_equal(
        result.pairs, [[np.sum(np.isfinite(x) & np.isfinite(y)) for y in curves.T] for x in curves.T]
    )


def test_scores_are_correlated_and_not_the_best_so_far():
    curves = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])  # the best so far would be the first score in all trials
    assert rank_correlation(curves).rho[0, 1] == pytest.approx(-1)


def test_evaluations_whose_scores_do_not_differ_are_listed_and_nan():
    curves = np.array([[0.5, 0.6, np.nan, 0.1], [0.5, 0.7, np.nan, 0.3], [0.5, 0.9, np.nan, 0.2]])
    result = rank_correlation(curves)
    assert result.constant == (0, 2)
    assert np.isnan(result.rho[[0, 2]]).all() and np.isnan(result.rho[:, [0, 2]]).all()
    assert result.rho[1, 3] == pytest.approx(0.5) and result.rho[1, 1] == 1
    assert result.pairs[0, 2] == 0


def test_one_trial_correlates_with_nothing():
    result = rank_correlation([[0.5, 0.6, 0.7]])
    assert result.constant == (0, 1, 2) and np.isnan(result.rho).all()


@pytest.mark.parametrize(
    ("curves", "message"),
    [([0.1, 0.2], "trials x evaluations"), (np.empty((0, 3)), "at least 1"), ([[np.inf, 0.1]], "infinite")],
)
def test_curves_that_are_none_are_refused(curves, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(curves)
