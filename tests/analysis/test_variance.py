"""Variance by seed, against closed forms, SciPy, statsmodels and grids whose components are known."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seedgrid.analysis.variance import (
    best_against_worst,
    components,
    grid_mean,
    permutation_test,
    seed_means,
    shared_seed_std,
    shared_seeds,
)


def crossed(generator, inits, orders, init=0.3, order=0.2, residual=0.5):
    return (
        np.sqrt(init) * generator.standard_normal((inits, 1))
        + np.sqrt(order) * generator.standard_normal((1, orders))
        + np.sqrt(residual) * generator.standard_normal((inits, orders))
    )


def crossed_three(generator, inits, orders, dropouts, variances):
    """Normal effects of given variances: init, order, dropout, their pairs in the order of ``every``, residual."""
    a, b, c = inits, orders, dropouts
    shapes = [(a, 1, 1), (1, b, 1), (1, 1, c), (a, b, 1), (a, 1, c), (1, b, c), (a, b, c)]
    effects = [generator.standard_normal(shape) for shape in shapes]
    return sum(np.sqrt(variance) * effect for variance, effect in zip(variances, effects, strict=True))


def tidy(grid):
    names = ["init", "order", "dropout"][: grid.ndim]
    cells = [(*map(str, index), grid[index]) for index in np.ndindex(grid.shape) if np.isfinite(grid[index])]
    return pd.DataFrame(cells, columns=[*names, "score"])


def with_gaps(grid, share, seed=1):
    gaps = np.random.default_rng(seed).random(grid.shape) < share
    return np.where(gaps, np.nan, grid)


def seeds_once(scores):
    grid = np.full((len(scores), len(scores)), np.nan)
    np.fill_diagonal(grid, scores)
    return grid


# shared_seed_std


def test_shared_seed_std_averages_the_groups_own_standard_deviations():
    grid = np.array([[1.0, 2.0, 6.0], [4.0, 4.0, np.nan]])
    result = shared_seed_std(grid)
    # By hand: row (1, 2, 6) has sum of squares 14 about 3, row (4, 4) none; columns (1, 4), (2, 4) and a single 6.
    assert result.init == pytest.approx((np.sqrt(14 / 2) + 0) / 2)
    assert result.order == pytest.approx((3 / np.sqrt(2) + 2 / np.sqrt(2)) / 2)
    assert result.all == pytest.approx(np.sqrt((2.4**2 + 1.4**2 + 2.6**2 + 2 * 0.6**2) / 4))
    assert result.dropout is None


def test_shared_seed_std_with_dropouts_groups_by_each_of_the_three_seeds():
    grid = np.random.default_rng(0).standard_normal((3, 4, 5))
    result = shared_seed_std(grid)
    frame = tidy(grid)
    for name in ("init", "order", "dropout"):
        assert getattr(result, name) == pytest.approx(frame.groupby(name).score.std().mean())


def test_shared_seed_std_is_nan_where_no_two_trials_share_a_seed():
    result = shared_seed_std(seeds_once([0.1, 0.5, 0.4]))
    assert np.isnan(result.init) and np.isnan(result.order)
    assert result.all == pytest.approx(np.std([0.1, 0.5, 0.4], ddof=1))


# components


def test_components_of_a_full_grid_are_the_closed_form_of_two_way_analysis_of_variance():
    grid = crossed(np.random.default_rng(3), 6, 8)
    result = components(grid)
    rows, columns, mean = grid.mean(1), grid.mean(0), grid.mean()
    init_square = 8 * np.sum((rows - mean) ** 2) / 5
    order_square = 6 * np.sum((columns - mean) ** 2) / 7
    residual = np.sum((grid - rows[:, None] - columns + mean) ** 2) / 35
    assert result.residual.variance == pytest.approx(residual)
    assert result.init.variance == pytest.approx((init_square - residual) / 8)
    assert result.order.variance == pytest.approx((order_square - residual) / 6)
    assert (result.init.degrees, result.order.degrees, result.residual.degrees) == (5, 7, 35)
    assert result.init.p == pytest.approx(stats.f.sf(init_square / residual, 5, 35))
    assert result.balanced and result.trials == 48


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_f_tests_are_those_of_statsmodels_type_two_analysis_of_variance(share):
    grid = with_gaps(crossed(np.random.default_rng(5), 7, 9), share)
    result = components(grid)
    table = sm.stats.anova_lm(smf.ols("score ~ C(init) + C(order)", tidy(grid)).fit(), typ=2)
    for component, row in ((result.init, "C(init)"), (result.order, "C(order)")):
        assert component.sum_of_squares == pytest.approx(table.sum_sq[row])
        assert component.degrees == table.df[row]
        assert component.f == pytest.approx(table.F[row])
        assert component.p == pytest.approx(table["PR(>F)"][row])
    assert result.residual.sum_of_squares == pytest.approx(table.sum_sq["Residual"])


def test_components_of_a_full_grid_are_the_restricted_maximum_likelihood_of_statsmodels():
    grid = crossed(np.random.default_rng(8), 8, 7)
    result = components(grid)
    assert min(result.init.variance, result.order.variance) > 0  # else REML stops at 0 and the two differ
    formula = {"init": "0 + C(init)", "order": "0 + C(order)"}
    fit = smf.mixedlm("score ~ 1", tidy(grid), groups=np.ones(grid.size), vc_formula=formula).fit()
    assert fit.converged
    np.testing.assert_allclose(fit.vcomp, [result.init.variance, result.order.variance], rtol=2e-3)
    assert fit.scale == pytest.approx(result.residual.variance, rel=2e-3)


def test_three_seeds_are_the_textbook_expected_mean_squares():
    generator = np.random.default_rng(4)
    a, b, c = 5, 4, 3
    grid = generator.standard_normal((a, b, 1)) + generator.standard_normal((a, 1, 1)) + generator.random((a, b, c))
    result = components(grid)
    table = sm.stats.anova_lm(smf.ols("score ~ (C(init) + C(order) + C(dropout))**2", tidy(grid)).fit(), typ=2)
    square = (table.sum_sq / table.df).to_dict()
    init, pair, other = square["C(init)"], square["C(init):C(order)"], square["C(init):C(dropout)"]
    residual = square["Residual"]
    interaction = {component.name: component for component in result.interactions}
    assert interaction["init:order"].variance == pytest.approx((pair - residual) / c)
    assert result.init.variance == pytest.approx((init - pair - other + residual) / (b * c))
    assert result.residual.variance == pytest.approx(residual)
    # The quasi-F of the random model, not the F of fixed effects, which takes an interaction for an effect of init.
    assert result.init.f == pytest.approx(init / (pair + other - residual))
    assert interaction["init:order"].f == pytest.approx(pair / residual)


def test_three_seeds_sums_of_squares_are_those_of_loops_over_cells():
    grid = crossed_three(np.random.default_rng(7), 3, 4, 5, [1] * 7)
    sums = dict.fromkeys(["init", "order", "dropout", "init:order", "init:dropout", "order:dropout", "residual"], 0.0)
    mean = grid.mean()
    for i, o, d in np.ndindex(grid.shape):
        init, order, dropout = grid[i].mean() - mean, grid[:, o].mean() - mean, grid[:, :, d].mean() - mean
        init_order = grid[i, o].mean() - mean - init - order
        init_dropout = grid[i, :, d].mean() - mean - init - dropout
        order_dropout = grid[:, o, d].mean() - mean - order - dropout
        effects = [init, order, dropout, init_order, init_dropout, order_dropout]
        for name, effect in zip(sums, [*effects, grid[i, o, d] - mean - sum(effects)], strict=True):
            sums[name] += effect**2
    every = components(grid).every
    assert [part.name for part in every] == list(sums)
    assert [part.degrees for part in every] == [2, 3, 4, 6, 8, 12, 24]
    assert [part.sum_of_squares for part in every] == pytest.approx(list(sums.values()))
    # Each source's mean square is expected to hold each variance of its own seeds as often as a level of it occurs.
    variance = {part.name: part.variance for part in every}
    for part in every[:-1]:
        seeds = set(part.name.split(":"))
        held = [name for name in variance if seeds <= set(name.split(":"))]
        cells = {"init": 3, "order": 4, "dropout": 5}
        expected = variance["residual"]
        for name in held:
            expected += variance[name] * 60 / np.prod([cells[seed] for seed in name.split(":")])
        assert part.sum_of_squares / part.degrees == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_three_seeds_mean_squares_are_those_of_statsmodels_type_two(share):
    grid = with_gaps(crossed_three(np.random.default_rng(12), 5, 4, 4, [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.3]), share)
    result = components(grid)
    table = sm.stats.anova_lm(smf.ols("score ~ (C(init) + C(order) + C(dropout))**2", tidy(grid)).fit(), typ=2)
    for part in result.every:
        row = "Residual" if part.name == "residual" else ":".join(f"C({seed})" for seed in part.name.split(":"))
        assert part.sum_of_squares == pytest.approx(table.sum_sq[row])
        assert part.degrees == table.df[row]
        if ":" in part.name:
            assert part.p == pytest.approx(table["PR(>F)"][row])


def test_the_quasi_f_of_three_seeds_is_satterthwaites_by_hand():
    result = components(crossed_three(np.random.default_rng(0), 5, 4, 3, [1, 1, 1, 2, 2, 2, 1]))
    square = {part.name: (part.sum_of_squares / part.degrees, part.degrees) for part in result.every}
    for part, (one, other) in (
        (result.init, ("init:order", "init:dropout")),
        (result.order, ("init:order", "order:dropout")),
        (result.dropout, ("init:dropout", "order:dropout")),
    ):
        terms = [square[one], square[other], square["residual"]]
        denominator = terms[0][0] + terms[1][0] - terms[2][0]
        degrees = denominator**2 / sum(mean**2 / df for mean, df in terms)
        assert part.f == pytest.approx(square[part.name][0] / denominator)
        assert part.denominator_degrees == pytest.approx(degrees)
        assert part.p == pytest.approx(stats.f.sf(part.f, part.degrees, degrees))


def test_components_recovers_the_known_variances_of_three_seeds():
    generator = np.random.default_rng(0)
    truth = np.array([0.3, 0.2, 0.15, 0.1, 0.05, 0.1, 0.3])
    for share in (0.0, 0.2):
        found = np.array(
            [
                [part.variance for part in components(with_gaps(grid, share, seed), draws=2).every]
                for seed, grid in enumerate(crossed_three(generator, 6, 6, 6, truth) for _ in range(100))
            ]
        )
        # Unbiased estimates: 7 means of 100 within 3.5 standard errors, which all holds 997 times in 1,000.
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - truth) < 3.5 * error)
        assert np.all(error < 0.04)


def test_pairs_of_seeds_fool_the_permutation_test_of_one_seed_but_not_its_quasi_f():
    generator = np.random.default_rng(0)
    quasi_f = shuffled = 0
    for seed in range(200):
        grid = crossed_three(generator, 5, 5, 3, [0, 0.2, 0.1, 0.3, 0.3, 0, 0.2])
        quasi_f += components(grid, draws=2).init.p < 0.05
        shuffled += permutation_test(grid, shuffles=99, seed=seed).p <= 0.05
    # The quasi-F is no exact test: 12 % would be seen less than once in 1,000 if it rejected at 5 %.
    assert quasi_f / 200 < 0.12 and shuffled / 200 > 0.3


def test_three_seeds_effects_do_not_depend_on_how_seeds_are_numbered_or_the_unit():
    generator = np.random.default_rng(5)
    grid = with_gaps(crossed_three(generator, 4, 5, 3, [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.3]), 0.1)
    moved = 7 - 3 * grid[generator.permutation(4)][:, generator.permutation(5)][:, :, generator.permutation(3)]
    for one, two in zip(components(grid).every, components(moved).every, strict=True):
        assert two.variance == pytest.approx(9 * one.variance)
        for name in ("share", "share_lower", "share_upper", "f", "p"):  # NaN for the residual's test
            np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-8)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_exchanging_the_axes_of_three_seeds_exchanges_their_components(axes):
    grid = with_gaps(crossed_three(np.random.default_rng(6), 4, 5, 3, [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.3]), 0.1)
    names = ["init", "order", "dropout"]
    one = {frozenset(part.name.split(":")): part for part in components(grid).every}
    for part in components(grid.transpose(axes)).every:
        # Axis k of the transposed grid is axis axes[k] of the grid.
        seeds = part.name.split(":")
        same = one[frozenset(seed if seed == "residual" else names[axes[names.index(seed)]] for seed in seeds)]
        np.testing.assert_allclose([part.variance, part.f, part.p], [same.variance, same.f, same.p], rtol=1e-8)
    std, turned = shared_seed_std(grid), shared_seed_std(grid.transpose(axes))
    for axis, name in enumerate(names):
        assert getattr(turned, name) == pytest.approx(getattr(std, names[axes[axis]]))
        ranges = [
            permutation_test(seen, seed, shuffles=2).range
            for seen, seed in ((grid, names[axes[axis]]), (grid.transpose(axes), name))
        ]
        assert ranges[0] == pytest.approx(ranges[1])


def test_pairs_of_three_seeds_join_the_residual_where_gaps_leave_no_replicates():
    grid = np.full((4, 4, 4), np.nan)
    for i, o in np.ndindex(4, 4):
        grid[i, o, (i + o) % 4] = i + 0.1 * o + 0.01 * ((i + o) % 4) + 0.001 * (i * o % 3)  # a Latin square
    result = components(grid)
    assert result.interactions == () and not result.balanced
    table = sm.stats.anova_lm(smf.ols("score ~ C(init) + C(order) + C(dropout)", tidy(grid)).fit(), typ=2)
    assert result.dropout.p == pytest.approx(table["PR(>F)"]["C(dropout)"])
    assert result.residual.degrees == 6


def test_constant_scores_of_three_seeds_have_no_variance_to_share():
    result = components(np.full((3, 4, 2), 0.7))
    assert [part.variance for part in result.every] == [0] * 7
    assert all(np.isnan([part.share, part.f, part.p]).all() for part in result.every)


def test_an_exact_pair_of_seeds_is_all_there_is():
    pair = np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 0]]) * 0.1
    result = components(np.repeat(pair[:, :, None], 4, axis=2))
    assert result.interactions[0].share == pytest.approx(1) and result.interactions[0].p == 0
    assert result.dropout.variance == 0 and result.residual.variance == 0


def test_components_of_three_seeds_refuses_a_single_init_seed():
    with pytest.raises(ValueError, match="trials of 1 init seed"):
        components(np.random.default_rng(0).standard_normal((1, 4, 3)))


def test_components_recovers_known_shares_with_and_without_gaps():
    generator = np.random.default_rng(0)
    truth = np.array([0.3, 0.2, 0.5])
    for share in (0.0, 0.4):
        found = []
        for seed in range(60):
            result = components(with_gaps(crossed(generator, 20, 20), share, seed), draws=10)
            found.append([result.init.variance, result.order.variance, result.residual.variance])
        error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
        assert np.all(np.abs(np.mean(found, axis=0) - truth) < 3.5 * error)
        assert np.all(error < 0.02)


def test_intervals_of_shares_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(1)
    covered = np.zeros(3)
    for seed in range(250):
        result = components(with_gaps(crossed(generator, 8, 8), 0.2, seed), draws=1000)
        covered += [
            c.share_lower <= truth <= c.share_upper for c, truth in zip(result.every, (0.3, 0.2, 0.5), strict=True)
        ]
    assert np.all(covered / 250 > 0.90) and np.any(covered < 250)


def test_the_f_test_of_an_absent_effect_rejects_as_often_as_it_says_with_gaps():
    generator = np.random.default_rng(2)
    rejected = [
        components(with_gaps(crossed(generator, 6, 8, init=0.0), 0.3, seed), draws=2).init.p < 0.1
        for seed in range(500)
    ]
    assert stats.binomtest(sum(rejected), 500, 0.1).pvalue > 0.001


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(0.1, 10))
def test_components_do_not_depend_on_the_order_of_seeds_and_follow_the_unit_of_the_score(seed, shift, scale):
    generator = np.random.default_rng(seed)
    grid = with_gaps(crossed(generator, 5, 6), 0.2, seed)
    try:
        result = components(grid, draws=2)
    except ValueError:
        return
    moved = shift + scale * grid[generator.permutation(5)][:, generator.permutation(6)]
    other = components(moved, draws=2)
    for one, two in zip(result.every, other.every, strict=True):
        assert two.variance == pytest.approx(scale**2 * one.variance, abs=1e-8 * scale**2)
        assert two.share == pytest.approx(one.share, abs=1e-8)
        np.testing.assert_allclose(two.p, one.p, rtol=1e-6)  # NaN for the residual


def test_swapping_the_axes_swaps_init_and_order():
    grid = with_gaps(crossed(np.random.default_rng(6), 5, 9), 0.2)
    one, two = components(grid), components(grid.T)
    assert one.init.variance == pytest.approx(two.order.variance)
    assert one.order.p == pytest.approx(two.init.p)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_single_dropout_seed_counts_as_none(layers):
    grid = with_gaps(crossed(np.random.default_rng(6), 5, 4), 0.1)
    layered = np.full((5, 4, layers), np.nan)
    layered[:, :, layers // 2] = grid
    # By what is printed, in which NaN is NaN.
    for function in (components, shared_seed_std, grid_mean, permutation_test, best_against_worst):
        assert repr(function(layered)) == repr(function(grid))
    for axis in ("init", "order"):
        assert permutation_test(layered, axis, "all", 200) == permutation_test(grid, axis, "all", 200)
    assert components(layered).dropout is None and shared_seed_std(layered).dropout is None


def test_shares_add_up_to_one_and_lie_in_their_intervals():
    result = components(crossed(np.random.default_rng(9), 6, 6, init=0.0))
    assert sum(component.share for component in result.every) == pytest.approx(1)
    assert result.total == pytest.approx(sum(max(component.variance, 0) for component in result.every))
    assert all(c.share_lower <= c.share <= c.share_upper for c in result.every)


def test_components_refuses_seeds_that_occur_once():
    with pytest.raises(ValueError, match="init or order seed occurs in two trials"):
        components(seeds_once([0.1, 0.5, 0.4, 0.2]))
    # Each init has orders of its own: their effect is the residual.
    nested = np.full((2, 6), np.nan)
    nested[0, :3], nested[1, 3:] = 0.5, 0.6
    with pytest.raises(ValueError, match="no order seed occurs"):
        components(nested)


def test_components_refuses_a_single_seed_and_too_many_gaps():
    with pytest.raises(ValueError, match="trials of 1 init seed"):
        components([[0.1, 0.5, 0.4]])
    corner = np.full((3, 3), np.nan)
    corner[0], corner[:, 0] = 0.5, 0.6
    with pytest.raises(ValueError, match="too many cells"):
        components(corner)


def test_constant_scores_have_no_variance_to_share():
    result = components(np.full((3, 4), 0.7))
    assert [component.variance for component in result.every] == [0, 0, 0]
    assert all(np.isnan(component.share) for component in result.every)
    assert np.isnan(result.init.f) and np.isnan(result.init.p)


def test_an_exact_effect_is_not_tested_against_rounding():
    result = components(np.tile([[0.1], [0.2], [0.7]], (1, 4)))  # init alone: order and residual are 0
    assert result.init.share == 1 and result.init.p == 0
    assert result.order.variance == 0 and np.isnan(result.order.p)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (np.full((3, 3), np.nan), "all its cells are NaN"),
        ([[0.1, np.inf], [0.2, 0.3]], "infinite"),
        ([0.1, 0.2], "must be inits x orders"),
    ],
)
def test_grids_that_are_none_are_refused_everywhere(grid, message):
    for function in (shared_seed_std, components, grid_mean, seed_means, permutation_test, best_against_worst):
        with pytest.raises(ValueError, match=message):
            function(grid)


# grid_mean


def test_the_error_of_a_full_grids_mean_is_that_of_crossed_random_effects():
    grid = crossed(np.random.default_rng(3), 6, 8)
    result, parts = grid_mean(grid), components(grid)
    variance = parts.init.variance / 6 + parts.order.variance / 8 + parts.residual.variance / 48
    assert result.value == pytest.approx(grid.mean())
    assert result.standard_error == pytest.approx(np.sqrt(variance))
    squares = np.array([component.sum_of_squares / component.degrees for component in parts.every]) * [1, 1, -1] / 48
    assert result.degrees == pytest.approx(variance**2 / np.sum(squares**2 / [5, 7, 35]))


def test_seeds_that_each_occur_once_are_an_ordinary_sample():
    scores = np.random.default_rng(0).standard_normal(9)
    expected = stats.ttest_1samp(scores, 0)
    for grid in (seeds_once(scores), scores[None, :], scores[:, None], seeds_once(scores)[:, :, None]):
        result = grid_mean(grid)
        assert result.standard_error == pytest.approx(stats.sem(scores))
        assert result.degrees == expected.df
        assert result.variances["residual"] == pytest.approx(scores.var(ddof=1))


def test_inits_with_orders_of_their_own_are_a_one_way_layout():
    generator = np.random.default_rng(1)
    groups = generator.standard_normal((5, 1)) * 2 + generator.standard_normal((5, 4))
    nested = np.full((5, 20), np.nan)
    for init in range(5):
        nested[init, 4 * init : 4 * init + 4] = groups[init]
    result = grid_mean(nested)
    assert result.standard_error == pytest.approx(stats.sem(groups.mean(axis=1)))
    assert result.degrees == pytest.approx(4)


def test_a_dropout_seed_that_always_equals_the_init_seed_is_one_source():
    grid = crossed(np.random.default_rng(2), 5, 6)
    tied = np.full((5, 6, 5), np.nan)
    for init in range(5):
        tied[init, :, init] = grid[init]
    assert grid_mean(tied).standard_error == pytest.approx(grid_mean(grid).standard_error)
    assert grid_mean(tied).degrees == pytest.approx(grid_mean(grid).degrees)


def test_the_error_of_the_mean_covers_the_mean_of_all_seeds_where_the_plain_one_does_not():
    generator = np.random.default_rng(0)
    covered = plain = 0
    for seed in range(400):
        grid = with_gaps(crossed(generator, 6, 10), 0.2, seed)
        result = grid_mean(grid)
        covered += abs(result.value) < stats.t.ppf(0.975, result.degrees) * result.standard_error
        scores = grid[np.isfinite(grid)]
        plain += stats.ttest_1samp(scores, 0).pvalue > 0.05
    assert 0.92 < covered / 400 < 0.98
    assert plain / 400 < 0.8


def test_one_trial_has_a_mean_but_no_error():
    with pytest.raises(ValueError, match="1 trial"):
        grid_mean([[0.5]])


def test_shared_seeds_lists_the_axes_on_which_trials_depend():
    assert shared_seeds(seeds_once([0.1, 0.2])) == {}
    assert set(shared_seeds(np.ones((1, 5)))) == set()
    found = shared_seeds([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0]])
    assert found["init"].tolist() == [0, 0, 1, 2, 2] and found["order"].tolist() == [0, 1, 1, 0, 1]


# seed_means


def test_seed_means_of_a_full_grid_are_plain_means_along_any_axis():
    grid = np.random.default_rng(0).standard_normal((3, 4, 5))
    for axis, name in enumerate(("init", "order", "dropout")):
        others = tuple({0, 1, 2} - {axis})
        np.testing.assert_allclose(seed_means(grid, name), grid.mean(axis=others))


def test_a_seed_is_not_good_for_lacking_hard_orders():
    scores = np.add.outer([0.0, 0.1, 0.2], [0.0, 1.0, 5.0])
    gaps = scores.copy()
    gaps[0, 0] = gaps[2, 2] = np.nan  # the worst init lacks the hardest order, the best one the easiest
    assert np.argmax(np.nanmean(gaps, axis=1)) == 0
    np.testing.assert_allclose(seed_means(gaps), scores.mean(axis=1))


def test_seed_means_are_least_squares_means():
    grid = with_gaps(crossed(np.random.default_rng(5), 6, 7), 0.4)
    fit = smf.ols("score ~ C(init) + C(order)", tidy(grid)).fit()
    cells = pd.DataFrame([(str(i), str(j)) for i, j in product(range(6), range(7))], columns=["init", "order"])
    expected = fit.predict(cells).to_numpy().reshape(6, 7).mean(axis=1)
    np.testing.assert_allclose(seed_means(grid), expected)


def test_seed_means_without_shared_orders_are_plain_and_nan_without_trials():
    grid = seeds_once([0.3, 0.1, 0.2])
    grid[1] = np.nan
    np.testing.assert_allclose(seed_means(grid), [0.3, np.nan, 0.2])


# permutation_test


@pytest.mark.parametrize("scheme", ["within", "all"])
def test_permutation_p_agrees_with_all_permutations(scheme):
    grid = np.array([[0.9, 0.4, 0.8], [0.3, 0.2, 0.5]]) if scheme == "within" else np.array([[0.9, 0.4], [0.3, 0.2]])
    observed = np.ptp(grid.mean(axis=1))
    if scheme == "within":
        arrangements = [np.array(columns).T for columns in product(*(permutations(column) for column in grid.T))]
    else:
        arrangements = [np.reshape(cells, grid.shape) for cells in permutations(grid.ravel())]
    exact = np.mean([np.ptp(cells.mean(axis=1)) >= observed - 1e-12 for cells in arrangements])
    result = permutation_test(grid, "init", scheme, shuffles=20_000)
    assert result.range == pytest.approx(observed)
    assert result.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)
    assert result.p == (1 + result.exceedances) / 20_001


def test_permutations_within_orders_keep_what_the_order_does():
    generator = np.random.default_rng(0)
    grid = (
        0.5 * generator.standard_normal((6, 1))
        + 10 * generator.standard_normal((1, 8))
        + 0.3 * generator.random((6, 8))
    )
    assert permutation_test(grid, "init", "within", 2000).p < 0.01
    assert permutation_test(grid, "init", "all", 2000).p > 0.5
    assert permutation_test(grid + 100 * np.arange(8), "init", "within", 2000).exceedances == 0


def test_permutation_test_of_order_is_that_of_init_on_the_transpose():
    grid = with_gaps(crossed(np.random.default_rng(2), 5, 6), 0.2)
    one, two = permutation_test(grid, "order", shuffles=500), permutation_test(grid.T, "init", shuffles=500)
    assert (one.range, one.p) == (two.range, two.p)


def test_permutation_test_rejects_as_often_as_it_says_with_gaps_and_strong_orders():
    generator = np.random.default_rng(3)
    p = [
        permutation_test(with_gaps(crossed(generator, 5, 5, init=0, order=20), 0.3, seed), shuffles=199, seed=seed).p
        for seed in range(400)
    ]
    for level in (0.05, 0.2):
        assert stats.binomtest(int(np.sum(np.array(p) <= level)), 400, level).pvalue > 0.001


def test_ties_with_the_observed_range_count_although_sums_differ_in_their_last_bits():
    # Within a column all shuffles only exchange rows here, so every one has the observed range.
    grid = np.array([[0.1], [0.2], [0.7]]) + np.zeros((3, 1))
    assert permutation_test(grid, "init", "within", 50).p == 1
    assert permutation_test(np.full((4, 4), 0.3), "init", "all", 50).p == 1
    same_sums = np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]])  # (0.1 + 0.2) + 0.3 is not (0.3 + 0.1) + 0.2 in floats
    assert permutation_test(same_sums, "init", "all", 50).p == 1


def test_blocks_of_shuffles_do_not_change_the_number_of_shuffles():
    grid = np.random.default_rng(0).standard_normal((40, 60))  # 2,400 cells: 10,000 shuffles take 25 blocks
    result = permutation_test(grid, "init", "all")
    assert result.shuffles == 10_000 and result.p == (1 + result.exceedances) / 10_001
    assert 0.001 < result.p < 0.999


def test_permutation_test_refuses_what_it_cannot_shuffle():
    with pytest.raises(ValueError, match="nothing to shuffle"):
        permutation_test(seeds_once([0.1, 0.2, 0.3]))
    with pytest.raises(ValueError, match="1 init seed"):
        permutation_test([[0.1, 0.2, 0.3]])
    with pytest.raises(ValueError, match="scheme is 'rows'"):
        permutation_test([[0.1, 0.2], [0.3, 0.4]], scheme="rows")
    with pytest.raises(ValueError, match="axis is 'dropout'"):
        permutation_test([[0.1, 0.2], [0.3, 0.4]], axis="dropout")


# best_against_worst


def test_best_against_worst_gives_the_tests_of_scipy():
    grid = crossed(np.random.default_rng(4), 6, 12)
    result = best_against_worst(grid, "init", shuffles=100)
    best, worst = np.argmax(grid.mean(1)), np.argmin(grid.mean(1))
    assert (result.best, result.worst) == (best, worst)
    assert result.best_mean == pytest.approx(grid[best].mean())
    assert result.anova_p == pytest.approx(stats.ttest_ind(grid[best], grid[worst]).pvalue)  # F with two groups is t²
    assert result.wilcoxon_p == pytest.approx(stats.wilcoxon(grid[best], grid[worst]).pvalue)
    assert result.friedman_p == pytest.approx(stats.friedmanchisquare(*grid).pvalue)
    assert result.levene_p == pytest.approx(stats.levene(grid[best], grid[worst]).pvalue)
    assert result.shapiro_best_p == pytest.approx(stats.shapiro(grid[best]).pvalue)
    assert result.corrected == permutation_test(grid, "init", shuffles=100)


def test_best_against_worst_of_orders_is_that_of_inits_on_the_transpose():
    grid = with_gaps(crossed(np.random.default_rng(4), 6, 7), 0.1)
    one, two = best_against_worst(grid, "order", shuffles=50), best_against_worst(grid.T, "init", shuffles=50)
    assert (one.best, one.worst, one.anova_p, one.friedman_p, one.corrected.p) == (
        two.best,
        two.worst,
        two.anova_p,
        two.friedman_p,
        two.corrected.p,
    )


def test_choosing_best_and_worst_fools_the_analysis_of_variance_but_not_the_corrected_p():
    generator = np.random.default_rng(5)
    results = [best_against_worst(generator.standard_normal((12, 8)), shuffles=199) for _ in range(150)]
    assert np.mean([result.anova_p < 0.05 for result in results]) > 0.4
    corrected = sum(result.corrected.p <= 0.05 for result in results)
    assert stats.binomtest(corrected, 150, 0.05).pvalue > 0.001


def test_gaps_are_left_out_pair_by_pair():
    grid = crossed(np.random.default_rng(6), 4, 10, init=5)
    order = np.argsort(grid.mean(1))
    grid[order[-1], 0] = grid[order[0], 1] = np.nan
    result = best_against_worst(grid, shuffles=50)
    assert result.wilcoxon_pairs == 8 and result.friedman_blocks == 8
    assert result.wilcoxon_p == pytest.approx(stats.wilcoxon(grid[result.best, 2:], grid[result.worst, 2:]).pvalue)
    assert result.friedman_p == pytest.approx(stats.friedmanchisquare(*grid[:, 2:]).pvalue)


def test_a_seed_with_one_trial_is_neither_best_nor_worst():
    grid = np.array([[9.0, np.nan, np.nan], [0.1, 0.2, 0.3], [0.2, 0.1, 0.5]])
    assert {best_against_worst(grid, shuffles=20).best, best_against_worst(grid, shuffles=20).worst} == {1, 2}
    with pytest.raises(ValueError, match="two trials or more"):
        best_against_worst(seeds_once([0.1, 0.2, 0.3]))


def test_seeds_without_common_orders_are_tested_over_all_cells():
    nested = np.full((3, 9), np.nan)
    for init in range(3):
        nested[init, 3 * init : 3 * init + 3] = np.array([0.1, 0.2, 0.3]) + init
    result = best_against_worst(nested, shuffles=500)
    assert result.corrected.scheme == "all" and result.corrected.p < 0.1
    assert result.wilcoxon_pairs == 0 and np.isnan(result.wilcoxon_p) and np.isnan(result.friedman_p)


def test_constant_scores_show_no_best_seed():
    result = best_against_worst(np.full((3, 4), -0.2), shuffles=50)
    assert result.best != result.worst and result.best_mean == result.worst_mean
    assert np.isnan(result.anova_p) and np.isnan(result.shapiro_best_p)
    assert result.wilcoxon_p == 1 and result.corrected.p == 1
