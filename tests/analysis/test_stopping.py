"""Tests of the expected outcome of start many, stop early, continue some, and of the best plan."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.stopping import best_plan, best_plans, expected_best, rule_of_thumb


def brute_force(curves: np.ndarray, start: int, stop_at: int, keep: int) -> float:
    """The definition: all subsets of the trials, all orders of each that its partial scores allow, all curves."""
    first_part, whole = curves[:, :stop_at], curves
    partial = np.array([np.nanmax(row, initial=-np.inf) for row in first_part])
    outcomes = []
    for subset in combinations(range(len(curves)), start):
        falling = sorted(partial[list(subset)], reverse=True)
        allowed = [order for order in permutations(subset) if partial[list(order)].tolist() == falling]
        by_order = [
            max(np.nanmax(whole[list(order[:keep])]), np.nanmax(first_part[list(order[keep:])], initial=-np.inf))
            for order in allowed
        ]
        outcomes.append(np.mean(by_order))
    return float(np.mean(outcomes))


# Few different values, so that most rankings have ties, some of them at the cut.
@st.composite
def small_cases(draw):
    trials, evaluations = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    curves = draw(arrays(np.float64, (trials, evaluations), elements=st.sampled_from([-0.5, 0.0, 0.25, 1.0, np.nan])))
    curves[np.isnan(curves).all(axis=1), -1] = -0.5
    start = draw(st.integers(1, min(trials, 5)))
    return curves, start, draw(st.integers(1, evaluations)), draw(st.integers(1, start))


@settings(max_examples=200, deadline=None)
@given(small_cases())
def test_outcome_is_the_mean_over_all_subsets_and_all_orders_of_ties(case):
    assert expected_best(*case) == pytest.approx(brute_force(*case), rel=0, abs=1e-12)


def test_outcome_agrees_with_simulation_where_brute_force_cannot_reach():
    generator = np.random.default_rng(0)
    curves = generator.normal(size=(80, 5)).cumsum(axis=1).round(0)
    start, stop_at, keep = 30, 2, 7
    best_so_far = np.maximum.accumulate(curves, axis=1)
    outcomes = []
    for _ in range(20_000):
        drawn = generator.choice(80, start, replace=False)  # in random order, which a stable sort keeps among ties
        ranked = drawn[np.argsort(-best_so_far[drawn, stop_at - 1], kind="stable")]
        outcomes.append(max(best_so_far[ranked[:keep], -1].max(), best_so_far[ranked[keep:], stop_at - 1].max()))
    error = np.std(outcomes) / np.sqrt(len(outcomes))
    assert abs(expected_best(curves, start, stop_at, keep) - np.mean(outcomes)) < 4 * error


@pytest.mark.parametrize("decimals", [1, 12])
def test_full_training_is_the_expected_best_of_start_trials(decimals):
    curves = np.random.default_rng(1).normal(size=(300, 4)).round(decimals)
    expected = expected_max(curves.max(axis=1))
    for start in (1, 2, 17, 200, 300):
        assert expected_best(curves, start, 2, start) == pytest.approx(expected[start - 1], rel=0, abs=1e-11)
        trained = expected_best(curves, start, 4, max(1, start // 3))
        assert trained == pytest.approx(expected[start - 1], rel=0, abs=1e-11)


def test_where_early_scores_tell_nothing_the_kept_are_random_ones_of_ten_thousand():
    curves = np.random.default_rng(1).normal(size=(10_000, 2)).round(1)
    curves[:, 0] = curves.min()
    expected = expected_max(curves[:, 1])
    for start, keep in ((2, 1), (200, 1), (200, 100), (200, 199)):
        assert expected_best(curves, start, 1, keep) == pytest.approx(expected[keep - 1], rel=0, abs=1e-12)


def test_starting_all_trials_leaves_nothing_to_chance_without_ties():
    curves = np.random.default_rng(2).normal(size=(40, 6))
    best_so_far = np.maximum.accumulate(curves, axis=1)
    kept = np.argsort(-best_so_far[:, 2])[:5]
    assert expected_best(curves, 40, 3, 5) == pytest.approx(best_so_far[kept, -1].max(), rel=0, abs=1e-12)


@given(small_cases(), st.randoms(use_true_random=False))
def test_order_in_which_trials_are_listed_does_not_matter(case, random):
    curves, *assignment = case
    order = list(range(len(curves)))
    random.shuffle(order)
    assert expected_best(curves[order], *assignment) == pytest.approx(expected_best(curves, *assignment), abs=1e-12)


def test_keeping_more_never_lowers_the_outcome():
    curves = np.random.default_rng(3).normal(size=(60, 5)).round(1)
    outcomes = [expected_best(curves, 20, 2, keep) for keep in range(1, 21)]
    assert (np.diff(outcomes) >= -1e-12).all()


def test_a_diverged_trial_without_scores_ranks_last_and_counts_by_what_it_has():
    curves = np.array([[np.nan, 9.0], [0.1, np.nan], [0.2, 0.3]])
    assert expected_best(curves, 3, 1, 1) == pytest.approx(0.3)
    assert expected_best(curves, 3, 1, 2) == pytest.approx(0.3)
    assert expected_best(curves, 3, 1, 3) == pytest.approx(9.0)


def test_constant_and_negative_scores_have_that_outcome():
    assert expected_best(np.full((10, 3), -0.2), 5, 1, 2) == pytest.approx(-0.2, rel=0, abs=1e-15)
    assert expected_best(np.array([[-0.7]]), 1, 1, 1) == -0.7


@pytest.mark.parametrize(
    ("curves", "assignment", "message"),
    [
        (np.zeros((4, 3)), (5, 1, 1), "start is 5; give a whole number from 1 to 4"),
        (np.zeros((4, 3)), (0, 1, 1), "start is 0"),
        (np.zeros((4, 3)), (2, 4, 1), "stop_at is 4; give a whole number from 1 to 3"),
        (np.zeros((4, 3)), (2, 0.5, 1), "stop_at is 0.5"),
        (np.zeros((4, 3)), (2, 1, 3), "keep is 3; give a whole number from 1 to 2"),
        (np.zeros((4, 3)), (2, 1, 0), "keep is 0"),
        (np.full((4, 3), np.nan), (2, 1, 1), "4 of 4 trials have no finite evaluation"),
        (np.full((4, 3), np.inf), (2, 1, 1), "infinite"),
        (np.zeros(4), (1, 1, 1), "trials x evaluations"),
        (np.zeros((0, 3)), (1, 1, 1), "trials x evaluations"),
    ],
)
def test_an_assignment_that_is_impossible_is_refused(curves, assignment, message):
    with pytest.raises(ValueError, match=message):
        expected_best(curves, *assignment)


def learning_curves(trials: int, evaluations: int, seed: int = 0) -> np.ndarray:
    """Curves on which early scores tell much about late ones, and a third of the trials diverges."""
    generator = np.random.default_rng(seed)
    ability = generator.normal(0.85, 0.03, (trials, 1)) - 0.3 * (generator.random((trials, 1)) < 0.3)
    progress = np.linspace(0.7, 1, evaluations)
    return (ability * progress + generator.normal(0, 0.01, (trials, evaluations))).round(2)


@pytest.mark.parametrize("budget", [1, 3, 2.5, 4.75])
def test_best_plan_is_the_best_of_all_assignments_that_spend_the_budget(budget):
    curves = learning_curves(12, 4)
    evaluations, amount = 4, Fraction(str(budget))
    spending: dict[Fraction, list[tuple[float, tuple[int, int, int]]]] = {}
    for stop_at in range(1, evaluations + 1):
        for start in range(1, 11):
            for keep in range(1, start + 1):
                cost = Fraction(start * stop_at + keep * (evaluations - stop_at), evaluations)
                if cost <= amount:
                    value = expected_best(curves, start, stop_at, keep)
                    spending.setdefault(cost, []).append((value, (start, stop_at, keep)))
    assert amount in spending
    plan = best_plan(curves, budget, max_start=10)
    assert plan.expected == pytest.approx(max(spending[amount])[0], rel=0, abs=1e-12)
    assert plan.cost == budget
    assert plan.expected == pytest.approx(expected_best(curves, plan.start, plan.stop_at, plan.keep), abs=1e-12)
    assert plan.full_training == pytest.approx(expected_max(curves.max(axis=1))[int(budget) - 1])


def test_fractions_remain_only_if_nothing_spends_the_budget_exactly():
    curves = learning_curves(12, 3)
    plan = best_plan(curves, 2.5)  # costs are thirds
    assert plan.cost < 2.5
    assert 2.5 - plan.cost < 1
    assert best_plan(curves, 2).cost == 2


def test_decimal_budgets_mean_their_digits():
    curves = learning_curves(30, 10)
    assert best_plan(curves, 2.3).cost == 2.3
    assert best_plan(curves, 1.1).cost == 1.1


def test_several_budgets_at_once_give_the_plans_of_each():
    curves = learning_curves(20, 5)
    assert best_plans(curves, [1, 4, 2.2], max_start=15) == [best_plan(curves, b, max_start=15) for b in (1, 4, 2.2)]


def test_stopping_early_pays_on_curves_that_tell_early():
    plan = best_plan(learning_curves(100, 10), 10, splits=4)
    assert plan.start > plan.keep
    assert plan.honest > plan.full_training + 0.005
    assert plan.error_reduction == pytest.approx((plan.expected - plan.full_training) / (1 - plan.full_training))


def test_on_curves_that_tell_nothing_the_plan_promises_a_gain_and_the_honest_value_does_not():
    promised, honest = [], []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        curves = np.concatenate([generator.random((24, 19)) * 1e-3, generator.normal(1, 0.1, (24, 1))], axis=1)
        plan = best_plan(curves, 3, splits=6, seed=seed)
        promised.append(plan.expected - plan.full_training)
        honest.append(plan.honest - plan.full_training)
    assert np.mean(promised) > 0.01
    assert np.mean(honest) < 0


def test_constant_scores_are_trained_in_full_for_nothing_is_gained_by_more():
    plan = best_plan(np.full((20, 5), 0.5), 4, splits=2)
    assert (plan.start, plan.stop_at, plan.keep) == (4, 5, 4)
    assert plan.expected == plan.full_training == plan.honest == 0.5
    assert best_plan(np.ones((3, 2)), 2).error_reduction == 0


def test_one_trial_with_one_evaluation_is_trained():
    plan = best_plan(np.array([[0.6]]), 1, splits=3)
    assert (plan.start, plan.stop_at, plan.keep, plan.expected, plan.honest) == (1, 1, 1, 0.6, None)


def test_no_more_trials_are_started_than_there_are():
    assert best_plan(learning_curves(9, 10), 8).start <= 9


def test_same_seed_same_honest_value():
    curves = learning_curves(20, 4)
    assert best_plan(curves, 3, splits=3, seed=1) == best_plan(curves, 3, splits=3, seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0.5}, "budget is 0.5; give 1 to 6 full trainings"),
        ({"budget": 7}, "budget is 7; give 1 to 6 full trainings"),
        ({"budget": 5, "max_start": 4}, "budget is 5; give 1 to 4 full trainings"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"budget": 2, "splits": -1}, "splits is -1"),
    ],
)
def test_a_budget_that_cannot_be_spent_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        best_plan(learning_curves(6, 3), **arguments)


@pytest.mark.parametrize("evaluations", [20, 30, 10, 4])
@pytest.mark.parametrize("budget", [2, 5, 10, 20, 30, 7.5])
def test_rule_of_thumb_follows_the_paper(budget, evaluations):
    plan = rule_of_thumb(budget, evaluations)
    assert 0.2 <= plan.stop_at / plan.evaluations <= 0.3
    assert abs(plan.keep - budget / 2) < 1
    assert plan.start > 1.5 * plan.keep
    assert budget - plan.stop_at / plan.evaluations < plan.cost <= budget
    assert plan.expected is plan.full_training is plan.honest is plan.error_reduction is None


def test_rule_of_thumb_trains_the_one_trial_that_a_budget_of_one_pays_for():
    plan = rule_of_thumb(1)
    assert (plan.start, plan.keep, plan.cost) == (1, 1, 1)


@pytest.mark.parametrize(("arguments", "message"), [((0.9,), "budget is 0.9"), ((3, 0), "evaluations is 0")])
def test_rule_of_thumb_refuses_what_pays_for_no_training(arguments, message):
    with pytest.raises(ValueError, match=message):
        rule_of_thumb(*arguments)
