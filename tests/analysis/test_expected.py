"""Tests of the expected best of n trials and its interval.

``python tests/analysis/test_expected.py [simulations]`` prints the coverages that ``expected_max_interval`` reports.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from seedgrid.analysis.expected import expected_max, expected_max_interval, expected_of_best_ranked

few_scores = arrays(np.float64, st.integers(1, 9), elements=st.sampled_from([-1.0, -0.25, 0.0, 0.5, 0.75]))
many_scores = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1, allow_subnormal=False))


def exact_expected_max(scores: np.ndarray, n: int) -> float:
    """C(i, n) / C(N, n) in rational arithmetic."""
    ordered, trials = np.sort(scores), len(scores)
    total = math.comb(trials, n)
    chances = [Fraction(math.comb(i, n) - math.comb(i - 1, n), total) for i in range(1, trials + 1)]
    return float(sum(chance * Fraction(score) for chance, score in zip(chances, ordered.tolist(), strict=True)))


@given(few_scores)
def test_unbiased_is_the_mean_of_the_maximum_over_all_subsets(scores):
    brute = [np.mean([max(subset) for subset in combinations(scores, n)]) for n in range(1, len(scores) + 1)]
    np.testing.assert_allclose(expected_max(scores), brute, rtol=0, atol=1e-12)


@pytest.mark.parametrize("trials", [25, 625])
def test_unbiased_agrees_with_rational_arithmetic_at_every_n(trials):
    scores = np.random.default_rng(trials).normal(0.8, 0.1, trials).round(3)
    got = expected_max(scores)
    for n in {1, 2, 3, 7, trials // 4, trials // 2, trials - 2, trials - 1, trials}:
        assert got[n - 1] == pytest.approx(exact_expected_max(scores, n), rel=0, abs=1e-12)


@pytest.mark.parametrize("trials", [1, 2, 50, 3000])
def test_plugin_is_the_formula_of_the_paper(trials):
    scores = np.random.default_rng(trials).normal(-0.5, 0.3, trials).round(2)
    ordered, share = np.sort(scores), np.arange(trials + 1) / trials
    got = expected_max(scores, estimator="plugin")
    for n in {1, min(2, trials), min(37, trials), trials}:
        assert got[n - 1] == pytest.approx(np.diff(share**n) @ ordered, rel=0, abs=1e-12)


def test_a_hundred_thousand_trials_neither_overflow_nor_lose_digits():
    trials = 100_000
    scores = np.random.default_rng(0).normal(size=trials)
    ordered, rank = np.sort(scores).astype(np.longdouble), np.arange(1, trials + 1, dtype=np.longdouble)
    got = expected_max(scores)
    assert got.shape == (trials,)
    assert got[0] == pytest.approx(scores.mean(), rel=0, abs=1e-12)
    assert got[1] == pytest.approx(float((2 * (rank - 1) * ordered).sum() / (trials * (trials - 1))), rel=0, abs=1e-12)
    for n in (30, 5000, 99_990):
        survival = np.cumprod(np.maximum((trials - n - np.arange(trials)) / (trials - rank + 1), 0))
        chance = np.append(1, survival[:-1]) - survival
        assert got[n - 1] == pytest.approx(float(chance @ ordered[::-1]), rel=0, abs=1e-11)
    assert got[-1] == scores.max()


@given(many_scores)
def test_more_trials_never_lower_the_expected_best_and_plugin_never_exceeds_unbiased(scores):
    unbiased, plugin = expected_max(scores), expected_max(scores, "plugin")
    assert (np.diff(unbiased) >= -1e-12).all()
    assert (plugin <= unbiased + 1e-12).all()


@given(many_scores, st.randoms(use_true_random=False), st.floats(-2, 2), st.floats(0.1, 3))
def test_order_does_not_matter_and_units_carry_over(scores, random, shift, scale):
    shuffled = scores.copy()
    random.shuffle(shuffled)
    np.testing.assert_allclose(expected_max(shuffled), expected_max(scores), rtol=0, atol=1e-12)
    np.testing.assert_allclose(expected_max(shift + scale * scores), shift + scale * expected_max(scores), atol=1e-10)


@pytest.mark.parametrize("estimator", ["unbiased", "plugin"])
def test_one_trial_and_constant_scores_give_that_score(estimator):
    assert expected_max(np.array([-0.3]), estimator).tolist() == [-0.3]
    assert expected_max(np.full(40, 0.75), estimator).tolist() == [0.75] * 40


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1, np.nan], "1 of 2 scores are NaN"),
        ([np.nan, np.nan], "2 of 2 scores are NaN"),
        ([0.1, -np.inf], "1 of 2 scores are NaN or infinite"),
        ([], "shape"),
        ([[0.1, 0.2]], "shape"),
    ],
)
def test_scores_that_would_mislead_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        expected_max(np.array(scores))


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="'bootstrap' is unknown"):
        expected_max(np.array([0.1]), estimator="bootstrap")


@given(few_scores)
def test_value_of_the_best_ranked_is_its_mean_over_all_subsets(values):
    brute = [
        np.mean([values[min(subset)] for subset in combinations(range(len(values)), n)])
        for n in range(1, len(values) + 1)
    ]
    np.testing.assert_allclose(expected_of_best_ranked(values), brute, rtol=0, atol=1e-12)


# The populations of the coverage simulations: a score as a function of a standard normal number.
POPULATIONS = {
    "normal": lambda z: z,
    "left-skewed": lambda z: -np.exp(-0.8 * z),
    "a quarter diverged": lambda z: mixture(z, 0.25),
    "four fifths diverged": lambda z: mixture(z, 0.8),
    "in steps of half a standard deviation": lambda z: np.round(2 * z) / 2,
    "log-normal": lambda z: np.exp(0.8 * z),
}


def mixture(z: np.ndarray, diverged: float) -> np.ndarray:
    """0.70 for the diverged share, about 0.88 with standard deviation 0.012 for the others."""
    above = np.clip((stats.norm.cdf(z) - diverged) / (1 - diverged), 1e-12, 1)
    return np.where(z < stats.norm.ppf(diverged), 0.70, 0.88 + 0.012 * stats.norm.ppf(np.minimum(above, 1 - 1e-12)))


def true_expected_max(population: str, sizes: range) -> np.ndarray:
    """Expected best of n independent trials, by numerical integration over the quantiles of the best."""
    share = (np.arange(400_000) + 0.5) / 400_000
    return np.array([POPULATIONS[population](stats.norm.ppf(share ** (1 / n))).mean() for n in sizes])


class Coverage(NamedTuple):
    """Coverage of simulated intervals: for each n among those that are given, and how many are given; then for each
    simulation, whether the last given holds the truth, and at which n that is."""

    by_size: np.ndarray
    given: np.ndarray
    last_holds: np.ndarray
    last: np.ndarray


def covered(
    population: str, shape: tuple[int, ...], shares: tuple[float, ...], simulations: int, draws=300, as_list=False
) -> Coverage:
    """Simulate intervals; ``shares`` are the parts of the variance due to each axis's seeds, the rest independent."""
    generator = np.random.default_rng(0)
    largest = math.prod(shape) // 5
    truth = true_expected_max(population, range(1, largest + 1))
    held, given_ = np.zeros((2, largest))
    at_the_end = []
    for simulation in range(simulations):
        z = math.sqrt(1 - sum(shares)) * generator.standard_normal(shape)
        for axis, part in enumerate(shares):
            along = [1] * len(shape)
            along[axis] = shape[axis]
            z = z + math.sqrt(part) * generator.standard_normal(along)
        scores = POPULATIONS[population](z)
        interval = expected_max_interval(scores.ravel() if as_list else scores, draws=draws, seed=simulation)
        lower, upper = interval.lower[:largest], interval.upper[:largest]
        holds = (lower <= truth + 1e-9) & (truth <= upper + 1e-9)
        held += holds
        given_ += ~np.isnan(lower)
        at_the_end.append((holds[interval.trusted_up_to - 1], interval.trusted_up_to))
    return Coverage(held / np.maximum(given_, 1), given_ / simulations, *np.array(at_the_end).T)


