"""Figures 6 and 7: plans that spend their budget, valued against full training."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.stopping import best_plans, expected_best
from seedgrid.report.sections.stopping import early_stopping


def test_each_plan_spends_its_budget_and_is_worth_what_the_table_says(grid_of):
    study = grid_of(4, 5)
    plans, gains, _ = early_stopping([study], splits=2)
    assert plans.table["budget"].tolist() == list(range(1, 21))  # no more than there are trials
    for plan, gain in zip(plans.table.itertuples(), gains.table["plan"], strict=True):
        _, _, budget, start, stop_at, evaluations, keep, cost = plan
        assert cost == pytest.approx((start * stop_at + keep * (evaluations - stop_at)) / evaluations)
        assert cost == pytest.approx(budget)
        assert gain == pytest.approx(expected_best(study.curves, start, stop_at, keep))


def test_full_training_is_the_expected_best_of_as_many_trials_as_the_budget(grid_of):
    study = grid_of(2, 3)
    table = early_stopping([study], splits=2)[1].table
    scores = study.curves.max(axis=1)
    by_subsets = [np.mean([max(chosen) for chosen in combinations(scores, n)]) for n in range(1, 7)]
    assert table["full training"].tolist() == pytest.approx(by_subsets)


def test_the_error_removed_is_a_share_of_one_less_full_trainings_score(grid_of):
    table = early_stopping([grid_of(4, 5)], splits=3)[1].table
    removed = (table["plan"] - table["full training"]) / (1 - table["full training"])
    np.testing.assert_allclose(table["error removed, plan"], removed, atol=1e-6)
    assert (table["error removed, plan"] >= 0).all()


def test_the_honest_value_comes_from_splits_and_ends_at_half_of_the_trials(grid_of):
    study = grid_of(4, 5)
    section = early_stopping([study], splits=3, seed=7)[1]
    wanted = [plan.honest for plan in best_plans(study.curves, range(1, 21), splits=3, seed=7)]
    np.testing.assert_array_equal(section.table["plan, honest"], np.array(wanted, float))
    assert section.table["plan, honest"].notna().sum() == 10
    assert "averaged over 3 random halvings" in section.caption
    assert "no honest value for more than 10 full trainings" in section.missing[0]


def test_both_figures_come_from_the_same_plans(grid_of):
    plans, gains, _ = early_stopping([grid_of(3, 4), grid_of(4, 4, seed=1, name="other")], splits=2)
    assert plans.table[["sweep", "budget"]].equals(gains.table[["sweep", "budget"]])
    assert len(plans.figure.axes) == len(gains.figure.axes) == 4


def test_very_many_different_scores_are_rounded_and_fewer_halvings_made_and_both_are_said(study_of):
    generator = np.random.default_rng(0)
    final = generator.uniform(0.6, 0.9, 800)
    study = study_of(np.column_stack([final - 0.1, final]), [(k, k) for k in range(800)])
    _, section, _ = early_stopping([study], splits=10)
    assert any("rounded to 3 decimals" in line for line in section.missing)
    assert "averaged over 3 random halvings" in section.caption
    np.testing.assert_allclose(section.table["full training"], expected_max(final.round(3))[:30])


def test_scores_above_one_have_no_error_to_remove(study_of):
    curves = 100 * np.random.default_rng(0).uniform(0.5, 0.9, (8, 3))
    section = early_stopping([study_of(curves, [(k, k) for k in range(8)])], splits=2)[1]
    assert section.table["error removed, plan"].isna().all()
    assert any("scores above 1" in line for line in section.missing)


def test_one_evaluation_leaves_nothing_to_stop_by(study_of):
    for section in early_stopping([study_of([[0.5], [0.6]], [(0, 0), (1, 1)])])[:2]:
        assert section.figure is None and section.table is None
        assert "one evaluation a trial leaves nothing to stop by" in section.missing[0]


def test_the_plans_are_handed_on_sweep_by_sweep(grid_of):
    studies = [grid_of(1, 1, name="one"), grid_of(3, 4)]
    first, _, plans = early_stopping(studies, splits=1)
    assert plans[0] is None
    assert [plan.start for plan in plans[1]] == first.table["start"].tolist()


def test_denser_validation_in_the_first_epoch_does_not_make_it_a_larger_share_of_training(grid_of):
    study = grid_of(3, 4, epochs=[0.1, 0.2, 0.5, 1.0, 1.5, 2.0], config={"evaluation": {"per_epoch": 2}})
    table = early_stopping([study], splits=1)[0].table
    assert (table["of evaluations"] == 4).all()
