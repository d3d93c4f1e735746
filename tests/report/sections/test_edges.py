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


def one_trial(grid_of, study_of):
    return [grid_of(1, 1)]


def two_trials(grid_of, study_of):
    return [study_of([[0.6, 0.7], [0.7, 0.8]], [(0, 0), (0, 1)])]


def all_diverged(grid_of, study_of):
    return [grid_of(3, 4, diverged=1.0)]


def all_nonfinite(grid_of, study_of):
    curves = np.full((4, 3), np.nan)
    curves[0, 0] = 0.5
    return [study_of(curves, [(0, 0), (0, 1), (1, 0), (1, 1)], status="nonfinite")]


def constant_scores(grid_of, study_of):
    return [study_of(np.full((9, 4), 0.8), [(i, o) for i in range(3) for o in range(3)])]


def perfect_scores(grid_of, study_of):
    return [study_of(np.full((9, 4), 1.0), [(i, o) for i in range(3) for o in range(3)])]


def negative_scores(grid_of, study_of):
    curves = np.random.default_rng(0).uniform(-0.2, 0.1, (9, 4))
    return [study_of(curves, [(i, o) for i in range(3) for o in range(3)], metric="mcc", diverged_at=0.0)]


def paired_seeds(grid_of, study_of):
    return [study_of(np.random.default_rng(0).uniform(0.5, 1, (12, 4)), [(k, k) for k in range(12)])]


def one_init_seed(grid_of, study_of):
    return [grid_of(1, 12)]


def stopped_for_their_scores(grid_of, study_of):
    status = ["completed", "stopped", "running", "failed"] * 5
    return [grid_of(4, 5, status=status)]


def unknown_epochs(grid_of, study_of):
    return [grid_of(4, 4, epochs=[np.nan] * 6)]


def dropout_varied(grid_of, study_of):
    return [grid_of(3, 3, 2)]


def unknown_threshold(grid_of, study_of):
    return [grid_of(4, 4, diverged_at=None)]


def unknown_seeds(grid_of, study_of):
    return [grid_of(4, 4, seeded=False, config={}, majority=None, diverged_at=None)]


def one_evaluation(grid_of, study_of):
    return [grid_of(4, 4, evaluations=1)]


def gaps_in_grid(grid_of, study_of):
    seeds = [(i, o) for i in range(5) for o in range(5) if (i + 2 * o) % 5]
    return [study_of(np.random.default_rng(0).uniform(0.4, 1, (20, 5)), seeds)]


def seeds_far_apart(grid_of, study_of):
    generator = np.random.default_rng(0)
    seeds = [(int(a), int(b)) for a, b in generator.integers(0, 100_000, (4000, 2))]
    return [study_of(generator.uniform(0.5, 1, (len(set(seeds)), 2)).round(1), sorted(set(seeds)))]


def long_names_of_six_tasks(grid_of, study_of):
    kinds = [grid_of(3, 3, seed=k, name=f"runs/some/folder-{k}/with-a-long-name-of-its-own") for k in range(4)]
    return [*kinds, *paired_seeds(grid_of, study_of), *one_trial(grid_of, study_of)]


KINDS = [
    one_trial,
    two_trials,
    all_diverged,
    all_nonfinite,
    constant_scores,
    perfect_scores,
    negative_scores,
    paired_seeds,
    one_init_seed,
    stopped_for_their_scores,
    unknown_epochs,
    dropout_varied,
    unknown_threshold,
    unknown_seeds,
    one_evaluation,
    gaps_in_grid,
    seeds_far_apart,
    long_names_of_six_tasks,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_section_draws_reads_and_says_what_it_lacks(kind, grid_of, study_of):
    studies = kind(grid_of, study_of)
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