@pytest.mark.parametrize("population", ["normal", "left-skewed", "a quarter diverged", "four fifths diverged"])
def test_interval_of_independent_trials_covers_wherever_it_is_given(population):
    coverage = covered(population, (50,), (), simulations=200)
    assert (coverage.given == 1).all()
    assert coverage.by_size.min() > 0.9


@pytest.mark.parametrize("population", ["normal", "a quarter diverged"])
def test_interval_of_a_grid_covers_although_trials_share_seeds(population):
    coverage = covered(population, (10, 10), (0.6, 0.2), simulations=150)
    assert coverage.given[0] == 1
    assert coverage.by_size[0] > 0.9
    assert coverage.last_holds.mean() > 0.9


def test_a_grid_taken_for_a_list_would_not_cover():
    coverage = covered("normal", (10, 10), (0.6, 0.2), simulations=100, as_list=True)
    assert coverage.by_size[0] < 0.7


@given(
    arrays(np.float64, st.integers(5, 40), elements=st.floats(-1, 1, allow_subnormal=False).map(lambda x: round(x, 2)))
)
@settings(max_examples=40, deadline=None)
def test_limits_enclose_the_estimate_and_end_at_a_fifth_of_the_trials(scores):
    interval = expected_max_interval(scores)
    trusted = len(scores) // 5
    assert interval.trusted_up_to == trusted
    assert np.isnan(interval.lower[trusted:]).all() and np.isnan(interval.upper[trusted:]).all()
    estimate = expected_max(scores)[:trusted]
    assert (interval.lower[:trusted] <= estimate + 1e-6).all()
    assert (estimate <= interval.upper[:trusted] + 1e-6).all()


