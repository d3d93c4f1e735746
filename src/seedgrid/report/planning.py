"""What ``seedgrid plan`` calls with its composed config: the best use of a budget, in plain text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from pydantic import Field
from rich.console import Console

from seedgrid.analysis.stopping import Plan, best_plans, rule_of_thumb
from seedgrid.errors import InputError, plain_exit
from seedgrid.records.store import Sweep
from seedgrid.records.tidy import read_trials
from seedgrid.report.arrays import FinishedTrials, check_whole, finished_trials
from seedgrid.scale import Direction, Scale
from seedgrid.settings import Count, SettingsGroup, read_config
from seedgrid.shell import command
from seedgrid.wording import count, hours, percent

_RULE = (
    "No sweep is given, so this is a rule of thumb, after the trends in Dodge et al. (2020, Figures 6 and 7): start "
    "many more trials than you finish, stop all after 20 to 30 % of training, continue about half as many as the "
    "budget would train in full. It fits three of the paper's four tasks and says nothing about yours; with "
    "sweep=FOLDER the plan is made from your own trials."
)


class PlanSettings(SettingsGroup):
    """``plan.yaml``, which says what each of them means."""

    sweep: Annotated[str, Field(min_length=1)] | None
    metric: Annotated[str, Field(min_length=1)]
    direction: Direction | None
    budget: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    max_start: Count
    splits: Annotated[int, Field(ge=0)]
    random_seed: Annotated[int, Field(ge=0)]
    evaluations: Count


@plain_exit()
def plan(config: DictConfig) -> None:
    """Print the best plan for a budget, and those around it; exits with code 1 where there is none."""
    settings = read_config(config, PlanSettings)
    sweep = None if settings.sweep is None else read_trials(settings.sweep, settings.metric, settings.direction)
    trials = 0 if sweep is None else len(sweep.trials)
    with Console(stderr=True).status(f"valuing plans on {trials} trials") if trials else nullcontext():
        _, text = make_plan(sweep, settings)
    print(text)


def make_plan(sweep: Sweep | None, settings: PlanSettings) -> tuple[Plan, str]:
    """The best plan for a budget by a sweep's trials, or without one by a rule of thumb, and the text that says it.

    Raises:
        InputError: the trials cannot answer for the budget.
    """
    budget = settings.budget
    if sweep is None:
        budgets = budgets_around(budget)
        plans = [rule_of_thumb(each, settings.evaluations) for each in budgets]
        best = plans[budgets.index(budget)]
        return best, describe_rule(best, plans)
    study = finished_trials(sweep)
    budgets = budgets_around(budget, _most(study, budget, settings.max_start))
    found = best_plans(study.even_curves, budgets, settings.max_start, settings.splits, settings.random_seed)
    plans = [_in_scores(plan, study) for plan in found]
    best = plans[budgets.index(budget)]
    return best, describe_plan(best, plans, study, settings.max_start, settings.splits)


def _in_scores(plan: Plan, study: FinishedTrials) -> Plan:
    """A plan that is valued in utilities, as one valued in scores."""
    valued = {name: study.scale.turned(getattr(plan, name)) for name in ("expected", "full_training", "honest")}
    return replace(plan, **valued, best_possible=study.scale.turned(study.best_possible))


def budgets_around(budget: float, most: float = float("inf")) -> list[float]:
    """A budget, its half and double, and those up to two full trainings off, from 1 to ``most``; ascending."""
    around = {budget, budget // 2, 2 * budget, *(budget + away for away in (-2, -1, 1, 2))}
    return sorted(float(amount) for amount in around if 1 <= amount <= most)


def _most(study: FinishedTrials, budget: float, max_start: int) -> int:
    """The largest budget that the trials can answer for; refuses what they cannot."""
    check_whole(study, "sweep")
    folder, trials = study.sweep.folder, len(study.trials)
    most = min(trials, max_start)
    if budget > most:
        limit = (
            f"has {count(trials, 'finished trial')}" if trials <= max_start else f"may start {max_start} (max_start)"
        )
        raise InputError(
            f"{folder} {limit}, too few for a budget of {_amount(budget)}; give budget=1 to budget={most}, or leave out"
            " sweep"
        )
    return most


def describe_rule(best: Plan, plans: Sequence[Plan]) -> str:
    """The rule of thumb's plan for a budget, and for those around it."""
    return "\n".join(
        [
            textwrap.fill(_RULE, 100),
            "",
            f"A budget of {_amount(best.budget)}:",
            "",
            *_assignment(best, f"{_share(best)} of training"),
            "",
            *_command(best, best.stop_at / best.evaluations),
            "",
            "Budgets around it",
            _aligned(_table(plans)),
        ]
    )


