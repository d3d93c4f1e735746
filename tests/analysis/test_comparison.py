"""Two methods compared: against SciPy, closed forms, enumeration, and simulations of methods that do not differ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from seedgrid.analysis.comparison import LabelledGrid, Variances, _weighted_difference, compare, trials_needed
from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.variance import components, grid_mean


def crossed(generator, inits, orders, init=0.25, order=0.25, residual=0.5):
    return (
        np.sqrt(init) * generator.standard_normal((inits, 1))
        + np.sqrt(order) * generator.standard_normal((1, orders))
        + np.sqrt(residual) * generator.standard_normal((inits, orders))
    )


def seeds_once(scores):
    grid = np.full((len(scores), len(scores)), np.nan)
    np.fill_diagonal(grid, scores)
    return grid


def labelled(scores, first=0):
    return LabelledGrid(scores, range(first, first + scores.shape[0]), range(first, first + scores.shape[1]))


def quick(a, b, **options):
    """Without the redrawn curves, which most tests do not look at."""
    return compare(a, b, max_budget=0, **options)


# Pairing


def test_grids_over_the_same_seeds_are_paired_cell_by_cell():
    generator = np.random.default_rng(0)
    a, b = crossed(generator, 6, 8), crossed(generator, 6, 8)
    result = quick(a, b)
    differences = grid_mean(a - b)
    assert result.paired and result.shared == 48
    assert result.difference.value == pytest.approx(a.mean() - b.mean())
    assert result.difference.standard_error == pytest.approx(differences.standard_error)
    assert result.difference.degrees == pytest.approx(differences.degrees)
    low, high = stats.t.interval(0.95, differences.degrees, differences.value, differences.standard_error)
    assert (result.difference.lower, result.difference.upper) == pytest.approx((low, high))
    assert result.difference.p == pytest.approx(2 * stats.t.sf(abs(result.difference.t), differences.degrees))


def test_seeds_are_matched_by_label_in_whatever_order_they_are_listed():
    generator = np.random.default_rng(1)
    a, b = crossed(generator, 4, 5), crossed(generator, 4, 5)
    shuffled = LabelledGrid(b[[2, 0, 3, 1]][:, ::-1], [12, 10, 13, 11], [4, 3, 2, 1, 0])
    result = quick(LabelledGrid(a, [10, 11, 12, 13], range(5)), shuffled)
    assert result.paired and result.difference == quick(a, b).difference


def test_trials_that_only_one_method_has_are_left_out_of_pairs():
    generator = np.random.default_rng(2)
    a, b = crossed(generator, 6, 6), crossed(generator, 4, 5)
    b[0, 0] = np.nan
    result = quick(labelled(a), labelled(b))
    kept = np.where(np.isfinite(b), a[:4, :5], np.nan)
    assert (result.paired, result.shared, result.trials_a, result.trials_b) == (True, 19, 19, 19)
    assert result.mean_a.value == pytest.approx(np.nanmean(kept))
    assert result.difference.value == pytest.approx(np.nanmean(kept - b))


def test_methods_that_share_too_few_seed_pairs_are_compared_unpaired_with_all_trials():
    generator = np.random.default_rng(3)
    a, b = crossed(generator, 5, 5), crossed(generator, 5, 5)
    for first, shared in ((3, 4), (100, 0)):
        result = quick(labelled(a), labelled(b, first))
        assert (result.paired, result.shared, result.trials_a) == (False, shared, 25)
    with pytest.raises(ValueError, match="share 0 seed pairs"):
        quick(labelled(a), labelled(b, 100), paired=True)
    assert quick(labelled(a), labelled(b, 3), paired=True).trials_a == 4


def test_unpaired_grids_add_their_errors_as_welch_does():
    generator = np.random.default_rng(4)
    a, b = crossed(generator, 6, 8), 3 * crossed(generator, 5, 5)
    result = quick(labelled(a), labelled(b, 100)).difference
    one, two = grid_mean(a), grid_mean(b)
    squares = np.array([one.standard_error**2, two.standard_error**2])
    assert result.standard_error == pytest.approx(np.sqrt(squares.sum()))
    assert result.degrees == pytest.approx(squares.sum() ** 2 / np.sum(squares**2 / [one.degrees, two.degrees]))


def test_seeds_that_each_occur_once_get_scipys_t_tests():
    generator = np.random.default_rng(5)
    x, y = generator.standard_normal(12), generator.standard_normal(12) + 0.5
    paired = quick(seeds_once(x), seeds_once(y))
    assert paired.paired and paired.difference.p == pytest.approx(stats.ttest_rel(x, y).pvalue)
    single_init = quick(x[None, :], y[None, :])
    assert single_init.difference.p == pytest.approx(stats.ttest_rel(x, y).pvalue)
    welch = quick(labelled(seeds_once(x)), labelled(seeds_once(y[:9]), 100))
    assert welch.difference.p == pytest.approx(stats.ttest_ind(x, y[:9], equal_var=False).pvalue)


def test_grids_with_dropouts_are_compared_too():
    generator = np.random.default_rng(6)
    a, b = generator.standard_normal((4, 5, 3)), generator.standard_normal((4, 5, 3))
    result = quick(a, b)
    assert result.difference.standard_error == pytest.approx(grid_mean(a - b).standard_error)
    # What varies besides init and order counts as residual of a trial with a dropout seed of its own.
    assert sum((result.variances.init, result.variances.order, result.variances.residual)) == pytest.approx(
        result.variances.total
    )
    flat = LabelledGrid(a[:, :, 0], range(4), range(5))
    assert not quick(flat, LabelledGrid(b, range(4), range(5), range(3))).paired


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_swapping_the_methods_turns_every_figure_around(seed, paired):
    generator = np.random.default_rng(seed)
    a, b = np.round(crossed(generator, 5, 6), 1), np.round(crossed(generator, 5, 6) + 0.3, 1)
    one, two = (compare(*grids, paired=paired, diverged_at=-0.5, draws=20) for grids in ((a, b), (b, a)))
    assert two.difference.value == pytest.approx(-one.difference.value)
    assert (two.difference.lower, two.difference.p) == pytest.approx((-one.difference.upper, one.difference.p))
    assert two.hedges_g == pytest.approx(-one.hedges_g)
    assert (two.chance.value, two.chance.lower) == pytest.approx((1 - one.chance.value, 1 - one.chance.upper))
    assert two.diverged.lower == pytest.approx(-one.diverged.upper)
    np.testing.assert_allclose(two.expected_best.difference, -one.expected_best.difference)
    if paired:  # the same seeds are redrawn
        assert one.expected_best.a_leads == two.expected_best.b_leads


# False alarms


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.5), (0.6, 0.1, 0.3)])
def test_methods_that_do_not_differ_are_told_apart_one_time_in_twenty(paired, shares):
    generator = np.random.default_rng(7)
    rejected = np.zeros(3)
    for _ in range(500):
        a, b = crossed(generator, 10, 10, *shares), crossed(generator, 10, 10, *shares)
        if paired:
            common = crossed(generator, 10, 10)  # what a seed does to both
            a, b = a + common, b + common
        result = quick(a, b, paired=paired)
        plain = stats.ttest_rel(a.ravel(), b.ravel()) if paired else stats.ttest_ind(a.ravel(), b.ravel())
        rejected += np.array([result.difference.p, result.chance.p, plain.pvalue]) < 0.05
    difference, chance, plain = rejected / 500
    assert 0.03 <= difference <= 0.08
    assert 0.02 <= chance <= 0.08
    assert plain > 0.35


def test_missing_cells_do_not_raise_false_alarms():
    generator = np.random.default_rng(8)
    rejected = 0
    for _ in range(300):
        a, b = (np.where(generator.random((8, 8)) < 0.3, np.nan, crossed(generator, 8, 8)) for _ in range(2))
        rejected += quick(a, b, paired=False).difference.p < 0.05
    assert 0.02 <= rejected / 300 <= 0.08


# Chance


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=6, max_size=6), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_chance_is_the_share_of_pairs_won_with_ties_half(x, y):
    a, b = np.reshape(x, (2, 3)) / 7, np.reshape(y, (2, 3)) / 7
    expected = np.mean([(one > two) + (one == two) / 2 for one in a.ravel() for two in b.ravel()])
    assert quick(a, b).chance.value == pytest.approx(expected)


def test_the_error_of_the_chance_for_independent_trials_is_delongs():
    generator = np.random.default_rng(9)
    x, y = generator.standard_normal(15) + 0.8, generator.standard_normal(11)
    result = quick(labelled(seeds_once(x)), labelled(seeds_once(y), 100)).chance
    wins = (x[:, None] > y).astype(float)
    value, parts = wins.mean(), [np.var(wins.mean(1), ddof=1) / 15, np.var(wins.mean(0), ddof=1) / 11]
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / 14 + parts[1] ** 2 / 10)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(sum(parts)) / (value * (1 - value))
    odds = np.log(value / (1 - value))
    assert (result.lower, result.upper) == pytest.approx(
        (1 / (1 + np.exp(half - odds)), 1 / (1 + np.exp(-half - odds)))
    )


def test_the_interval_of_the_chance_covers_it_with_shared_seeds():
    generator = np.random.default_rng(10)
    truth = stats.norm.cdf(0.8 / np.sqrt(2))
    covered = 0
    for _ in range(300):
        chance = quick(crossed(generator, 8, 8) + 0.8, crossed(generator, 8, 8), paired=False).chance
        covered += chance.lower < truth < chance.upper
    assert 0.92 < covered / 300 < 0.995


def test_a_method_that_wins_all_is_as_sure_as_its_seeds_are_many():
    a = crossed(np.random.default_rng(11), 6, 9)
    chance = quick(a + 100, a).chance
    assert (chance.value, chance.upper) == (1, 1)
    # Six of six wins: Clopper and Pearson's limit, and the sign test.
    assert chance.lower == pytest.approx(stats.binomtest(6, 6).proportion_ci(0.95).low)
    assert chance.p == pytest.approx(stats.binomtest(6, 6).pvalue)


# Effect size and diverged trials


def test_hedges_g_of_independent_trials_is_the_textbooks():
    generator = np.random.default_rng(12)
    x, y = generator.standard_normal(10) + 1, generator.standard_normal(10)
    pooled = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    degrees = (x.var(ddof=1) + y.var(ddof=1)) ** 2 / ((x.var(ddof=1) ** 2 + y.var(ddof=1) ** 2) / 9)
    found = quick(seeds_once(x), seeds_once(y)).hedges_g
    assert found == pytest.approx((x.mean() - y.mean()) / pooled * (1 - 3 / (4 * degrees - 1)), rel=1e-3)


def test_hedges_g_on_grids_does_not_depend_on_their_size():
    generator = np.random.default_rng(13)
    for size in (4, 12):
        g = [
            quick(crossed(generator, size, size) + 0.7, crossed(generator, size, size), paired=False).hedges_g
            for _ in range(120)
        ]
        assert np.mean(g) == pytest.approx(0.7, abs=3.5 * np.std(g) / np.sqrt(120))


def test_diverged_trials_are_those_at_or_below_the_threshold():
    a, b = np.array([[0.5, 0.9, 0.8], [0.4, 0.5, 0.9]]), np.array([[0.9, 0.9, np.nan], [0.8, 0.5, 0.9]])
    result = quick(labelled(a), labelled(b, 50), diverged_at=0.5).diverged
    assert (result.a, result.trials_a, result.b, result.trials_b) == (3, 6, 1, 5)
    assert result.difference == pytest.approx(3 / 6 - 1 / 5)
    assert result.fisher_p == pytest.approx(stats.fisher_exact([[3, 3], [1, 4]]).pvalue)
    assert quick(a, a).diverged is None


def test_the_interval_of_diverged_shares_is_newcombes_published_one():
    # Newcombe (1998), table II, method 10: 56/70 against 48/80 has 0.0524 to 0.3339.
    a, b = np.array([0.0] * 56 + [1.0] * 14), np.array([0.0] * 48 + [1.0] * 32)
    result = quick(labelled(seeds_once(a)), labelled(seeds_once(b), 500), diverged_at=0).diverged
    assert (result.lower, result.upper) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_inits_that_diverge_together_are_not_taken_for_independent_trials():
    a, b = np.ones((10, 10)), np.ones((10, 10))
    a[:2] = 0  # 20 of 100 trials, but two seeds
    a[5, 5] = b[0, 0] = 0
    result = quick(a, b, diverged_at=0.5).diverged
    assert result.fisher_p < 1e-4 < 0.05 < result.p


def test_no_diverged_trial_has_an_interval_and_no_alarm():
    result = quick(np.ones((3, 3)), np.ones((3, 3)), diverged_at=0).diverged
    assert (result.a, result.b, result.p, result.fisher_p) == (0, 0, 1, 1)
    assert result.lower < 0 < result.upper


# Expected best


def test_expected_best_is_the_unbiased_estimate_up_to_the_largest_budget():
    generator = np.random.default_rng(14)
    a, b = crossed(generator, 6, 6), crossed(generator, 6, 6)
    best = compare(a, b, max_budget=20, draws=20).expected_best
    assert best.budgets.tolist() == list(range(1, 21))
    np.testing.assert_allclose(best.a, expected_max(a.ravel())[:20])
    np.testing.assert_allclose(best.difference, expected_max(a.ravel())[:20] - expected_max(b.ravel())[:20])
    assert np.isfinite(best.lower[: best.trusted_up_to]).all() and np.isnan(best.lower[best.trusted_up_to :]).all()


def test_redrawn_curves_with_whole_weights_are_those_of_repeated_trials():
    generator = np.random.default_rng(15)
    scores = [np.round(generator.standard_normal(7), 1), np.round(generator.standard_normal(5), 1)]
    weights = [generator.integers(1, 4, size=(3, each.size)) for each in scores]
    found = _weighted_difference(scores, [weight.astype(float) for weight in weights], 6)
    for draw in range(3):
        one, two = (
            expected_max(np.repeat(each, weight[draw]), estimator="plugin")
            for each, weight in zip(scores, weights, strict=True)
        )
        size = min(one.size, two.size, 6)
        np.testing.assert_allclose(found[draw, :size], one[:size] - two[:size])


def test_a_crossing_is_claimed_where_each_method_leads_beyond_doubt():
    generator = np.random.default_rng(16)
    wild = np.where(generator.random((20, 20)) < 0.4, 0.5, 0.9 + 0.02 * generator.standard_normal((20, 20)))
    steady = 0.85 + 0.01 * generator.standard_normal((20, 20))
    best = compare(wild, steady, draws=300).expected_best
    assert best.crossing and best.b_leads[0] == 1 and best.trusted_up_to in best.a_leads
    assert np.all(best.upper[np.array(best.b_leads) - 1] < 0) and np.all(best.lower[np.array(best.a_leads) - 1] > 0)
    ahead = compare(steady + 0.2, steady + 0.001 * generator.standard_normal((20, 20)), draws=100).expected_best
    assert ahead.a_leads == tuple(range(1, ahead.trusted_up_to + 1)) and not ahead.crossing


def test_no_leader_is_named_between_equal_methods_more_often_than_the_level_allows_at_one_budget():
    generator = np.random.default_rng(17)
    outside = np.zeros(2)
    for _ in range(100):
        best = compare(crossed(generator, 8, 8), crossed(generator, 8, 8), paired=False, draws=300).expected_best
        last = best.trusted_up_to - 1
        outside += [not best.lower[0] < 0 < best.upper[0], not best.lower[last] < 0 < best.upper[last]]
    assert np.all(outside / 100 < 0.1)


def test_scores_in_another_unit_have_the_same_leaders():
    generator = np.random.default_rng(18)
    a, b = crossed(generator, 7, 7) + 0.8, crossed(generator, 7, 7)
    one, two = compare(a, b, draws=100).expected_best, compare(100 * a - 7, 100 * b - 7, draws=100).expected_best
    np.testing.assert_allclose(two.lower, 100 * one.lower, rtol=1e-9)
    assert one.a_leads == two.a_leads


# Trials needed


def test_independent_pairs_needed_are_those_of_statsmodels():
    for difference, spread, power in ((0.5, 1.0, 0.8), (0.02, 0.05, 0.9), (3.0, 1.0, 0.8)):
        found = trials_needed(difference, Variances(None, None, None, spread**2), power=power)
        expected = TTestPower().solve_power(difference / spread, alpha=0.05, power=power, alternative="two-sided")
        assert found.pairs == max(2, int(np.ceil(expected - 1e-6)))
        assert found.inits is None and found.trials_in_grid is None


def test_the_grid_needed_is_the_smallest_that_reaches_the_power_in_simulation():
    variances = Variances(0.3, 0.2, 0.5, 1.0)
    needed = trials_needed(0.6, variances)
    assert abs(needed.inits - needed.orders) <= 1 and needed.trials_in_grid == needed.inits * needed.orders
    generator = np.random.default_rng(19)
    detected = 0
    for _ in range(400):
        d = crossed(generator, needed.inits, needed.orders, 0.3, 0.2, 0.5) + 0.6
        detected += quick(d, np.zeros_like(d)).difference.p < 0.05
    assert detected / 400 == pytest.approx(0.8, abs=0.06)
    assert needed.trials_in_grid > needed.pairs  # trials that share seeds say less


def test_without_effects_of_seeds_a_grid_needs_little_more_than_pairs():
    needed = trials_needed(0.2, Variances(0.0, 0.0, 1.0, 1.0))
    # The test of a grid has to allow for effects that are not there.
    assert needed.pairs < needed.trials_in_grid < 1.5 * needed.pairs


def test_trials_that_exist_are_not_needed_again():
    variances = Variances(0.3, 0.2, 0.5, 1.0)
    fresh, more = trials_needed(0.6, variances), trials_needed(0.6, variances, have=(5, 8))
    assert fresh.more_in_grid == fresh.trials_in_grid and fresh.more_pairs == fresh.pairs
    assert more.inits >= 5 and more.orders >= 8 and more.more_in_grid == more.trials_in_grid - 40
    assert more.more_pairs == more.pairs - 5
    plenty = trials_needed(0.6, variances, have=(200, 300))
    assert (plenty.inits, plenty.orders, plenty.more_in_grid, plenty.more_pairs) == (200, 300, 0, 0)
    wide = trials_needed(0.6, variances, have=(200, 3))
    assert wide.inits == 200 and wide.orders > 3


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 2), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_smaller_differences_and_more_power_never_need_fewer_trials(difference, init, order, residual):
    variances = Variances(init, order, residual, init + order + residual)
    base = trials_needed(difference, variances)
    for other in (trials_needed(difference / 2, variances), trials_needed(difference, variances, power=0.9)):
        assert other.pairs >= base.pairs and other.trials_in_grid >= base.trials_in_grid
    assert trials_needed(-difference, variances).pairs == base.pairs


def test_a_grid_of_differences_its_components_and_a_comparison_ask_for_the_same_trials():
    generator = np.random.default_rng(20)
    a, b = crossed(generator, 8, 8), crossed(generator, 8, 8)
    answers = [trials_needed(0.5, source) for source in (a - b, components(a - b), quick(a, b).variances)]
    assert answers[0] == answers[1] == answers[2]
    assert trials_needed(0.5, seeds_once(np.diag(a))).inits is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"difference": 0}, "other than 0"),
        ({"difference": np.nan}, "difference is nan"),
        ({"power": 1.0}, "power 1.0"),
        ({"level": 0.9}, "level is 0.9"),
        ({"difference": 1e-9}, "seeds do not show"),
    ],
)
def test_questions_without_an_answer_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        trials_needed(**{"difference": 0.1, "variances": Variances(0.1, 0.1, 0.1, 0.3)} | arguments)


# Degenerate input


def test_a_method_against_itself_does_not_differ():
    a = crossed(np.random.default_rng(21), 5, 5)
    result = compare(a, a, draws=20)
    assert (result.difference.value, result.difference.p) == (0, 1)
    assert result.chance.value == pytest.approx(0.5) and result.chance.p == 1
    assert np.isnan(result.difference.lower) and np.isnan(result.chance.lower)
    assert not result.expected_best.a_leads and not result.expected_best.b_leads


def test_scores_that_do_not_vary_give_no_error_to_go_by():
    result = compare(np.full((4, 4), 0.8), np.full((4, 4), 0.7), draws=20)
    assert result.difference.value == pytest.approx(0.1)
    assert np.isnan([result.difference.p, result.difference.lower, result.hedges_g]).all()
    assert result.expected_best.a_leads == ()
    # Differences that are equal but for the last bits of their subtraction do not vary either.
    b = np.random.default_rng(0).random((4, 4))
    assert np.isnan(quick(b + 0.1, b).difference.p)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[0.5]], [[0.6]], "method a has 1 trials"),
        (np.full((3, 3), np.nan), np.ones((3, 3)), "method a has 0 trials"),
        (np.ones((3, 3)), np.ones((3, 4)), "LabelledGrid"),
        (np.ones((3, 3)), labelled(np.ones((3, 3))), "the same way"),
        ([0.1, 0.2], [0.1, 0.2], "inits x orders"),
        ([[0.1, np.inf], [0.2, 0.3]], np.ones((2, 2)), "infinite"),
    ],
)
def test_methods_that_cannot_be_compared_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        compare(a, b)


def test_options_out_of_range_are_refused():
    for options in ({"level": 95}, {"max_budget": -1}, {"draws": 1}):
        with pytest.raises(ValueError, match=str(next(iter(options.values())))):
            compare(np.eye(3), np.eye(3), **options)


def test_labels_must_fit_the_scores():
    with pytest.raises(ValueError, match="shape"):
        LabelledGrid(np.ones((2, 3)), [0, 1], [0, 1])
    with pytest.raises(ValueError, match="twice"):
        LabelledGrid(np.ones((2, 2)), [0, 0], [0, 1])
