"""Tests of what the seeds of a pair promise, against dense linear algebra with the full covariance matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.special import logsumexp

from seedgrid.analysis.prediction import predict_pairs, promising_pairs

ALL = np.ones((5, 6), dtype=bool)
LATIN = np.array([[(column - row) % 6 in (0, 1, 3) for column in range(6)] for row in range(6)])
LONELY_SEEDS = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
DESIGNS = {
    "complete": ALL,
    "latin": LATIN,
    "seeds without trials": LONELY_SEEDS,
    "each seed once": np.eye(4, dtype=bool),
    "one init": np.array([[1, 1, 1, 0]], dtype=bool),
    "two trials": np.array([[1, 0, 0], [0, 0, 1]], dtype=bool),
}


def posterior_mean(partial: np.ndarray) -> np.ndarray:
    """Mean + init + order effect of every pair: generalized least squares and conditional normal means at each pair of
    shares, these weighted by the density of the error contrasts with the scale integrated out."""
    inits, orders = partial.shape
    rows, columns = np.nonzero(np.isfinite(partial))
    scores = partial[rows, columns]
    contrasts = null_space(np.ones((1, scores.size)))
    log_weights, means = [], []
    for init in np.arange(0.05, 0.9, 0.1):
        for order in np.arange(0.05, 0.95 - init, 0.1):
            covariance = np.array(
                [
                    [init * (i == k) + order * (j == m) + (1 - init - order) * (i == k and j == m)
                     for k, m in zip(rows, columns, strict=True)]
                    for i, j in zip(rows, columns, strict=True)
                ]
            )  # fmt: skip
            inverse = np.linalg.inv(covariance)
            mean = inverse.sum(axis=0) @ scores / inverse.sum()
            means.append(
                [
                    [mean + (init * (rows == i) + order * (columns == j)) @ inverse @ (scores - mean)
                     for j in range(orders)]
                    for i in range(inits)
                ]
            )  # fmt: skip
            of_contrasts = contrasts.T @ covariance @ contrasts
            seen = contrasts.T @ scores
            squares = seen @ np.linalg.solve(of_contrasts, seen)
            log_weights.append(-np.linalg.slogdet(of_contrasts)[1] / 2 - (scores.size - 1) / 2 * np.log(squares))
    weights = np.exp(np.array(log_weights) - logsumexp(log_weights))
    return np.tensordot(weights, np.array(means), axes=1)


def scores_of(started: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.where(started, 0.8 + 0.05 * np.random.default_rng(seed).standard_normal(started.shape), np.nan)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("persistence", [0.0, 0.3, 1.0])
def test_predictions_are_the_posterior_mean_of_the_full_covariance_matrix(design, persistence):
    partial = scores_of(DESIGNS[design])
    additive = posterior_mean(partial)
    expected = np.where(np.isfinite(partial), additive + persistence * (partial - additive), additive)
    np.testing.assert_allclose(predict_pairs(partial, persistence), expected, rtol=0, atol=1e-12)


def test_a_started_pair_is_predicted_by_exactly_its_own_score_so_that_ties_stay_ties():
    partial = scores_of(LATIN).round(2)
    np.testing.assert_array_equal(predict_pairs(partial)[LATIN], partial[LATIN])


def test_pairs_of_a_strong_additive_grid_are_recovered():
    generator = np.random.default_rng(1)
    grid = generator.standard_normal((8, 1)) + generator.standard_normal((1, 8))
    partial = np.where(generator.random((8, 8)) < 0.6, grid, np.nan)
    unseen = np.isnan(partial)
    error = predict_pairs(partial)[unseen] - grid[unseen]
    assert np.sqrt(np.mean(error**2)) < 0.15 * grid.std()


def test_scores_without_seed_effects_are_shrunken_to_their_mean():
    ratios = []
    for seed in range(20):
        partial = scores_of(np.ones((12, 12), dtype=bool), seed)
        additive = predict_pairs(partial, persistence=0)
        row_means = partial.mean(axis=1)
        ratios.append(np.ptp(additive.mean(axis=1)) / np.ptp(row_means))
    assert np.mean(ratios) < 0.6


def test_units_of_the_score_do_not_matter():
    partial = scores_of(LATIN)
    np.testing.assert_allclose(predict_pairs(100 * partial - 7), 100 * predict_pairs(partial) - 7, rtol=1e-12)


def test_constant_scores_predict_that_score():
    np.testing.assert_array_equal(predict_pairs(np.where(LATIN, 0.5, np.nan)), np.full((6, 6), 0.5))
    np.testing.assert_array_equal(predict_pairs([[np.nan, 0.7]]), [[0.7, 0.7]])


def test_promising_pairs_are_those_not_started_by_falling_prediction():
    partial = scores_of(LATIN)
    predicted = predict_pairs(partial)
    pairs = promising_pairs(partial, 18)
    assert sorted(map(tuple, pairs)) == sorted(map(tuple, np.argwhere(~LATIN)))
    assert np.all(np.diff(predicted[tuple(pairs.T)]) < 1e-11)
    np.testing.assert_array_equal(promising_pairs(partial, 4), pairs[:4])


def test_where_each_seed_occurs_once_the_two_best_trials_are_crossed():
    partial = np.full((4, 4), np.nan)
    np.fill_diagonal(partial, [0.6, 0.9, 0.5, 0.8])
    assert {tuple(pair) for pair in promising_pairs(partial, 2)} == {(1, 3), (3, 1)}


def test_promising_pairs_of_equal_trials_are_drawn_at_random_from_their_seed():
    partial = np.where(LATIN, 0.5, np.nan)
    draws = [promising_pairs(partial, 3, seed).tolist() for seed in range(20)]
    assert draws[0] == promising_pairs(partial, 3, 0).tolist()
    assert len({tuple(map(tuple, draw)) for draw in draws}) > 10


def test_promising_pairs_end_better_than_other_pairs_where_seeds_matter():
    generator = np.random.default_rng(0)
    lead = []
    for _ in range(100):
        seeds = np.sqrt(0.3) * (generator.standard_normal((6, 1)) + generator.standard_normal((1, 6)))
        final, partial = (seeds + np.sqrt(0.4) * generator.standard_normal((6, 6)) for _ in range(2))
        named = promising_pairs(np.where(LATIN, partial, np.nan), 4)
        lead.append(final[tuple(named.T)].mean() - final[~LATIN].mean())
    assert np.mean(lead) > 0.4


@pytest.mark.parametrize(
    ("partial", "persistence", "message"),
    [
        ([0.5, 0.6], 1.0, "inits x orders"),
        ([[np.nan, np.nan]], 1.0, "no started pair"),
        ([[np.inf, 0.5]], 1.0, "infinite"),
        ([[0.4, 0.5]], 1.5, "persistence is 1.5"),
        ([[0.4, 0.5]], float("nan"), "persistence is nan"),
    ],
)
def test_what_cannot_be_predicted_is_refused(partial, persistence, message):
    with pytest.raises(ValueError, match=message):
        predict_pairs(partial, persistence)


@pytest.mark.parametrize("count", [-1, 19])
def test_more_pairs_than_there_are_left_are_refused(count):
    with pytest.raises(ValueError, match=f"count is {count}; give 0 to 18"):
        promising_pairs(scores_of(LATIN), count)
