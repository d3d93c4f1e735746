"""Table 4 and Figure 3 compare the seeds with the highest and the lowest mean, and say which p to quote."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seedgrid.analysis.variance import permutation_test
from seedgrid.report.sections.extremes import best_and_worst_seeds

SHUFFLES = 500


def test_the_tests_are_scipys_between_the_trials_of_the_two_seeds(grid_of):
    study = grid_of(5, 6, diverged=0)
    scores = study.scores.reshape(5, 6)
    row = best_and_worst_seeds([study], SHUFFLES)[0].table.set_index("seeds").loc["init"]
    means = scores.mean(axis=1)
    best, worst = scores[means.argmax()], scores[means.argmin()]
    assert (row["best"], row["worst"]) == (means.argmax(), means.argmin())
    assert row["difference"] == pytest.approx(means.max() - means.min())
    assert row["p (ANOVA)"] == pytest.approx(stats.f_oneway(best, worst).pvalue)
    assert row["p (Wilcoxon)"] == pytest.approx(stats.wilcoxon(best, worst).pvalue)
    assert row["p (Friedman)"] == pytest.approx(stats.friedmanchisquare(*scores).pvalue)
    assert row["p (Levene)"] == pytest.approx(stats.levene(best, worst).pvalue)
    assert row["p (Shapiro, best)"] == pytest.approx(stats.shapiro(best).pvalue)
    assert row["p (Shapiro, worst)"] == pytest.approx(stats.shapiro(worst).pvalue)


def test_the_p_to_quote_allows_for_the_choice_of_the_two_seeds(grid_of):
    study = grid_of(6, 6, diverged=0)
    section, _ = best_and_worst_seeds([study], SHUFFLES, seed=3)
    for axis in ("init", "order"):
        row = section.table.set_index("seeds").loc[axis]
        test = permutation_test(study.scores.reshape(6, 6), axis, "within", SHUFFLES, 3)
        assert row["p (permutation)"] == test.p
    assert "Quote the permutation p" in section.reading


def test_seeds_are_named_by_their_labels_not_their_places(study_of):
    scores = [[0.9], [0.8], [0.6], [0.5]]
    table = best_and_worst_seeds([study_of(scores, [(12, 30), (12, 40), (17, 30), (17, 40)])], SHUFFLES)[0].table
    assert table[["best", "worst"]].to_numpy().tolist() == [[12, 17], [30, 40]]


def test_a_dropout_seed_that_varies_has_a_row_and_a_panel(grid_of):
    table, densities = best_and_worst_seeds([grid_of(3, 4, 5)], SHUFFLES)
    assert table.table["seeds"].tolist() == ["init", "order", "dropout"]
    assert "with new ones too is told by the F tests" in table.caption
    assert len(densities.figure.axes) == 3


def lines_of(axes, label: str):
    return [line for line in axes.lines if line.get_label() == label]


def test_every_trial_of_both_seeds_is_marked_and_few_different_scores_get_no_density(study_of):
    generator = np.random.default_rng(0)
    scores = np.stack([generator.normal(0.8, 0.02, 8), np.repeat([0.6, 0.61], 4)])  # 8 and 2 different scores
    seeds = [(init, order) for init in range(2) for order in range(8)]
    _, section = best_and_worst_seeds([study_of(scores.reshape(-1, 1), seeds)], SHUFFLES)
    axes = section.figure.axes[0]
    np.testing.assert_allclose(np.sort(lines_of(axes, "best seed")[0].get_xdata()), np.sort(scores[0]))
    np.testing.assert_allclose(np.sort(lines_of(axes, "worst seed")[0].get_xdata()), np.sort(scores[1]))
    curves = [line for line in axes.lines if len(line.get_xdata()) > 100]
    assert len(curves) == 1
    x, density = curves[0].get_data()
    np.testing.assert_allclose(density, stats.gaussian_kde(scores[0])(x))


def test_the_reading_gives_how_often_a_trial_of_the_best_seed_wins(study_of):
    scores = [[0.9], [0.7], [0.8], [0.6]]
    _, section = best_and_worst_seeds([study_of(scores, [(0, 0), (0, 1), (1, 0), (1, 1)])], SHUFFLES)
    assert "init: a random trial of seed 0 beats one of seed 1 75 % of the time" in section.reading
