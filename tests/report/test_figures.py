"""Drawings of single panels, and the figures that a sweep ends with."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from seedgrid.report import figures
from seedgrid.scale import Scale

ACCURACY = Scale.of("accuracy")


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (6, (2, 3))])
def test_panels_wrap_evenly_and_never_beyond_the_page(count, shape):
    figure, axes = figures.panels(count, 5, 3, per_row=4)
    assert len(axes) == len(figure.axes) == count
    grid = axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    assert figure.get_figwidth() <= figures.PAGE_WIDTH


def test_a_legend_names_each_label_once():
    figure, axes = figures.panels(2, 3, 3)
    for panel in axes:
        panel.plot([0, 1], [0, 1], label="trial")
    figures.shared_legend(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["trial"]


@pytest.mark.parametrize("sizes", [(5, 5), (25, 25), (100, 100)])
def test_seed_labels_of_a_heat_map_do_not_overlap(grid_of, sizes):
    study = grid_of(*sizes)
    figure = figures.heat_map(study.sweep.trials, ACCURACY, "title")
    figure.savefig(io.BytesIO(), format="png")
    axes = figure.axes[0]
    for labels, low, high in ((axes.get_xticklabels(), "x0", "x1"), (axes.get_yticklabels(), "y0", "y1")):
        spans = sorted((getattr(box, low), getattr(box, high)) for box in (t.get_window_extent() for t in labels))
        assert len(spans) > 1
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_cells_hold_their_numbers_where_these_fit(grid_of):
    small, large = (
        figures.heat_map(grid_of(*sizes).sweep.trials, ACCURACY, "title").axes[0] for sizes in ((4, 5), (40, 40))
    )
    assert len(small.texts) == 20
    assert len(large.texts) == 0


def test_the_picture_of_a_sweep_names_its_trials(grid_of):
    trials = grid_of(3, 3).sweep.trials
    assert figures.heat_map(trials, ACCURACY, "mine").axes[0].get_title() == "mine\n9 trials"
    assert figures.ranked_trials(trials, ACCURACY, "mine").axes[0].get_title() == "mine\n9 trials"


def test_a_sweep_with_a_trial_that_has_no_score_yet_is_drawn(study_of):
    study = study_of([[0.8], [np.nan], [0.7]], [(0, 0), (0, 1), (1, 0)], status=["completed", "running", "completed"])
    trials, evaluations = study.sweep.trials, study.sweep.evaluations
    for figure in (
        figures.heat_map(trials, ACCURACY, "t"),
        figures.ranked_trials(trials, ACCURACY, "t"),
        figures.validation_curves(trials, evaluations, ACCURACY, 0.5, "t"),
    ):
        figure.savefig(io.BytesIO(), format="png")


def test_curves_tell_the_best_trial_and_the_diverged_ones_apart(grid_of):
    study = grid_of(3, 3, diverged=0.4)
    axes = Figure().subplots()
    figures.draw_validation_curves(axes, study.sweep.trials, study.sweep.evaluations, ACCURACY, 0.5)
    colours = [line.get_color() for line in axes.lines if len(line.get_xdata()) > 2]
    assert colours.count(figures.BEST) == 1
    assert colours.count(figures.DIVERGED) == int(study.trials["diverged"].sum()) > 0
    best = next(line for line in axes.lines if line.get_color() == figures.BEST)
    assert max(best.get_ydata()) == study.scores.max()


def test_a_grid_is_where_both_kinds_of_seeds_recur(grid_of, study_of):
    assert figures.is_grid(grid_of(2, 2).trials)
    assert not figures.is_grid(grid_of(1, 4).trials)
    assert not figures.is_grid(study_of([[0.6], [0.7]], [(0, 0), (1, 1)]).trials)


def test_every_score_of_every_sweep_is_a_dot_in_its_row(study_of):
    status = ["completed", "completed", "completed", "running"]
    some = study_of([[0.8], [0.5], [0.7], [0.6]], [(0, 0), (0, 1), (1, 0), (1, 1)], status=status)
    others = study_of([[0.9], [0.8]], [(0, 0), (0, 1)])
    figure = figures.scores_by_sweep({"some": some.sweep.trials, "others": others.sweep.trials}, ACCURACY, 0.5)
    [axes] = figure.axes
    dots = {
        (label, row, x)
        for part, label in zip(*axes.get_legend_handles_labels(), strict=True)
        if hasattr(part, "get_offsets")
        for x, y in part.get_offsets()
        for row in [round(y)]
    }
    trials = {("trial", 0, 0.8), ("trial", 0, 0.7), ("trial", 1, 0.9), ("trial", 1, 0.8)}
    assert dots == trials | {("diverged", 0, 0.5), ("not finished, so far", 0, 0.6)}
    means = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "D"]
    assert np.allclose(means, [[2 / 3, 0], [0.85, 1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["some", "others"]
