"""Figures 4 and 5: which curves are drawn, and how evaluations correlate."""

from __future__ import annotations

import numpy as np
from scipy import stats

from seedgrid.report.sections.curves import curves, evaluation_correlation


def drawn(axes) -> np.ndarray:
    """Final best of each curve that is drawn."""
    return np.sort([max(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) > 2])


def test_twenty_curves_are_drawn_evenly_over_the_ranking_with_both_ends(grid_of):
    study = grid_of(10, 20)
    section = curves([study])
    found = drawn(section.figure.axes[0])
    ranked = np.sort(study.scores)
    assert len(found) == 20
    assert (found[0], found[-1]) == (ranked[0], ranked[-1])
    places = np.searchsorted(ranked, found, side="right")
    assert np.diff(np.unique(places)).max() < 40  # none of the ranking's stretches is left out
    assert "200 trials, 20 of them drawn" in section.figure.axes[0].get_title()


def test_the_choice_of_curves_is_the_same_each_time(grid_of):
    first, second = (drawn(curves([grid_of(10, 20)]).figure.axes[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_threshold_is_a_line_and_diverged_trials_have_their_colour(grid_of):
    labels = curves([grid_of(4, 4, diverged=0.4)]).figure.axes[0].get_legend_handles_labels()[1]
    assert {"diverged", "trial", "best trial", "counts as diverged at or below"} <= set(labels)


def test_without_epochs_curves_lie_on_training_steps(grid_of):
    axes = curves([grid_of(3, 3, epochs=[np.nan] * 6)]).figure.axes[0]
    assert axes.get_xlabel() == "training step"
    assert max(axes.lines[0].get_xdata()) == 60


def test_the_reading_says_when_the_good_trials_had_left_the_threshold_behind(study_of):
    scores = [[0.5, 0.6, 0.7], [0.5, 0.5, 0.6], [0.6, 0.6, 0.6], [0.5, 0.5, 0.5]]
    section = curves([study_of(scores, [(k, 0) for k in range(4)], epochs=[1, 2, 3])])
    assert (
        "of the 3 trials that did not diverge, half had left 0.500 behind by epoch 2.00 and all of them by epoch 3.00; "
        "of the 2 trials still at or below it then, 1 diverged" in section.reading
    )


def test_correlations_are_spearmans(grid_of):
    study = grid_of(6, 6, diverged=0)
    axes = evaluation_correlation([study]).figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), stats.spearmanr(study.curves).statistic, atol=1e-12)


def test_evaluations_at_which_all_trials_score_the_same_are_named_and_left_grey(study_of):
    scores = [[0.5, 0.6, 0.7], [0.5, 0.7, 0.8], [0.5, 0.8, 0.6]]
    section = evaluation_correlation([study_of(scores, [(k, k) for k in range(3)], epochs=[1, 2, 3])])
    rho = section.figure.axes[0].images[0].get_array()
    assert np.ma.masked_invalid(rho).mask[0].all()
    assert "at 1 of 3 evaluations (epoch 1): grey" in section.missing[0]


def test_one_evaluation_a_trial_has_no_correlation(study_of):
    section = evaluation_correlation([study_of([[0.5], [0.6]], [(0, 0), (1, 1)])])
    assert section.figure is None
    assert tuple(section.missing) == ("study: not available: one evaluation a trial, and correlation needs two",)
