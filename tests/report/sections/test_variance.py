"""Variance components and permutation tests, as the report gives them."""

import re

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from seedgrid.report.sections.variance import variance_shares


@pytest.fixture
def grid_with_effects(study_of):
    """Trials with normal effects of given standard deviations: of init, of order, residual."""

    def made(inits, orders, stds, seed=0, **options):
        generator = np.random.default_rng(seed)
        scores = 0.8 + stds[0] * generator.standard_normal((inits, 1)) + stds[1] * generator.standard_normal(orders)
        scores = scores + stds[2] * generator.standard_normal((inits, orders))
        seeds = [(init, 10 + order) for init, order in np.ndindex(inits, orders)]
        return study_of(scores.reshape(-1, 1), seeds, **options)

    return made


def test_numbers_are_those_of_a_two_way_analysis_of_variance(grid_with_effects):
    study = grid_with_effects(5, 7, (0.02, 0.01, 0.02))
    table = variance_shares([study]).table.set_index("source")
    fitted = anova_lm(ols("score ~ C(init) + C(order)", study.trials).fit())
    mean_squares = (fitted["sum_sq"] / fitted["df"]).to_numpy()
    variances = [
        (mean_squares[0] - mean_squares[2]) / 7,
        (mean_squares[1] - mean_squares[2]) / 5,
        mean_squares[2],
    ]
    assert min(variances) > 0  # else the shares below would be cut
    assert table["share of variance"].to_numpy() == pytest.approx(np.array(variances) / sum(variances))
    assert table["standard deviation"].to_numpy() == pytest.approx(np.sqrt(variances))
    assert table.loc[["init seed", "order seed"], "F"].to_numpy() == pytest.approx(fitted["F"][:2].to_numpy())
    assert table.loc[["init seed", "order seed"], "p, F test"].to_numpy() == pytest.approx(fitted["PR(>F)"][:2])
    assert table["seeds"].tolist() == [5, 7, pd.NA]
    means = study.trials.groupby("init")["score"].mean()
    assert table.loc["init seed", "range of means"] == pytest.approx(np.ptp(means))


def test_permutation_columns_shuffle_within_the_other_seed_and_over_all_cells(grid_with_effects):
    study = grid_with_effects(4, 6, (0.01, 0.03, 0.02), seed=3)
    row = variance_shares([study]).table.set_index("source").loc["init seed"]
    generator, scores = np.random.default_rng(9), study.scores.reshape(4, 6)
    observed = np.ptp(scores.mean(axis=1))
    within = [np.ptp(generator.permuted(scores, axis=0).mean(axis=1)) for _ in range(4000)]
    everywhere = [np.ptp(generator.permutation(scores.ravel()).reshape(4, 6).mean(axis=1)) for _ in range(4000)]
    assert row["p, permutation"] == pytest.approx(np.mean(np.array(within) >= observed), abs=0.03)
    assert row["p, permutation over all cells"] == pytest.approx(np.mean(np.array(everywhere) >= observed), abs=0.03)
    assert abs(np.mean(np.array(within) >= observed) - np.mean(np.array(everywhere) >= observed)) > 0.1


def test_reading_tells_the_seed_that_matters_from_the_one_that_is_not_shown_to(grid_with_effects):
    section = variance_shares([grid_with_effects(8, 8, (0.0, 0.05, 0.01))])
    assert re.search(r"Here the order seed \([^)]*\) matters\.", section.reading)
    assert re.search(r"not shown that the init seed \([^)]*\) matters", section.reading)


def test_interval_and_test_that_disagree_leave_the_question_open(grid_with_effects):
    for seed in range(200):
        study = grid_with_effects(6, 6, (0.0, 0.011, 0.02), seed)
        row = variance_shares([study]).table.set_index("source").loc["order seed"]
        if row["p, permutation"] < 0.05 and row["share, lower"] == 0:
            break
    reading = variance_shares([study]).reading
    assert re.search(r"Whether the order seed \([^)]*\) matters is open", reading)


