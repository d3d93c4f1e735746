"""Equal is what differs by no more than floats do, in scores of any size."""

import numpy as np
import pytest

from seedgrid.analysis.comparison import compare
from seedgrid.analysis.prediction import promising_pairs
from seedgrid.analysis.rounding import significant_decimals


@pytest.mark.parametrize(("size", "decimals"), [(1.0, 12), (99.0, 12), (0.02, 12), (5e6, 7), (5e-6, 15), (0.0, 12)])
def test_larger_scores_have_fewer_decimals(size, decimals):
    assert significant_decimals([[size, -size / 3], [np.nan, 0.0]]) == decimals


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e7])
def test_a_comparison_says_the_same_in_any_unit(size):
    scores = 1 + 0.1 * np.random.default_rng(0).standard_normal((4, 4))
    constant = compare(size * scores, size * (scores + 0.1), max_budget=0)
    assert constant.difference.standard_error == 0 and np.isnan(constant.difference.p)
    other = scores + 0.05 * np.random.default_rng(1).standard_normal((4, 4))
    one, scaled = compare(scores, other, max_budget=3), compare(size * scores, size * other, max_budget=3)
    assert scaled.difference.p == pytest.approx(one.difference.p, rel=1e-6)
    assert scaled.difference.value == pytest.approx(size * one.difference.value, rel=1e-6)
    assert scaled.expected_best.difference == pytest.approx(size * one.expected_best.difference, rel=1e-6)


def test_pairs_that_are_as_promising_are_drawn_alike_in_any_unit():
    partial = np.full((4, 4), np.nan)
    partial[[0, 1, 2], [0, 1, 2]] = 0.7, 0.7, 0.5
    drawn = [promising_pairs(size * partial, 6, seed=1).tolist() for size in (1e-8, 1.0, 3e7)]
    assert drawn[0] == drawn[1] == drawn[2]
