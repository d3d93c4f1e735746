"""Figure 1 is the expected best of all subsets, for each schedule of validation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from seedgrid.analysis.expected import expected_max_interval
from seedgrid.report.sections.expected import expected_best

ALL, EPOCHS, END = "all evaluations", "once an epoch", "once, at the end"


def by_subsets(scores: np.ndarray) -> list[float]:
    return [float(np.mean([max(chosen) for chosen in combinations(scores, n)])) for n in range(1, len(scores) + 1)]


def test_each_schedule_is_the_mean_of_the_best_over_all_subsets_of_its_own_evaluations(study_of):
    curves = np.random.default_rng(0).uniform(0.5, 1, (5, 6))
    table = expected_best([study_of(curves, [(k, k) for k in range(5)])]).table
    assert table["n"].tolist() == [1, 2, 3, 5]
    at = table["n"] - 1
    for name, columns in ((ALL, range(6)), (EPOCHS, [1, 3, 5]), (END, [5])):
        expected = np.array(by_subsets(curves[:, columns].max(axis=1)))
        assert table[name].tolist() == pytest.approx(expected[at])


def test_the_papers_estimate_draws_with_replacement(study_of):
    scores = np.array([0.5, 0.6, 0.9])
    table = expected_best([study_of(scores[:, None], [(k, k) for k in range(3)])]).table
    pairs = [max(a, b) for a in scores for b in scores]
    assert table.set_index("n")[f"plug-in, {ALL}"][2] == pytest.approx(np.mean(pairs))


def test_an_epoch_without_an_evaluation_at_its_end_takes_the_last_one_before_and_says_so(study_of):
    curves = np.array([[0.6, 0.7, 0.5, 0.5, 0.5], [0.5, 0.9, 0.8, 0.5, 0.6]])
    section = expected_best([study_of(curves, [(0, 0), (1, 1)], epochs=[0.4, 0.8, 1.2, 1.6, 2.0])])
    assert section.table[EPOCHS].iloc[0] == pytest.approx(np.mean([0.7, 0.9]))  # epochs 0.8 and 2.0
    assert any("epoch 0.80 for 1" in line for line in section.missing)
    assert not any("for 2" in line for line in section.missing)


def test_a_trial_whose_loss_was_no_number_has_no_score_at_the_end(study_of):
    curves = np.array([[0.6, 0.8, np.nan], [0.6, 0.7, 0.7]])
    study = study_of(curves, [(0, 0), (1, 1)], status=["nonfinite", "completed"], epochs=[1, 2, 3])
    section = expected_best([study])
    assert section.table[END].iloc[0] == pytest.approx(np.mean([0.5, 0.7]))
    assert section.table[ALL].iloc[0] == pytest.approx(np.mean([0.8, 0.7]))
    assert any("no score at the end" in line for line in section.missing)


def test_a_trial_with_evaluations_at_other_steps_counts_with_its_last_one(study_of):
    curves = np.array([[0.6, 0.8, np.nan], [0.6, np.nan, 0.7]])
    table = expected_best([study_of(curves, [(0, 0), (1, 1)])]).table
    assert table[END].iloc[0] == pytest.approx(np.mean([0.8, 0.7]))


def test_the_interval_of_a_grid_redraws_seeds_and_ends_where_it_cannot_be_trusted(grid_of):
    study = grid_of(10, 10, diverged=0)
    interval = expected_max_interval(study.scores.reshape(10, 10))
    table = expected_best([study]).table
    at = table["n"] - 1
    np.testing.assert_array_equal(table["lower 95 %"], interval.lower[at])
    np.testing.assert_array_equal(table["upper 95 %"], interval.upper[at])
    assert (table["lower 95 %"].notna() == (table["n"] <= interval.trusted_up_to)).all()
    assert 0 < interval.trusted_up_to < 100


def test_the_band_is_drawn_no_further_than_it_can_be_trusted(grid_of):
    study = grid_of(10, 10, diverged=0)
    axes = expected_best([study]).figure.axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 0].max() == expected_max_interval(study.scores.reshape(10, 10)).trusted_up_to


def test_pairs_of_seeds_are_independent_trials(study_of):
    curves = np.random.default_rng(0).uniform(0.5, 1, (40, 2))
    table = expected_best([study_of(curves, [(k, k) for k in range(40)])]).table
    interval = expected_max_interval(curves.max(axis=1))
    np.testing.assert_array_equal(table["upper 95 %"], interval.upper[table["n"] - 1])


def test_trials_that_share_init_seeds_alone_are_not_independent(study_of):
    generator = np.random.default_rng(0)
    curves = 0.7 + generator.normal(0, 0.1, (8, 1)).repeat(5, axis=0) + generator.normal(0, 0.01, (40, 2))
    table = expected_best([study_of(curves, [(k // 5, k) for k in range(40)], diverged_at=None)]).table
    alone = expected_max_interval(curves.max(axis=1))
    assert table["upper 95 %"][0] - table["lower 95 %"][0] > 1.5 * (alone.upper[0] - alone.lower[0])


def test_an_epoch_that_is_not_known_leaves_that_schedule_out(grid_of):
    section = expected_best([grid_of(4, 4, epochs=[np.nan] * 6)])
    assert section.table[EPOCHS].isna().all()
    assert section.table[END].notna().all()
    assert any("epochs are not known" in line for line in section.missing)
