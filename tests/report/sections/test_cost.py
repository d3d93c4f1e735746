"""Seconds, and what early stopping would have saved."""

import re
from dataclasses import replace

import numpy as np
import pytest

from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.stopping import Plan, best_plans, expected_best
from seedgrid.report.sections.cost import cost, saving


def plans_of(study):
    return best_plans(study.curves, range(1, min(30, len(study.trials)) + 1))


def test_saving_is_the_cheapest_plan_that_reaches_what_half_of_the_trials_do(grid_of):
    study = grid_of(5, 5)
    plans = plans_of(study)
    found = saving(25, plans)
    target = expected_max(study.scores)[11]
    assert (found.trainings, found.reached) == (12, pytest.approx(target))
    plan = found.plan
    assert expected_best(study.curves, plan.start, plan.stop_at, plan.keep) >= target
    cheaper = [plan for plan in plans if plan.budget < found.plan.budget]
    assert cheaper and all(plan.expected < target for plan in cheaper)
    assert found.saved == 12 - plan.cost > 0


def test_trials_that_all_score_alike_save_nothing(grid_of):
    study = grid_of(4, 4, diverged=1.1)
    found = saving(16, plans_of(study))
    assert (found.trainings, found.saved) == (1, 0)
    section = cost([study], [plans_of(study)])
    assert "no plan that stops trials early reaches as much for less" in section.reading
    assert "nan" not in section.reading


def test_a_plan_counts_with_its_honest_value_where_it_has_one(grid_of):
    full, expected, honest = [0.5, 0.6, 0.7, 0.8], [0.5, 0.85, 0.9, 0.9], [0.5, 0.65, 0.75, 0.85]
    numbers = enumerate(zip(full, expected, honest, strict=True), start=1)
    valued = [Plan(n, n, 5, n, 5, n, hopeful, training, own) for n, (training, hopeful, own) in numbers]
    assert saving(8, [replace(plan, honest=None) for plan in valued]).plan.budget == 2
    assert saving(8, valued).plan.budget == 4
    assert saving(6, valued).plan.budget == 3  # half of six trials: 0.7
    assert "did not choose them" in cost([grid_of(2, 4)], [valued]).caption
    assert "too much" in cost([grid_of(2, 4)], [[replace(plan, honest=None) for plan in valued]]).caption


def test_seconds_are_split_and_summed_over_all_recorded_trials(grid_of):
    study = grid_of(3, 4)
    trials = study.sweep.trials.assign(seconds=np.arange(1.0, 13.0))
    trials.loc[11, "status"] = "failed"
    sweep = replace(study.sweep, trials=trials)
    study = replace(
        study, sweep=sweep, trials=study.trials.assign(seconds=np.arange(1.0, 13.0))[:11], curves=study.curves[:11]
    )
    row = cost([study], [plans_of(study)]).table.iloc[0]
    assert row["seconds a trial"] == pytest.approx(6)
    assert row["hours in all"] == pytest.approx(78 / 3600)
    assert row["of it evaluation"] == pytest.approx(6 * 0.1 / 6)  # six evaluations of 0.1 s
    assert row["hours saved"] == pytest.approx(row["trainings saved"] * 6 / 3600)


def test_each_thing_that_is_not_known_is_said_and_the_rest_is_given(grid_of, study_of):
    one = study_of([[0.7, 0.8]], [(0, 0)], name="one")
    stopped = grid_of(3, 3, name="stopped", status=["completed"] * 8 + ["stopped"])
    single = grid_of(3, 3, evaluations=1, name="single")
    timeless = grid_of(3, 3, name="timeless")
    without = {"seconds": np.nan}
    timeless = replace(
        timeless,
        trials=timeless.trials.assign(**without),
        sweep=replace(timeless.sweep, trials=timeless.sweep.trials.assign(**without)),
    )
    section = cost([one, stopped, single, timeless], [None, None, None, plans_of(timeless)])
    assert [line.split(":")[0] for line in section.missing] == ["one", "stopped", "single", "timeless"]
    assert section.table["sweep"].tolist() == ["one", "stopped", "single", "timeless"]
    assert section.table["trainings saved"].notna().tolist() == [False, False, False, True]
    assert section.table["seconds a trial"].notna().tolist() == [True, True, True, False]
    assert [axes.get_title() for axes in section.figure.axes] == ["timeless\n9 trials"]
    assert not re.search(r"\b(nan|None)\b", section.reading)


def test_a_sweep_of_which_nothing_is_known_leaves_lines_only(study_of):
    study = study_of([[0.8]], [(0, 0)])
    study = replace(
        study,
        trials=study.trials.drop(columns="seconds"),
        sweep=replace(study.sweep, trials=study.trials.drop(columns="seconds")),
    )
    section = cost([study], [None])
    assert (section.table, section.figure, section.reading) == (None, None, "")
    assert len(section.missing) == 2
