"""Ranks of seeds across tasks, against SciPy's Friedman test, hand-worked and enumerated examples."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from seedgrid.analysis.transfer import seed_ranks


def grids_with(means):
    """Task -> grid of two orders whose rows have these means."""
    return {f"task{k}": np.add.outer(row, [-0.01, 0.01]) for k, row in enumerate(np.asarray(means, dtype=float))}


def test_tasks_that_agree_fully_have_kendalls_w_of_one_and_best_ranks_first():
    result = seed_ranks(grids_with([[0.3, 0.9, 0.5], [30, 90, 50], [-3, -1, -2]]), shuffles=500)
    assert result.kendall_w == pytest.approx(1)
    np.testing.assert_array_equal(result.ranks, [[3, 1, 2]] * 3)
    np.testing.assert_array_equal(result.mean_rank, [3, 1, 2])
    assert result.seeds == (0, 1, 2) and result.tasks == ("task0", "task1", "task2")


def test_kendalls_w_is_corrected_for_ties():
    # By hand: the rank sums' squared deviations from 16.5 add up to 591, t³ - t over the ties to 12 + 18 + 84 = 114, so
    # W = 12 * 591 / (3² * (10³ - 10) - 3 * 114).
    ranks = [
        [1, 4.5, 2, 4.5, 3, 7.5, 6, 9, 7.5, 10],
        [2.5, 1, 2.5, 4.5, 4.5, 8, 9, 6.5, 10, 6.5],
        [2, 1, 4.5, 4.5, 4.5, 4.5, 8, 8, 8, 10],
    ]
    result = seed_ranks(grids_with(-np.array(ranks)), shuffles=500)
    np.testing.assert_array_equal(result.ranks, ranks)
    assert result.kendall_w == pytest.approx(7092 / 8568)


def test_chi_square_is_scipys_friedman_with_tasks_as_blocks():
    means = np.round(np.random.default_rng(0).standard_normal((5, 7)), 0)  # rounded: ties
    result = seed_ranks(grids_with(means), shuffles=100)
    expected = stats.friedmanchisquare(*means.T)
    assert result.friedman_chi2 == pytest.approx(expected.statistic)
    assert result.friedman_p == pytest.approx(expected.pvalue)


def test_permutation_p_agrees_with_all_permutations():
    means = np.array([[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.3, 0.4], [0.1, 0.2, 0.4, 0.3]])
    result = seed_ranks(grids_with(means), shuffles=20_000)

    def spread(ranks):
        return np.var(np.sum(ranks, axis=0))

    # By symmetry the first task may stay as it is.
    all_spreads = [
        spread([result.ranks[0], one, two]) for one in permutations(range(1, 5)) for two in permutations(range(1, 5))
    ]
    exact = np.mean(np.array(all_spreads) >= spread(result.ranks) - 1e-9)
    assert result.permutation_p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))


def test_agreement_by_chance_is_found_as_often_as_the_level_says():
    generator = np.random.default_rng(1)
    p = [seed_ranks(grids_with(generator.random((3, 6))), shuffles=199, seed=k).permutation_p for k in range(300)]
    assert stats.binomtest(int(np.sum(np.array(p) <= 0.1)), 300, 0.1).pvalue > 0.001


def test_seeds_are_matched_by_label_and_those_some_task_lacks_are_left_out():
    grids = grids_with([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    grids["task1"][0] = np.nan  # seed 9 has no trial on the second task
    result = seed_ranks(grids, {"task0": [7, 8, 9], "task1": [9, 8, 7]}, shuffles=50)
    assert result.seeds == (7, 8)
    assert result.left_out == {"task0": (9,), "task1": ()}
    np.testing.assert_allclose(result.means, [[0.1, 0.2], [0.1, 0.2]])
    assert result.kendall_w == 1
    # Two seeds have too few ranks for a chi-square.
    assert np.isnan(result.friedman_chi2) and np.isfinite(result.permutation_p)


def test_orders_are_ranked_on_request():
    grids = {task: grid.T for task, grid in grids_with([[0.1, 0.3, 0.2], [0.2, 0.3, 0.1]]).items()}
    np.testing.assert_array_equal(seed_ranks(grids, axis="order", shuffles=50).ranks, [[3, 1, 2], [2, 1, 3]])


def test_seeds_with_equal_means_share_their_rank_although_sums_differ_in_their_last_bits():
    grids = {
        "one": [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.9, 0.9, 0.9]],
        "two": [[0.1, 0.1, 0.1], [0.2, 0.2, 0.2], [0.3, 0.3, 0.3]],
    }
    np.testing.assert_array_equal(seed_ranks(grids, shuffles=50).ranks[0], [2.5, 2.5, 1])


def test_constant_scores_leave_nothing_to_agree_on():
    result = seed_ranks({"one": np.full((3, 2), 0.5), "two": np.full((3, 2), 0.7)}, shuffles=50)
    assert np.isnan(result.kendall_w) and np.isnan(result.permutation_p)
    np.testing.assert_array_equal(result.mean_rank, [2, 2, 2])


@pytest.mark.parametrize(
    ("grids", "seeds", "message"),
    [
        ({"one": np.ones((3, 2))}, None, "1 task"),
        ({"one": np.ones((3, 2)), "two": np.ones((4, 2))}, None, "4 init seeds"),
        ({"one": np.ones((3, 2)), "two": np.ones((3, 2))}, {"one": [1, 2, 3], "two": [1, 2]}, "seeds of two"),
        ({"one": np.ones((2, 2)), "two": np.ones((2, 2))}, {"one": [1, 2], "two": [1, 1]}, "1 different"),
        ({"one": np.ones((2, 2)), "two": np.ones((2, 2))}, {"one": [1, 2], "two": [2, 3]}, "1 init seeds in common"),
    ],
)
def test_tasks_that_cannot_be_compared_are_refused(grids, seeds, message):
    with pytest.raises(ValueError, match=message):
        seed_ranks(grids, seeds)
