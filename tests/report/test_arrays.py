"""A sweep's finished trials as arrays."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from seedgrid.errors import InputError
from seedgrid.report.arrays import finished_trials

GRID = list(product(range(2), range(2)))
CURVES = np.array([[0.5, 0.7, 0.6], [0.5, 0.5, 0.5], [0.6, 0.8, 0.9], [0.4, 0.6, 0.7]])


def test_scores_are_the_best_found_in_the_order_of_the_seeds(study_of):
    study = study_of(CURVES, [(1, 1), (1, 0), (0, 1), (0, 0)])
    assert study.scores.tolist() == [0.7, 0.9, 0.5, 0.7]
    assert study.grid.scores.tolist() == [[0.7, 0.9], [0.5, 0.7]]
    assert study.curves.tolist() == CURVES[::-1].tolist()
    assert study.crossed


@pytest.mark.parametrize("status", ["running", "failed", "stopped"])
def test_trials_that_did_not_finish_do_not_count(status, study_of):
    study = study_of(CURVES, GRID, status=["completed"] * 3 + [status])
    assert study.scores.tolist() == [0.7, 0.5, 0.9]
    assert study.unfinished == 1
    assert study.selected == (status == "stopped")
    np.testing.assert_array_equal(study.grid.scores, [[0.7, 0.5], [0.9, np.nan]])


@pytest.mark.parametrize(("threshold", "score"), [(0.5, 0.5), (0.95, 0.7), (None, 0.7)])
def test_a_trial_that_broke_before_its_first_evaluation_scores_as_the_worst(threshold, score, study_of):
    curves = np.vstack([CURVES[[0, 2, 3]], np.full((1, 3), np.nan)])
    status = ["completed"] * 3 + ["nonfinite"]
    study = study_of(curves, GRID, status=status, diverged_at=threshold)
    assert study.scores[-1] == score
    assert study.curves[-1].tolist() == [score] * 3


def test_a_trial_that_broke_later_keeps_what_it_had(study_of):
    curves = CURVES.copy()
    curves[3, 1:] = np.nan
    study = study_of(curves, GRID, status=["completed"] * 3 + ["nonfinite"])
    assert study.scores[-1] == 0.4
    np.testing.assert_array_equal(study.curves[-1], [0.4, np.nan, np.nan])


def test_a_sweep_without_a_finished_trial_has_nothing_to_say(study_of):
    with pytest.raises(InputError, match="no finished trial"):
        study_of(CURVES, GRID, status="running")


def test_a_dropout_seed_that_varies_is_an_axis(study_of):
    study = study_of(CURVES, [(0, 0, 0), (0, 0, 7), (1, 0, 0), (1, 0, 7)])
    assert study.grid.scores.shape == (2, 1, 2)
    assert study.grid.dropouts == (0, 7)


def test_paired_seeds_are_no_grid(study_of):
    assert not study_of(CURVES, [(0, 0), (1, 1), (2, 2), (3, 3)]).crossed


def test_numbers_that_are_no_seeds_are_no_grid(study_of):
    study = study_of(CURVES, GRID, seeded=False)
    assert not study.crossed
    assert study.grid.scores.shape == (4, 1)


def test_seeds_that_would_fill_memory_with_empty_cells_are_refused(study_of):
    seeds = [(number, number) for number in range(4000)]
    study = study_of(np.full((4000, 1), 0.6), seeds)
    with pytest.raises(InputError, match="4000 x 4000 seeds"):
        _ = study.grid


def test_at_the_end_a_score_is_the_last_evaluations_or_the_lowest_where_there_is_none(study_of):
    study = study_of([[0.9, 0.7], [0.6, np.nan], [0.5, 0.8]], [(0, 0), (1, 1), (2, 2)])
    assert study.at_the_end.scores.tolist() == [0.7, 0.6, 0.8]
    assert study.scores.tolist() == [0.9, 0.6, 0.8]


def test_curves_validated_more_densely_at_first_are_evened_without_losing_the_best(study_of):
    epochs = [0.02, 0.06, 0.1, 0.2, 0.3]
    curves = np.array([[0.9, 0.5, 0.6, 0.7, 0.8], [0.1, 0.2, np.nan, 0.3, 0.4]])
    config = {"evaluation": {"per_epoch": 10.0}}
    study = study_of(curves, [(0, 0), (1, 1)], epochs=epochs, config=config)
    np.testing.assert_array_equal(study.even_curves, [[0.9, 0.7, 0.8], [0.2, 0.3, 0.4]])
    np.testing.assert_array_equal(study.even_epochs, [0.1, 0.2, 0.3])
    assert study.curves.shape == (2, 5)


@pytest.mark.parametrize("per_epoch", [1.0, 4.0, 10.0, 0.5])
def test_evaluations_at_the_usual_steps_stay_as_they_are(per_epoch, study_of):
    from seedgrid.evaluation.schedule import evaluation_steps

    steps = [step for step in evaluation_steps(90, 30, per_epoch, at_start=True) if step]
    curves = np.random.default_rng(0).random((3, len(steps)))
    study = study_of(
        curves,
        [(0, 0), (1, 1), (2, 2)],
        epochs=np.array(steps) / 30,
        config={"evaluation": {"per_epoch": per_epoch}},
    )
    np.testing.assert_array_equal(study.even_curves, curves)
    np.testing.assert_array_equal(study.even_epochs, study.epochs)


def test_a_folder_without_trials_is_said_to_have_none(study_of):
    sweep = study_of(CURVES, GRID).sweep
    with pytest.raises(InputError, match="it holds no trials; name a sweep's folder"):
        finished_trials(replace(sweep, trials=sweep.trials[:0]))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            "nonfinite",
            "the losses of all 4 were no numbers before a validation; lower recipe.learning_rate (it was 5), ",
        ),
        ("failed", "all 4 failed, the first with OutOfMemoryError: no more"),
        ("running", "let the sweep run first"),
    ],
)
def test_a_sweep_without_a_score_is_answered_with_why_it_has_none(status, expected, study_of):
    sweep = study_of(CURVES, GRID).sweep
    trials = sweep.trials.assign(status=status, best_found=np.nan, error="OutOfMemoryError: no more")
    with pytest.raises(InputError) as refused:
        finished_trials(replace(sweep, trials=trials, config={"recipe": {"learning_rate": 5.0}}))
    assert f"no finished trial with a score; {expected}" in str(refused.value)