def test_known_shares_of_a_large_grid_are_recovered(grid_with_effects):
    study = grid_with_effects(25, 25, (0.02**0.5, 0.03**0.5, 0.05**0.5), seed=1)
    table = variance_shares([study]).table.set_index("source")
    for source, share in {"init seed": 0.2, "order seed": 0.3, "residual": 0.5}.items():
        assert table.loc[source, "share, lower"] < share < table.loc[source, "share, upper"]


def test_varied_dropout_seeds_and_pairs_of_seeds_are_sources_of_their_own(grid_of):
    section = variance_shares([grid_of(4, 3, 3, diverged=0)])
    assert section.table["source"].tolist() == [
        "init seed",
        "order seed",
        "dropout seed",
        "init with order",
        "init with dropout",
        "order with dropout",
        "residual",
    ]
    assert section.table["share of variance"].sum() == pytest.approx(1)
    assert "the dropout seed" in section.reading
    assert "quasi-F" in section.caption
    assert "quasi-F" not in variance_shares([grid_of(4, 3)]).caption


def test_a_pair_of_seeds_is_not_taken_for_what_each_does_by_itself(study_of):
    generator = np.random.default_rng(0)
    pair = 0.05 * generator.standard_normal((5, 5, 1))
    scores = 0.8 + pair + 0.01 * generator.standard_normal((5, 5, 4))
    section = variance_shares([study_of(scores.reshape(-1, 1), list(np.ndindex(5, 5, 4)))])
    row = section.table.set_index("source").loc["init seed"]
    assert row["p, permutation"] < 0.05 < row["p, F test"]  # what one order does with one init, shuffled away
    assert re.search(r"not shown that the init seed \([^)]*F test p = [^)]*\)", section.reading)
    assert re.search(r"Of the pairs of seeds, init with order \([^)]*p < 0.001\) matters", section.reading)


def test_pairs_of_seeds_that_gaps_hide_are_said_to_be_hidden(study_of):
    seeds = [(init, order, (init + order) % 4) for init, order in np.ndindex(4, 4)]
    section = variance_shares([study_of(np.random.default_rng(0).uniform(0.6, 0.9, (16, 1)), seeds)])
    assert section.table["source"].tolist() == ["init seed", "order seed", "dropout seed", "residual"]
    assert "Too many trials are missing to tell the pairs of seeds apart." in section.reading


@pytest.mark.parametrize(
    ("curves", "seeds", "options", "said"),
    [
        ([[0.8]], [(0, 0)], {}, "at least 2"),
        ([[0.8], [0.7], [0.9]], [(0, 0), (1, 1), (2, 2)], {}, "no grid"),
        ([[0.8], [0.7], [0.9]], [(0, 0), (0, 1), (0, 2)], {}, "no grid"),
        ([[0.5]] * 4, [(0, 0), (0, 1), (1, 0), (1, 1)], {}, "same score"),
        ([[0.8], [0.7], [0.9], [0.6]], [(0, 0), (0, 1), (1, 0), (1, 1)], {"seeded": False}, "seeds"),
        (
            [[0.8], [0.7], [0.9], [0.6]],
            [(0, 0), (0, 1), (1, 0), (1, 1)],
            {"status": ["completed", "completed", "completed", "stopped"]},
            "stopped",
        ),
        ([[0.8], [0.7], [0.9]], [(0, 0), (0, 1), (1, 0)], {}, "missing"),
    ],
)
def test_without_a_grid_that_varies_there_is_a_line_and_no_number(study_of, curves, seeds, options, said):
    section = variance_shares([study_of(np.array(curves), seeds, **options)])
    assert (section.figure, section.table, section.reading) == (None, None, "")
    assert len(section.missing) == 1 and section.missing[0].startswith("study: ")
    assert said in section.missing[0]


def test_of_several_sweeps_each_with_a_grid_gets_a_panel_and_rows(grid_with_effects, study_of):
    grids = [grid_with_effects(4, 4, (0.01, 0.01, 0.02), seed, name=f"task {seed}") for seed in (0, 1)]
    section = variance_shares([grids[0], study_of([[0.8]], [(0, 0)], name="single"), grids[1]])
    assert section.table["sweep"].unique().tolist() == ["task 0", "task 1"]
    titles = [axes.get_title() for axes in section.figure.axes]
    assert titles == ["task 0\n16 trials", "task 1\n16 trials"]
    assert section.missing[0].startswith("single: ")