def test_a_grid_is_trusted_no_further_than_its_seeds_reach():
    generator = np.random.default_rng(1)
    by_row = np.repeat(generator.standard_normal((25, 1)), 20, axis=1)
    assert expected_max_interval(by_row).trusted_up_to in (3, 4, 5)
    assert expected_max_interval(by_row.ravel()).trusted_up_to == 100
    assert expected_max_interval(generator.standard_normal((25, 20))).trusted_up_to > 20


def test_grid_copied_along_an_axis_has_about_the_interval_of_its_rows():
    rows = np.random.default_rng(2).standard_normal(40)
    alone = expected_max_interval(rows)
    copied = expected_max_interval(np.repeat(rows[:, None], 30, axis=1))
    assert copied.upper[0] - copied.lower[0] == pytest.approx(alone.upper[0] - alone.lower[0], rel=0.15)


def test_an_axis_with_one_seed_counts_as_fixed():
    scores = np.random.default_rng(3).standard_normal(30)
    listed, column = expected_max_interval(scores), expected_max_interval(scores[:, None])
    begun = np.full((30, 4), np.nan)
    begun[:, 2] = scores
    for grid in (column, expected_max_interval(begun)):
        np.testing.assert_array_equal(grid.lower, listed.lower)
        np.testing.assert_array_equal(grid.upper, listed.upper)


def test_two_seeds_on_an_axis_say_too_little_about_it_for_any_limit():
    assert expected_max_interval(np.random.default_rng(7).standard_normal((2, 25))).trusted_up_to == 0


def test_missing_cells_and_a_third_axis_are_allowed():
    grid = np.random.default_rng(4).standard_normal((8, 8, 3))
    grid[0, :, 0] = np.nan
    interval = expected_max_interval(grid)
    assert interval.lower.shape == (184,)
    assert interval.lower[0] < np.nanmean(grid) < interval.upper[0]


def test_constant_scores_have_limits_of_no_width():
    interval = expected_max_interval(np.full((5, 5), -0.2))
    trusted = interval.trusted_up_to
    assert trusted >= 1
    assert interval.lower[:trusted].tolist() == interval.upper[:trusted].tolist() == [-0.2] * trusted


@pytest.mark.parametrize("trials", [1, 4])
def test_too_few_trials_have_no_limits(trials):
    interval = expected_max_interval(np.arange(float(trials)))
    assert interval.trusted_up_to == 0
    assert np.isnan(interval.lower).all() and np.isnan(interval.upper).all()


def test_a_higher_level_is_wider():
    scores = np.random.default_rng(5).standard_normal(60)
    narrow, wide = expected_max_interval(scores, level=0.8), expected_max_interval(scores, level=0.99)
    trusted = narrow.trusted_up_to
    assert (wide.lower[:trusted] < narrow.lower[:trusted]).all()
    assert (wide.upper[:trusted] > narrow.upper[:trusted]).all()


def test_mean_of_independent_trials_has_about_the_t_interval():
    scores = np.random.default_rng(6).standard_normal(400)
    interval = expected_max_interval(scores)
    low, high = stats.t.interval(0.95, 399, scores.mean(), stats.sem(scores))
    assert interval.lower[0] == pytest.approx(low, abs=0.02)
    assert interval.upper[0] == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": [0.1] * 9, "level": 1.0}, "level is 1.0"),
        ({"scores": [0.1] * 9, "draws": 1}, "draws is 1"),
        ({"scores": [0.1, np.nan]}, "NaN"),
        ({"scores": [[np.nan, np.nan]]}, "shape"),
        ({"scores": [[0.1, np.inf]]}, "infinite"),
    ],
)
def test_interval_refuses_what_it_cannot_use(arguments, message):
    with pytest.raises(ValueError, match=message):
        expected_max_interval(**{**arguments, "scores": np.array(arguments["scores"])})


def test_simulated_truth_is_the_textbook_value_for_normal_scores():
    for n in (1, 2, 10):
        mean, _ = integrate.quad(lambda x, n=n: x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1), -12, 12)
        assert true_expected_max("normal", range(n, n + 1))[0] == pytest.approx(mean, abs=1e-4)


if __name__ == "__main__":
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    cases = [((trials,), ()) for trials in (10, 25, 50, 100)]
    cases += [(shape, shares) for shape in ((5, 5), (10, 10)) for shares in ((0, 0), (0.3, 0.3), (0.7, 0.1))]
    cases += [((25, 25), (0.3, 0.3))]
    for shape, shares in cases:
        for population in POPULATIONS:
            runs = simulations if math.prod(shape) < 200 else simulations // 5
            coverage = covered(population, shape, shares, runs, draws=1000)
            print(
                f"{'x'.join(map(str, shape)):8} {shares!s:12} {population:40} n=1 {coverage.by_size[0]:6.1%}"
                f"   at the last n {coverage.last_holds.mean():6.1%}, in the median n={np.median(coverage.last):.0f}",
                flush=True,
            )
