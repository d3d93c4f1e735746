"""Figure 2 and Table 3: the grid, and the spread among trials that share a seed."""

from __future__ import annotations

import numpy as np
import pytest

from seedgrid.report.sections.seeds import seed_grid, shared_seeds


def test_standard_deviations_over_shared_seeds_are_averaged_over_the_seeds(grid_of):
    study = grid_of(4, 3)
    scores = study.scores.reshape(4, 3)
    row = shared_seeds([study]).table.iloc[0]
    assert row["std, shared init seed"] == pytest.approx(np.mean([np.std(r, ddof=1) for r in scores]))
    assert row["std, shared order seed"] == pytest.approx(np.mean([np.std(c, ddof=1) for c in scores.T]))
    assert row["std, all trials"] == pytest.approx(np.std(scores, ddof=1))


def test_the_dropout_seed_has_a_column_where_it_varies(grid_of):
    study = grid_of(3, 3, 2)
    row = shared_seeds([study]).table.iloc[0]
    layers = np.moveaxis(study.scores.reshape(3, 3, 2), 2, 0)
    assert row["std, shared dropout seed"] == pytest.approx(np.mean([np.std(layer, ddof=1) for layer in layers]))
    assert "share a dropout seed" in shared_seeds([study]).caption
    assert "dropout" not in shared_seeds([grid_of(3, 3)]).caption


def test_the_heat_map_shows_and_says_the_mean_over_dropout_seeds(grid_of):
    study = grid_of(3, 4, 2, diverged=0)
    section = seed_grid([study])
    shown, bar = section.figure.axes
    means = study.scores.reshape(3, 4, 2).mean(axis=2)
    drawn = means[np.argsort(means.mean(axis=1))][:, np.argsort(means.mean(axis=0))]
    np.testing.assert_allclose(shown.images[0].get_array(), drawn)
    assert bar.get_ylabel() == "best found accuracy,\nmean over dropout seeds"
    assert "over dropout seeds" in section.reading
    alone = seed_grid([grid_of(3, 4, diverged=0)])
    assert alone.figure.axes[1].get_ylabel() == "best found accuracy" and "dropout" not in alone.reading


def test_a_sweep_without_a_grid_is_said_and_leaves_the_others_be(grid_of, study_of):
    paired = study_of(np.full((3, 2), 0.7), [(k, k) for k in range(3)], name="paired")
    section = shared_seeds([grid_of(3, 3), paired])
    assert section.table["sweep"].tolist() == ["study"]
    assert len(section.missing) == 1 and section.missing[0].startswith("paired: not available: no grid")


def test_the_heat_map_is_sorted_by_the_means_of_rows_and_columns(study_of):
    scores = np.array([[0.9, 0.6], [0.7, 0.55]])  # init 1 is worse, order 1 is worse
    axes = seed_grid([study_of(scores.reshape(4, 1), [(0, 0), (0, 1), (1, 0), (1, 1)])]).figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), scores[::-1, ::-1])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "0"]


def marked(axes, label: str) -> int:
    return sum(len(drawn.get_offsets()) for drawn in axes.collections if drawn.get_label() == label)


def test_stopped_running_failed_and_diverged_trials_and_empty_cells_each_look_different(study_of):
    seeds = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    status = ["completed", "stopped", "running", "failed", "completed", "stopped", "completed"]
    curves = [[0.8], [0.7], [0.6], [np.nan], [0.5], [0.5], [0.9]]
    section = seed_grid([study_of(curves, seeds, status=status)])
    axes = section.figure.axes[0]
    assert [marked(axes, name) for name in ("stopped", "running", "failed", "diverged")] == [2, 1, 1, 1]
    assert "not run" in axes.get_legend_handles_labels()[1]
    assert np.ma.masked_invalid(axes.images[0].get_array()).count() == 6
    assert "3 trials, 4 unfinished" in axes.get_title()


def test_a_grid_that_has_just_begun_is_drawn_as_one(study_of):
    seeds = [(0, 0), (0, 1), (1, 0), (1, 1)]
    status = ["completed", "running", "running", "running"]
    section = seed_grid([study_of([[0.8], [0.7], [0.6], [np.nan]], seeds, status=status)])
    assert marked(section.figure.axes[0], "running") == 3
    assert not section.missing


def test_seeds_too_far_apart_for_a_grid_are_said(study_of):
    generator = np.random.default_rng(0)
    seeds = sorted({(int(a), int(b)) for a, b in generator.integers(0, 100_000, (4000, 2))})
    study = study_of(np.full((len(seeds), 1), 0.8), seeds)
    assert study.crossed
    assert "span too many pairs" in shared_seeds([study]).missing[0]
    assert "drawn by rank" in seed_grid([study]).missing[0]


def test_trials_that_are_no_grid_are_drawn_by_rank(study_of):
    section = seed_grid([study_of([[0.9], [0.6], [0.5]], [(k, k) for k in range(3)])])
    axes = section.figure.axes[0]
    assert marked(axes, "trial") == 2 and marked(axes, "diverged") == 1
    assert "drawn by rank" in section.missing[0]


def test_a_seed_whose_trials_all_diverged_is_named(study_of):
    scores = [[0.5], [0.9], [0.5], [0.8], [0.5], [0.5]]
    section = seed_grid([study_of(scores, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)])])
    assert "4 of 6 trials diverged, among them every trial of init seed 2 and every trial of order seed 0" in (
        section.reading
    )
