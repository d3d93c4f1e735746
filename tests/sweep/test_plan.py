"""From options to a plan, and what is refused on the way, each in one line."""

import json

import numpy as np
import pandas as pd
import pytest

from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.stopping import best_plan
from seedgrid.errors import InputError
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.records.store import trial_name
from seedgrid.seeds import Seeds
from seedgrid.settings import steps_per_epoch
from seedgrid.sweep.expand import PlannedSweep
from seedgrid.sweep.plan import check_choices, make_plan, read_options
from seedgrid.trials.preparation import prepare

NOTHING = {
    **dict.fromkeys(("start", "stop_at", "keep", "rungs", "budget", "plan_from")),
    "extend": 0,
    "draw": "spread",
    "draw_seed": 0,
    "resume_by": "checkpoint",
}
PLAIN = {"start": 4, "stop_at": 0.5, "keep": 2}
# 45 steps an epoch, validated after each in the first epoch and ten times in the others.
UNEVEN = ["evaluation=dodge2020", "recipe.batch_size=2", "recipe.epochs=3"]
GRID = tuple(Seeds(init=init, order=order) for init in range(4) for order in range(4))


@pytest.fixture(scope="module")
def planned(tiny, settings_of, tmp_path_factory):
    """The plan for options given by name, on a trial of 18 steps that is evaluated after every second."""
    settings = settings_of([*tiny, f"sweep={tmp_path_factory.mktemp('planned') / 'sweep'}"])
    prepared = prepare(settings)

    def plan(choices=GRID, **values):
        options = read_options(NOTHING | values)
        check_choices(options, choices)
        return make_plan(options, PlannedSweep(settings, (), choices), prepared)

    return plan


def rungs(plan):
    return [(rung.step, rung.keep) for rung in plan.rungs]


@pytest.mark.parametrize(("stop_at", "step"), [(1 / 9, 2), (0.12, 4), (0.25, 6), (0.5, 10), (8 / 9, 16)])
def test_trials_stop_at_the_first_evaluation_at_or_after_the_fraction(planned, stop_at, step):
    assert rungs(planned(start=4, stop_at=stop_at, keep=2)) == [(step, 2)]


def test_one_rung_is_the_case_of_several(planned):
    assert rungs(planned(**PLAIN)) == rungs(planned(start=4, rungs=[{"at": 0.5, "keep": 2}]))
    halving = planned(start=16, rungs=[{"at": 0.2, "keep": 8}, {"at": 0.5, "keep": 3}])
    assert rungs(halving) == [(4, 8), (10, 3)]


def test_all_pairs_are_started_if_asked(planned):
    assert len(set(planned(draw="full", stop_at=0.5, keep=2).trials)) == 16


@pytest.mark.parametrize("draw", ["spread", "random"])
def test_the_draw_seed_decides_which_are_started(planned, draw):
    assert planned(**PLAIN, draw=draw).trials == planned(**PLAIN, draw=draw).trials
    assert planned(**PLAIN, draw=draw).trials != planned(**PLAIN, draw=draw, draw_seed=1).trials


