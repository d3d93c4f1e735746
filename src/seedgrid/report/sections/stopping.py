"""The paper's Figures 6 and 7: start many trials, stop early, continue some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seedgrid.analysis.stopping import Plan, best_plans
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import PLAN, REFERENCE, count_axis, panels, score_axis, set_title, shared_legend
from seedgrid.report.section import Section, in_scores, lines, of_each
from seedgrid.report.sections.available import check_sample
from seedgrid.scale import shared_word
from seedgrid.wording import count, listed, percent

MOST_BUDGET, MOST_STARTED = 30, 200  # the paper's
# Time grows with the square of the number of different scores.
_MOST_SCORES = 700
# With very many trials the halves agree, and one halving says what many would.
_TRIALS_OF_ALL_SPLITS = 2_500


@dataclass(frozen=True)
class _Stopping:
    """Best assignments of one sweep, one for each budget of 1, 2, … full trainings, valued in utilities."""

    plans: list[Plan]
    splits: int
    remarks: list[str]


def early_stopping(
    studies: Sequence[FinishedTrials], splits: int = 10, seed: int = 0
) -> tuple[Section, Section, list[list[Plan] | None]]:
    """The paper's Figures 6 and 7, from one computation.

    Returns:
        The two sections, and for each sweep the best plans of the budgets 1, 2, ..., valued in utilities; None where
        there are none.
    """
    found, missing = of_each(studies, lambda study: _best_plans(study, splits, seed))
    missing += [f"{study.name}: {line}" for study, result in found for line in result.remarks]
    first, second = ("figure-6", "Start many, stop early, continue some"), ("figure-7", "What stopping early gains")
    if not found:
        return Section(*first, missing=missing), Section(*second, missing=missing), [None] * len(studies)
    table = pd.concat([_table(study, result) for study, result in found], ignore_index=True)
    table, decimals = in_scores(table, studies, ["full training", "plan", "plan, honest"])
    scales = [study.scale for study, _ in found]
    highest = shared_word(scales, "best_word", "best")
    shares = all(scale.high == 1 and not scale.lower_is_better for scale in scales)
    error = "1 - score" if shares else "its distance from the best score there can be"
    numbers = sorted({result.splits for _, result in found}, reverse=True)
    rules = (
        "Plans start many trials, stop all after some evaluations, and continue the best so far to the end "
        f"(Dodge et al. 2020); at most {MOST_STARTED} are started. Values are exact expectations over trials drawn "
        "without replacement, so no more trials can be started than were run: with few trials the best plan may be "
        "one that these cannot show."
    )
    of_plans = ["start", "stop at", "of evaluations", "keep", "cost"]
    return (
        Section(
            *first,
            lines(found, _read_plan),
            f"For each budget, in full trainings, the plan with the {highest} expected score (Figure 6). {rules} Where "
            "the plan keeps all that it starts, or stops at 100 %, it is full training.",
            _draw(found, (_draw_counts, _draw_share)),
            table[["sweep", "budget", *of_plans]],
            missing,
        ),
        Section(
            *second,
            lines(found, _read_gain),
            "Expected score of the best plan against fully training as many trials as the budget pays for, and the "
            f"share of full training's error ({error}) that it removes (Figure 7). {rules} The plan chosen among "
            "thousands on the same trials promises too much; the honest value is that of a plan chosen on one half of "
            f"the trials and read on the other, averaged over {listed(list(map(str, numbers)))} random halvings, both "
            "ways round.",
            _draw(found, (_draw_scores, _draw_error)),
            table.drop(columns=of_plans),
            missing,
            decimals,
        ),
        [next((result.plans for of, result in found if of is study), None) for study in studies],
    )


def _best_plans(study: FinishedTrials, splits: int, seed: int) -> _Stopping:
    check_sample(study)
    curves, remarks = study.even_curves, []
    if curves.shape[1] < 2:
        raise ValueError("one evaluation a trial leaves nothing to stop by")
    if len(np.unique(np.fmax.reduce(curves, axis=1))) > _MOST_SCORES:
        places = max(0, study.scale.decimals - 1)
        curves = curves.round(places)
        remarks.append(f"scores rounded to {places} decimals, as there are more than {_MOST_SCORES} different")
    trials = len(curves)
    enough = max(1, min(splits, _TRIALS_OF_ALL_SPLITS // trials))
    budgets = range(1, min(MOST_BUDGET, trials) + 1)
    if study.best_possible is None:
        above = not study.scale.lower_is_better and study.utilities.max() > 1
        which = "scores above 1 have" if above else "without a limit of the scores, there is"
        remarks.append(f"{which} no error that could be removed")
    if trials // 2 < budgets[-1]:
        remarks.append(f"no honest value for more than {count(trials // 2, 'full training')}: half of its trials")
    return _Stopping(best_plans(curves, budgets, MOST_STARTED, enough, seed), enough, remarks)


def _table(study: FinishedTrials, result: _Stopping) -> pd.DataFrame:
    titles = {
        **{name: name.replace("_", " ") for name in ("budget", "start", "stop_at")},
        "evaluations": "of evaluations",
        **{name: name.replace("_", " ") for name in ("keep", "cost", "full_training")},
        "expected": "plan",
        "honest": "plan, honest",
    }
    table = pd.DataFrame(result.plans)[list(titles)].rename(columns=titles)
    table = table.astype({"budget": int, **dict.fromkeys(("full training", "plan", "plan, honest"), float)})
    for name in ("plan", "plan, honest"):
        error = (np.nan if study.best_possible is None else study.best_possible) - table["full training"]
        # Without an error left there is none to remove; rounding leaves an exact 0 where the plan is full training.
        removed = (table[name] - table["full training"]) / error.where(error > 0)
        table[f"error removed, {name}"] = removed.round(6) + 0.0
    table.insert(0, "sweep", study.name)
    return table


def _draw(found: list[tuple[FinishedTrials, _Stopping]], kinds: Sequence[Callable]) -> Figure:
    """Two panels a sweep, one above the other; three sweeps beside each other."""
    per_row = min(2 if len(found) == 4 else 3, len(found))
    blocks = [found[start : start + per_row] for start in range(0, len(found), per_row)]
    figure, every = panels(2 * per_row * len(blocks), 4.4 if per_row < 3 else 3.6, 2.4, per_row)
    for block, group in enumerate(blocks):
        for row, draw in enumerate(kinds):
            for column in range(per_row):
                axes = every[(2 * block + row) * per_row + column]
                if column >= len(group):
                    axes.remove()
                    continue
                study, result = group[column]
                draw(axes, study, result)
                axes.set_xlim(0, max(len(result.plans) + 1, 3))
                axes.xaxis.get_major_locator().set_params(integer=True)
                if row == 0:
                    set_title(axes, study.name, len(study.trials))
                else:
                    axes.set_xlabel("budget, full trainings")
    shared_legend(figure)
    return figure


def _draw_counts(axes: Axes, study: FinishedTrials, result: _Stopping) -> None:
    budgets = [plan.budget for plan in result.plans]
    axes.plot(budgets, [plan.start for plan in result.plans], "^-", color=PLAN, markersize=5, lw=0.8, label="started")
    axes.plot(
        budgets,
        [plan.keep for plan in result.plans],
        "s-",
        color=PLAN,
        markerfacecolor="white",
        markersize=3,
        lw=0.8,
        label="continued",
    )
    axes.plot(budgets, budgets, color=REFERENCE, linewidth=1, linestyle="--", label="full training")
    count_axis(axes, "y", max(plan.start for plan in result.plans))
    axes.set_ylabel("trials")


def _draw_share(axes: Axes, study: FinishedTrials, result: _Stopping) -> None:
    budgets = [plan.budget for plan in result.plans]
    shares = [100 * plan.stop_at / plan.evaluations for plan in result.plans]
    axes.plot(budgets, shares, "o-", color=PLAN, markersize=3, lw=0.8, label="stopped after")
    axes.set_ylim(0, 105)
    axes.set_ylabel("stopped after,\n% of training")


def _draw_scores(axes: Axes, study: FinishedTrials, result: _Stopping) -> None:
    table, _ = in_scores(_table(study, result), [study], ["full training", "plan", "plan, honest"])
    axes.plot(table["budget"], table["full training"], color=REFERENCE, linestyle="--", lw=1.2, label="full training")
    axes.plot(
        table["budget"], table["plan"], color=PLAN, linestyle=":", lw=1.2, label="plan, on the trials that chose it"
    )
    axes.plot(table["budget"], table["plan, honest"], color=PLAN, lw=1.5, marker=".", label="plan, honest")
    score_axis(axes, "y", f"expected best\n{study.sweep.metric}", study.scale)


def _draw_error(axes: Axes, study: FinishedTrials, result: _Stopping) -> None:
    table = _table(study, result)
    axes.plot(table["budget"], 100 * table["error removed, plan"], color=PLAN, linestyle=":", lw=1.2)
    axes.plot(table["budget"], 100 * table["error removed, plan, honest"], color=PLAN, lw=1.5, marker=".")
    axes.axhline(0, color=REFERENCE, linestyle="--", linewidth=1.2)
    axes.set_ylabel("error removed, %")
    if table["error removed, plan"].isna().all():
        axes.text(0.5, 0.7, "not available", transform=axes.transAxes, ha="center", fontsize=8)
        axes.set_yticks([])


def _middle(study: FinishedTrials) -> int:
    """A budget to speak of: 10 full trainings, or half of the trials where they are few."""
    return max(1, min(10, len(study.trials) // 2))


def _read_plan(study: FinishedTrials, result: _Stopping) -> str:
    budget = _middle(study)
    plan = result.plans[budget - 1]
    name = f"for {count(budget, 'full training')}"
    if plan.in_full:
        return f"{name}, training {count(plan.start)} in full is best."
    return (
        f"{name}, start {plan.start}, stop after {plan.stop_at} of {plan.evaluations} evaluations "
        f"({percent(plan.stop_at / plan.evaluations)} of training) and continue {plan.keep}."
    )


def _read_gain(study: FinishedTrials, result: _Stopping) -> str:
    budget = _middle(study)
    plan = result.plans[budget - 1]
    name = f"a budget of {count(budget, 'full training')}"
    in_full = study.short(plan.full_training)
    if study.utilities.max() == study.utilities.min():
        return f"{name} finds {in_full} however it is spent, as all trials do."
    if plan.in_full:
        more = "better" if study.scale.lower_is_better else "more"
        return f"{name} is expected to find {in_full} in full, and no plan that stops early finds {more}."
    text = f"{name} is expected to find {in_full} in full and {study.short(plan.expected)} by the best plan"
    if plan.honest is None:
        return text + "; with so few trials nothing can be said of how much of this is real."
    gain = plan.honest - plan.full_training
    honest = f"{text}; chosen and read on different trials the plan finds {study.short(plan.honest)}"
    if gain < 0.5 * 10.0 ** -(study.scale.decimals - 1):  # which a reading shows as none
        return f"{honest}, which is no gain."
    highest = study.best_possible
    removed = "" if highest is None else f", {percent(gain / (highest - plan.full_training))} of the error"
    return f"{honest}, a gain of {study.scale.written(gain, fewer=1)}{removed}."
