"""Init seeds are ranked in each sweep and their agreement is put to the test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seedgrid.report.sections.transfer import init_seeds_across_tasks


def study_with_means(study_of, means: list[float], first: int = 0, **options):
    scores = np.array(means)[:, None] + np.array([-0.01, 0.01])
    seeds = [(first + init, order) for init in range(len(means)) for order in range(2)]
    return study_of(scores.reshape(-1, 1), seeds, **options)


def test_seeds_are_sorted_by_their_mean_rank_over_the_sweeps(study_of):
    a = study_with_means(study_of, [0.9, 0.7, 0.8], name="a")
    b = study_with_means(study_of, [0.75, 0.65, 0.85], name="b")
    table = init_seeds_across_tasks([a, b], 200).table
    assert table["init seed"].tolist() == [0, 2, 1]
    assert table["mean rank"].tolist() == [1.5, 1.5, 3]
    assert table["rank, b"].tolist() == [2, 1, 3]
    assert table["mean, a"].tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_kendalls_w_is_friedmans_statistic_over_its_maximum(study_of):
    generator = np.random.default_rng(0)
    means = generator.uniform(0.6, 0.9, (3, 6))
    studies = [study_with_means(study_of, row.tolist(), name=name) for row, name in zip(means, "abc", strict=True)]
    w = stats.friedmanchisquare(*means.T).statistic / (3 * 5)
    assert f"Kendall's W is {w:.2f}" in init_seeds_across_tasks(studies, 200).reading


def test_seeds_are_matched_by_their_labels_and_others_left_out(study_of):
    a = study_with_means(study_of, [0.9, 0.8, 0.7], first=0, name="a")
    b = study_with_means(study_of, [0.9, 0.8, 0.7], first=1, name="b")
    section = init_seeds_across_tasks([a, b], 200)
    assert section.table["init seed"].tolist() == [1, 2]
    assert tuple(section.missing) == (
        "a: 1 init seed that another sweep lacks left out",
        "b: 1 init seed that another sweep lacks left out",
    )


def test_fewer_than_two_grids_have_no_ranks_to_compare(grid_of, study_of):
    paired = study_of([[0.7], [0.8]], [(0, 0), (1, 1)], name="paired")
    section = init_seeds_across_tasks([grid_of(3, 3), paired])
    assert section.table is None
    assert section.missing[0].startswith("paired: not available: no grid")
    assert "at least two grids" in section.missing[1]


def test_sweeps_without_a_common_seed_are_said(study_of):
    a = study_with_means(study_of, [0.9, 0.8], first=0, name="a")
    b = study_with_means(study_of, [0.9, 0.8], first=5, name="b")
    assert "0 init seeds in common" in init_seeds_across_tasks([a, b]).missing[0]


def test_seeds_that_tie_everywhere_leave_nothing_to_rank(study_of):
    studies = [study_with_means(study_of, [0.8, 0.8, 0.8], name=name) for name in "ab"]
    assert "nothing to rank" in init_seeds_across_tasks(studies, 200).reading
