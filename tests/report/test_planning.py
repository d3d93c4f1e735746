"""Plans in plain text: what they promise, and that the command they name carries them out."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from seedgrid.analysis.stopping import Plan, best_plans, rule_of_thumb
from seedgrid.evaluation.schedule import dodge2020_steps, evaluation_steps
from seedgrid.report.planning import budgets_around, describe_plan, describe_rule


def planned(study, budget, splits=5, max_start=200):
    budgets = budgets_around(budget, min(len(study.scores), max_start))
    plans = best_plans(study.curves, budgets, max_start, splits)
    best = plans[budgets.index(budget)]
    return best, describe_plan(best, plans, study, max_start, splits)


def test_the_budgets_around_lie_between_one_and_what_the_trials_allow():
    assert budgets_around(20) == [10, 18, 19, 20, 21, 22, 40]
    assert budgets_around(20, 21) == [10, 18, 19, 20, 21]
    assert budgets_around(1) == [1, 2, 3]
    assert budgets_around(2.5) == [1, 1.5, 2.5, 3.5, 4.5, 5]


def test_a_plan_gives_its_value_the_honest_one_and_full_trainings(grid_of):
    study = grid_of(6, 6, evaluations=10)
    best, text = planned(study, 6.0)
    assert best.keep < best.start < 36 and best.honest < best.expected
    assert f"  start    {best.start} trials\n" in text
    assert f"  stop at  evaluation {best.stop_at} of 10 ({10 * best.stop_at} % of training" in text
    assert f"  keep     the best {best.keep} so far" in text
    values = dict(re.findall(r"^  (this plan|such a plan|6 full trainings) +(\d\.\d{4})  ", text, re.MULTILINE))
    assert values == {
        "this plan": f"{best.expected:.4f}",
        "such a plan": f"{best.honest:.4f}",
        "6 full trainings": f"{best.full_training:.4f}",
    }
    rows = text.split("budget ")[-1].splitlines()[1:]
    assert [float(row.split()[0]) for row in rows] == [3, 4, 5, 6, 7, 8, 12]


def test_what_limits_a_plan_is_said(grid_of, study_of):
    small = grid_of(3, 3)
    best, text = planned(small, 7.0)
    assert best.start == 9 and "starts all 9 trials that the sweep has" in " ".join(text.split())
    assert best.honest is None and "halves of 4 trials are too few for this budget" in " ".join(text.split())
    best, text = planned(grid_of(6, 6), 6.0, max_start=8)
    assert best.start == 8 and "max_start=8" in text
    # Early scores that say nothing: stopping early cannot pay on trials that did not choose the plan.
    generator = np.random.default_rng(0)
    noise = np.column_stack([0.5 + 0.001 * generator.random((40, 3)), generator.random(40)])
    best, text = planned(study_of(noise, [(row, row) for row in range(40)]), 5.0)
    assert best.keep == best.start or best.honest <= best.full_training
    assert "does no better than full training" in text or "no early stopping beats full training" in text


def test_equal_trials_are_trained_in_full(study_of):
    best, text = planned(study_of(np.full((12, 4), 0.7), [(row, row) for row in range(12)]), 4.0)
    assert (best.start, best.keep) == (4, 4)
    assert "  train 4 trials in full\n" in text and "no early stopping beats full training" in text
    assert "seed=paired seed.init='range(0,4)'" in text and "start_many" not in text


def test_time_is_that_of_trials_that_ran_to_their_end(grid_of):
    study = grid_of(4, 4, status=["nonfinite"] * 4 + ["completed"] * 12)
    study.trials["seconds"] = np.where(study.trials["status"] == "completed", 600.0, 1.0)
    _, text = planned(study, 5.0)
    assert "A budget of 5 full trainings, 50 min one after the other (10 min each):" in text


@pytest.mark.parametrize(
    ("examples", "batch", "per_epoch", "epochs"), [(480, 16, 4, 3), (97, 8, 7, 1), (3668, 16, 10, 3), (2000, 2, 500, 2)]
)
def test_the_command_stops_at_the_evaluation_of_the_plan(study_of, examples, batch, per_epoch, epochs):
    an_epoch = -(-examples // batch)
    steps = evaluation_steps(epochs * an_epoch, an_epoch, per_epoch)
    study = study_of(np.full((2, len(steps)), 0.7), [(0, 0), (1, 1)], epochs=np.array(steps) / an_epoch)
    for stop_at in range(1, len(steps)):
        best = Plan(4.0, 9, stop_at, 2, len(steps), cost=4.0, expected=0.8, full_training=0.7)
        text = describe_plan(best, [best], study, max_start=200, splits=0)
        share = Fraction(re.search(r"hydra\.sweeper\.stop_at=(\S+)", text)[1])
        # As the sweeper does it: the first evaluation from this fraction of training on.
        reached = next(step for step in steps if step >= share * steps[-1])
        assert steps.index(reached) + 1 == stop_at
        assert "hydra.sweeper.start=9 " in text and "hydra.sweeper.keep=2\n" in text


def test_evaluations_are_counted_evenly_where_trials_were_validated_unevenly(study_of):
    steps = dodge2020_steps(690, 230)
    config = {"evaluation": {"per_epoch": 10}}
    study = study_of(np.full((2, len(steps)), 0.7), [(0, 0), (1, 1)], epochs=np.array(steps) / 230, config=config)
    assert study.even_curves.shape == (2, 30) and len(steps) > 100
    for stop_at in (1, 9, 10, 15, 29):
        best = Plan(4.0, 9, stop_at, 2, 30, cost=4.0, expected=0.8, full_training=0.7)
        text = describe_plan(best, [best], study, max_start=200, splits=0)
        share = Fraction(re.search(r"hydra\.sweeper\.stop_at=(\S+)", text)[1])
        assert next(step for step in steps if step >= share * 690) == 23 * stop_at
        assert f"epoch {stop_at / 10:.2f}" in text


def test_the_rule_of_thumb_says_what_it_is():
    plans = [rule_of_thumb(budget, 30) for budget in (19.0, 20.0)]
    text = describe_rule(plans[1], plans)
    assert (
        "rule of thumb" in text
        and "Dodge et al. (2020" in text
        and "three of the paper's four tasks" in " ".join(text.split())
    )
    assert "start    60 trials" in text and "expected" not in text
