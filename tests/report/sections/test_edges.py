"""Every section of the paper's tables and figures has a stated result for trials of any kind."""

from __future__ import annotations

import io

import numpy as np
import pytest

from seedgrid.report.sections.curves import curves, evaluation_correlation
from seedgrid.report.sections.expected import expected_best
from seedgrid.report.sections.extremes import best_and_worst_seeds
from seedgrid.report.sections.scores import best_found, tasks
from seedgrid.report.sections.seeds import seed_grid, shared_seeds
from seedgrid.report.sections.stopping import early_stopping
from seedgrid.report.sections.transfer import init_seeds_across_tasks

pytestmark = pytest.mark.filterwarnings("error")


GRID = [(init, order) for init in range(3) for order in range(3)]
NO_NUMBER = [[0.5, np.nan, np.nan], *[[np.nan] * 3] * 3]
FAR_APART = sorted({(int(a), int(b)) for a, b in np.random.default_rng(0).integers(0, 100_000, (4000, 2))})
GAPS = [(init, order) for init in range(5) for order in range(5) if (init + 2 * order) % 5]
LONG = "runs/some/folder-{}/with-a-long-name-of-its-own"


def random(low: float, high: float, *size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, size)


# What `grid_of` takes, or `study_of` where the first is an array of curves.
KINDS = {
    "one_trial": [((1, 1), {})],
    "two_trials": [(([[0.6, 0.7], [0.7, 0.8]], [(0, 0), (0, 1)]), {})],
    "all_diverged": [((3, 4), {"diverged": 1.0})],
    "all_nonfinite": [((NO_NUMBER, [(0, 0), (0, 1), (1, 0), (1, 1)]), {"status": "nonfinite"})],
    "constant_scores": [((np.full((9, 4), 0.8), GRID), {})],
    "perfect_scores": [((np.full((9, 4), 1.0), GRID), {})],
    "negative_scores": [((random(-0.2, 0.1, 9, 4), GRID), {"metric": "mcc", "diverged_at": 0.0})],
    "paired_seeds": [((random(0.5, 1, 12, 4), [(k, k) for k in range(12)]), {})],
    "one_init_seed": [((1, 12), {})],
    "stopped_for_their_scores": [((4, 5), {"status": ["completed", "stopped", "running", "failed"] * 5})],
    "unknown_epochs": [((4, 4), {"epochs": [np.nan] * 6})],
    "dropout_varied": [((3, 3, 2), {})],
    "unknown_threshold": [((4, 4), {"diverged_at": None})],
    "unknown_seeds": [((4, 4), {"seeded": False, "config": {}, "majority": None, "diverged_at": None})],
    "one_evaluation": [((4, 4), {"evaluations": 1})],
    "gaps_in_grid": [((random(0.4, 1, 20, 5), GAPS), {})],
    "seeds_far_apart": [((random(0.5, 1, len(FAR_APART), 2).round(1), FAR_APART), {})],
}
KINDS["long_names_of_six_tasks"] = [
    *(((3, 3), {"seed": k, "name": LONG.format(k)}) for k in range(4)),
    *KINDS["paired_seeds"],
    *KINDS["one_trial"],
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_section_draws_reads_and_says_what_it_lacks(kind, grid_of, study_of):
    studies = [
        (grid_of if isinstance(given[0], int) else study_of)(*given, **options) for given, options in KINDS[kind]
    ]
    sections = [
        best_found(studies),
        tasks(studies),
        expected_best(studies, draws=50),
        seed_grid(studies),
        shared_seeds(studies),
        *best_and_worst_seeds(studies, shuffles=50),
        curves(studies),
        evaluation_correlation(studies),
        *early_stopping(studies, splits=1)[:2],
        init_seeds_across_tasks(studies, shuffles=50),
    ]
    assert len({section.key for section in sections}) == 12
    for section in sections:
        words = " ".join((section.reading, section.caption, *section.missing))
        assert not {"nan", "None", "inf"} & set(words.replace(",", " ").replace(".", " ").split()), words
        if section.figure is not None:
            section.figure.savefig(io.BytesIO(), format="svg")
        if section.figure is None and section.table is None:
            assert section.missing and not section.reading
        else:
            assert section.reading and section.caption
        if section.table is not None:
            assert len(section.table) and section.table.columns.is_unique


def test_trials_stopped_for_their_scores_leave_only_what_no_choice_biases(grid_of):
    studies = [grid_of(4, 5, status=["completed", "stopped"] * 10)]
    for section in (
        expected_best(studies),
        shared_seeds(studies),
        *best_and_worst_seeds(studies),
        evaluation_correlation(studies),
        *early_stopping(studies)[:2],
    ):
        assert section.figure is None and section.table is None
        assert "no random sample" in section.missing[0]
    assert best_found(studies).table is not None
    assert seed_grid(studies).figure is not None
    assert curves(studies).figure is not None