def test_a_budget_is_spent_as_the_rule_of_thumb_says_and_never_exceeded(planned):
    for budget in (2, 2.5, 3, 4, 5):
        plan = planned(budget=budget)
        [(step, keep)] = rungs(plan)
        assert keep in (budget // 2, -(-budget // 2))
        assert 0.2 <= step / 18 <= 0.3
        assert budget - step / 18 < (len(plan.trials) * step + keep * (18 - step)) / 18 <= budget


def test_with_a_budget_pairs_started_later_are_taken_from_those_started_first(planned):
    assert len(planned(budget=4, extend=3).trials) == len(planned(budget=4).trials) - 3


def earlier_sweep(folder, curves, metric="accuracy", status="completed", epochs=None, **evaluation):
    """Records by hand: a trial a row, evaluated at its columns."""
    for init, scores in enumerate(curves):
        trial = folder / trial_name(Seeds(init=init))
        trial.mkdir(parents=True)
        steps = np.arange(1, len(scores) + 1)
        epoch = steps / 3 if epochs is None else epochs
        pd.DataFrame({"step": steps, "epoch": epoch, "loss": 0.5, "score": scores}).to_parquet(
            trial / "evaluations.parquet", index=False
        )
        pd.DataFrame({"step": steps, "loss": 0.5, "learning_rate": 0.0}).to_parquet(trial / "train_loss.parquet")
        record = {
            "record_version": 1,
            "status": status,
            "steps": len(scores),
            "seconds": 1.0,
            "error": None,
            "diverged_at": 0.5,
            "config": {"task": {"name": "grammar", "metric": metric}, "evaluation": evaluation},
            "identity": {"data.validation": ""},
            "versions": {},
            "train_examples": 10,
            "validation_examples": 10,
        }
        (trial / "trial.json").write_text(json.dumps(record))
    return str(folder)


@pytest.mark.parametrize("evaluations", [9, 30])
def test_a_budget_is_spent_as_is_best_by_an_earlier_sweep_of_full_trainings(planned, tmp_path, evaluations):
    # After a third of training the order of the trials is that of their ends, before there is none.
    ends = np.linspace(0.6, 0.9, 16)
    curves = np.where(np.arange(1, evaluations + 1) >= evaluations / 3, ends[:, None], 0.5)
    wanted = best_plan(curves, 4, max_start=16)
    assert (wanted.start, wanted.stop_at, wanted.keep) == (10, evaluations // 3, 1)
    plan = planned(budget=4, plan_from=earlier_sweep(tmp_path / "earlier", curves))
    assert (len(plan.trials), rungs(plan)) == (10, [(6, 1)])
    assert plan.expected.best_of == pytest.approx(expected_max(ends)[:4])


def test_a_plan_that_stops_before_the_first_evaluation_is_refused_rather_than_made_dearer(planned, tmp_path):
    ends = np.linspace(0.6, 0.9, 16)
    early = earlier_sweep(tmp_path / "early", np.tile(ends[:, None], 36))  # their first evaluation says it all
    with pytest.raises(InputError) as refused:
        planned(budget=1.25, plan_from=early)
    assert (
        "after 2.8 % of training, and all to the first evaluation, step 2 of 18, costs more; raise evaluation.per_epoch"
        in str(refused.value)
    )


@pytest.mark.parametrize("budget", [2, 3, 4, 5])
@pytest.mark.parametrize("words", [[], ["evaluation.per_epoch=1.7"], UNEVEN])
def test_a_budget_is_spent_as_far_as_the_schedule_allows(tiny, settings_of, tmp_path, budget, words):
    settings = settings_of([*tiny, *words, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    made = make_plan(read_options(NOTHING | {"budget": budget}), PlannedSweep(settings, (), GRID), prepared)
    (rung,), start = made.rungs, len(made.trials)

    def overspends(step):
        return start * step + rung.keep * (made.steps - step) > budget * made.steps + (start - rung.keep) / 2

    an_epoch = steps_per_epoch(prepared.train_examples, settings.recipe.batch_size)
    later = next(step for step in schedule_of(settings.evaluation, made.steps, an_epoch) if step > rung.step)
    assert not overspends(rung.step)
    assert later == made.steps or overspends(later)


def test_a_plan_made_on_an_uneven_schedule_is_carried_out_on_it(tiny, settings_of, tmp_path):
    settings = settings_of([*tiny, *UNEVEN, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    steps = np.array(schedule_of(settings.evaluation, prepared.steps, 45)[1:])
    assert (prepared.steps, steps[44], len(steps)) == (135, 45, 68)
    # After a third of training the order of the trials is that of their ends, before there is none.
    ends = np.linspace(0.6, 0.9, 16)
    curves = np.where(steps >= 45, ends[:, None], 0.5)
    earlier = earlier_sweep(tmp_path / "earlier", curves, epochs=steps / 45, per_epoch=10)
    options = read_options(NOTHING | {"budget": 4, "plan_from": earlier})
    made = make_plan(options, PlannedSweep(settings, (), GRID), prepared)
    assert (len(made.trials), rungs(made)) == (10, [(45, 1)])


def test_an_earlier_sweep_must_be_of_full_trainings_with_the_same_score(planned, tmp_path):
    curves = np.linspace(0.5, 0.9, 12).reshape(4, 3)
    other = earlier_sweep(tmp_path / "other", curves, metric="mcc")
    with pytest.raises(
        InputError, match=r"plan_from=.*other: its score is mcc, this task's accuracy; name a sweep with"
    ):
        planned(budget=2, plan_from=other)
    stopped = earlier_sweep(tmp_path / "stopped", curves)
    record = tmp_path / "stopped" / trial_name(Seeds()) / "trial.json"
    record.write_text(record.read_text().replace("completed", "stopped"))
    with pytest.raises(InputError, match=r"plan_from=.*stopped: trials were stopped there; name a sweep of full"):
        planned(budget=2, plan_from=stopped)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (PLAIN | {"keep": 5}, "hydra.sweeper.keep=5: start is 4; keep at most that"),
        (PLAIN | {"keep": 0}, "hydra.sweeper.keep=0: input should be greater than or equal to 1"),
        (PLAIN | {"keep": 2.5}, "hydra.sweeper.keep=2.5: input should be a valid integer"),
        (PLAIN | {"start": 17}, "hydra.sweeper.start=17: there are 16 pairs of seeds; start at most these"),
        (PLAIN | {"start": "all"}, "hydra.sweeper.start=all: input should be a valid integer"),
        (PLAIN | {"stop_at": 1}, "hydra.sweeper.stop_at=1: input should be less than 1"),
        (PLAIN | {"stop_at": 0.0}, "hydra.sweeper.stop_at=0.0: input should be greater than 0"),
        (PLAIN | {"stop_at": "half"}, "hydra.sweeper.stop_at=half: input should be a valid number"),
        (PLAIN | {"stop_at": 0.95}, "hydra.sweeper.stop_at=0.95: the first evaluation from there on is the last one"),
        (PLAIN | {"keep": None}, "hydra.sweeper.keep has no value: give start, stop_at, keep, or hydra.sweeper.budget"),
        (PLAIN | {"start": None}, "hydra.sweeper.start has no value: give start, stop_at, keep, or"),
        ({}, "hydra.sweeper.start has no value: give start, stop_at, keep, or hydra.sweeper.budget=FULL_TRAININGS"),
        (PLAIN | {"draw": "latin"}, "hydra.sweeper.draw=latin: input should be 'spread', 'random' or 'full'"),
        (PLAIN | {"draw": "full"}, "hydra.sweeper.start=4: draw=full starts all 16 pairs; leave one of them out"),
        (PLAIN | {"draw_seed": -1}, "hydra.sweeper.draw_seed=-1: input should be greater than or equal to 0"),
        (PLAIN | {"resume_by": "luck"}, "hydra.sweeper.resume_by=luck: input should be 'checkpoint' or 'retrain'"),
        (PLAIN | {"rungs": [{"at": 0.5, "keep": 2}]}, "hydra.sweeper.stop_at=0.5: the rungs say it already"),
        ({"start": 4, "rungs": []}, "hydra.sweeper.rungs=[]: list should have at least 1 item"),
        (
            {"start": 4, "rungs": [{"at": 0.5, "keep": 3}, {"at": 0.3, "keep": 2}]},
            "hydra.sweeper.rungs.1.at=0.3: the rung before is at 0.5; give rungs in rising order",
        ),
        (
            {"start": 4, "rungs": [{"at": 0.2, "keep": 2}, {"at": 0.5, "keep": 3}]},
            "hydra.sweeper.rungs.1.keep=3: the rung before keeps 2; keep at most that",
        ),
        (
            {"start": 4, "rungs": [{"at": 0.12, "keep": 3}, {"at": 0.2, "keep": 2}]},
            "hydra.sweeper.rungs.1.at=0.2: the first evaluation from there on is that of the rung before, at step 4",
        ),
        (
            {"start": 4, "rungs": [{"at": 0.5}]},
            "hydra.sweeper.rungs.0: {'at': 0.5} is no rung; write each as {at: 0.3,",
        ),
        ({"start": 4, "rungs": [{"at": 2, "keep": 1}]}, "hydra.sweeper.rungs.0.at=2: input should be less than 1"),
        ({"budget": 3, "keep": 2}, "hydra.sweeper.keep=2: budget=3 chooses it; give only one"),
        (
            {"budget": 3, "draw": "full"},
            "hydra.sweeper.draw=full starts every pair; with budget=3 use spread or random",
        ),
        ({"budget": -1}, "hydra.sweeper.budget=-1: input should be greater than 0"),
        ({"budget": 0.5}, "hydra.sweeper.budget=0.5: give at least 1 full training"),
        (
            {"budget": 1},
            "hydra.sweeper.budget=1: by the rule of thumb it is best spent on training 1 from start to end;",
        ),
        ({"budget": 30}, "hydra.sweeper.budget=30: by the rule of thumb it starts 82 trials, and there are 16 pairs"),
        ({"budget": 3, "plan_from": "nowhere"}, "hydra.sweeper.plan_from=nowhere: sweep=nowhere: no such folder"),
        (
            PLAIN | {"start": 15, "extend": 2},
            "hydra.sweeper.extend=2: besides the 15 that start, 1 of 16 pairs of seeds are left",
        ),
        (
            {"draw": "full", "stop_at": 0.5, "keep": 2, "extend": 1},
            "hydra.sweeper.extend=1: besides the 16 that start, 0 of 16 pairs of seeds are left",
        ),
        ({"draw": "full", "stop_at": 0.5, "keep": 17}, "hydra.sweeper.keep=17: there are 16 pairs of seeds; keep at"),
        (
            {"budget": 3, "resume_by": "retrain"},
            "hydra.sweeper.resume_by=retrain: a budget counts on checkpoints; give",
        ),
        (
            {"budget": 2, "extend": 9},
            "hydra.sweeper.extend=9: a budget of 2 starts 5 trials in all; give less than that",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(planned, values, expected):
    with pytest.raises(InputError) as refused:
        planned(**values)
    assert str(refused.value).startswith(expected)
    assert len(str(refused.value).splitlines()) == 1


def test_a_plan_stays_decided_however_the_earlier_sweep_is_named_and_wherever_it_was_moved(
    tiny, settings_of, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = settings_of([*tiny, "sweep=sweep"])
    prepared = prepare(settings)
    ends = np.linspace(0.6, 0.9, 16)
    for name in ("earlier", "other"):
        earlier_sweep(tmp_path / name, np.where(np.arange(1, 10) >= 3, ends[:, None], 0.5))

    def plan(plan_from):
        options = read_options(NOTHING | {"budget": 4, "plan_from": plan_from})
        return make_plan(options, PlannedSweep(settings, (), GRID), prepared)

    decided = plan("earlier")
    decided.write(tmp_path / "sweep")
    for name in ("earlier/", "./earlier", str(tmp_path / "earlier")):
        assert plan(name) == decided
    for name in ("other", None):
        with pytest.raises(InputError, match=f"plan_from={name}: sweep was begun with earlier; choose another"):
            plan(name)
    (tmp_path / "earlier").rename(tmp_path / "moved")
    assert plan("moved") == decided == plan("earlier")


def test_only_a_grid_can_be_extended(planned):
    pairs = tuple(Seeds(init=number, order=number) for number in range(6))
    assert len(planned(pairs, **PLAIN).trials) == 4
    with pytest.raises(InputError, match=r"hydra\.sweeper\.extend=1: the choices of seeds are no grid"):
        planned(pairs, **PLAIN, extend=1)