def describe_plan(best: Plan, plans: Sequence[Plan], study: FinishedTrials, max_start: int, splits: int) -> str:
    """The best plan for a budget from a sweep's trials, what it should reach, and the budgets around it."""
    metric, scale = study.sweep.metric, study.scale
    trials = len(study.trials)
    seconds = seconds_a_trial(study)
    header = (
        f"{study.sweep.folder}: {count(trials, 'finished trial')} of {count(best.evaluations, 'evaluation')}, {metric}"
    )
    if scale.lower_is_better:
        header += " (lower is better)"
    if study.unfinished:
        header += f"; {study.unfinished} more are not finished and do not count"
    if study.sweep.read_as:
        header += f"; {study.sweep.read_as}"
    budget = f"A budget of {_amount(best.budget)}"
    if seconds is not None:
        budget += f", {hours(best.budget * seconds)} one after the other ({hours(seconds)} each)"
    epoch = study.even_epochs[best.stop_at - 1]
    share = best.stop_at / best.evaluations
    where = f"{_share(best)} of training"
    if not np.isnan(epoch):
        share = epoch / study.even_epochs[-1]
        where += f", epoch {epoch:.2f}"
    reach = [
        ("this plan", best.expected, "on the trials that it was chosen on: too hopeful"),
        (
            "such a plan",
            best.honest,
            f"chosen on half of the trials, valued on the other half; mean of {splits} splits",
        ),
        (f"{int(best.budget)} full trainings", best.full_training, "nothing stopped early"),
    ]
    width = max(len(name) for name, *_ in reach)
    return "\n".join(
        [
            header,
            "",
            f"{budget}:",
            "",
            *_assignment(best, where),
            "",
            f"Expected best {metric}",
            *(f"  {name:{width}}  {scale.written(value)}  {why}" for name, value, why in reach if value is not None),
            "",
            *(textwrap.fill(remark, 100) + "\n" for remark in _remarks(best, scale, trials, max_start, splits)),
            *_command(best, share),
            "",
            f"Budgets around it, expected best {metric}" + (" (such a plan: as above)" if best.honest else ""),
            _aligned(_table(plans, seconds, scale)),
        ]
    )


def seconds_a_trial(study: FinishedTrials) -> float | None:
    """Mean seconds of a trial that ran to its end; None where that is not known."""
    seconds = study.trials.loc[study.trials["status"] == "completed", "seconds"].mean()
    return None if np.isnan(seconds) else float(seconds)


def _assignment(plan: Plan, where: str) -> list[str]:
    if plan.in_full:
        return [f"  train {count(plan.start)} in full", *_unspent(plan)]
    return [
        f"  start    {count(plan.start)}",
        f"  stop at  evaluation {plan.stop_at} of {plan.evaluations} ({where})",
        f"  keep     the best {plan.keep} so far, to the end",
        *_unspent(plan),
    ]


def _command(plan: Plan, share: float) -> list[str]:
    """The command that carries a plan out; ``share`` of training is done at the evaluation where trials stop."""
    line = f"  {command('train')} -m ... seed=paired seed.init='range(0,{plan.start})'"
    if not plan.in_full:
        # The sweeper stops at the first evaluation from there on: rounded down, it cannot be the next one.
        stop_at = math.floor(share * 10_000) / 10_000
        line += (
            f" \\\n      hydra/sweeper=start_many hydra.sweeper.start={plan.start} hydra.sweeper.stop_at={stop_at:g}"
            f" hydra.sweeper.keep={plan.keep}"
        )
    return ["To do it, with your task, model, recipe and a new sweep folder in place of the dots:", "", line]


def _unspent(plan: Plan) -> list[str]:
    return [] if plan.cost == plan.budget else [f"  costs    {plan.cost:.2f}; nothing of the kind spends more of it"]


def _remarks(best: Plan, scale: Scale, trials: int, max_start: int, splits: int) -> list[str]:
    """What a reader must know before trusting the plan."""
    remarks = []
    if best.in_full:
        remarks.append("On these trials no early stopping beats full training at this budget.")
    elif best.honest is not None and scale.turned(best.honest) <= scale.turned(best.full_training):
        remarks.append(
            "On trials that did not choose it such a plan does no better than full training, so these trials do not"
            f" show that stopping early pays. (The halves have {trials // 2} trials: this value errs"
            f" {scale.plugin_word}.)"
        )
    if best.honest is None and splits:
        remarks.append(
            f"No honest value: halves of {trials // 2} trials are too few for this budget. Take the plan's for a"
            f" {'floor' if scale.lower_is_better else 'ceiling'}."
        )
    if best.start == trials:
        remarks.append(
            f"The plan starts all {trials} trials that the sweep has, the most it can value: a larger sweep might show"
            " a better one."
        )
    elif best.start == max_start:
        remarks.append(f"The plan starts as many trials as max_start={max_start} allows; more might be better.")
    return remarks


def _table(plans: Sequence[Plan], seconds: float | None = None, scale: Scale | None = None) -> pd.DataFrame:
    """A row per budget, as text; columns that are empty everywhere are left out."""
    rows = []
    for each in plans:
        rows.append(
            {
                "budget": f"{each.budget:g}",
                "start": str(each.start),
                "stop at": f"{each.stop_at} of {each.evaluations}",
                "keep": str(each.keep),
                "cost": f"{each.cost:.4g}",
                "time": None if seconds is None else hours(each.cost * seconds),
                "this plan": _score(each.expected, scale),
                "such a plan": _score(each.honest, scale),
                "full training": _score(each.full_training, scale),
            }
        )
    return pd.DataFrame(rows).dropna(axis="columns", how="all").fillna("-")


def _aligned(table: pd.DataFrame) -> str:
    return table.to_string(index=False, col_space={name: len(name) + 2 for name in table})


def _score(value: float | None, scale: Scale | None) -> str | None:
    return None if value is None or scale is None else scale.written(value)


def _share(plan: Plan) -> str:
    return percent(plan.stop_at / plan.evaluations)


def _amount(budget: float) -> str:
    return count(int(budget), "full training") if budget == int(budget) else f"{budget:g} full trainings"
