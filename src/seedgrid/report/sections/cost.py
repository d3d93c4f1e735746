"""What the trials cost, and what stopping early would have saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from seedgrid.analysis.rounding import significant_decimals
from seedgrid.analysis.stopping import Plan
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import PLAN, REFERENCE, panel_each, score_axis, set_title
from seedgrid.report.section import Section, in_scores, lines, rows
from seedgrid.wording import count, hours, percent


@dataclass(frozen=True)
class Saving:
    """The cheapest plan that reaches what full training does.

    Attributes:
        trainings: full trainings, no more than it takes to reach their score.
        reached: expected best of them, a utility.
        plan: the cheapest plan that is expected to reach it; may be full training itself.
    """

    trainings: int
    reached: float
    plan: Plan

    @property
    def saved(self) -> float:
        """Full trainings that the plan does without."""
        return self.trainings - self.plan.cost


@dataclass(frozen=True)
class _Cost:
    """Of one sweep; None where it is not known."""

    seconds: float | None  # of a finished trial, on average
    of_evaluations: float | None  # the share of these
    total: float | None  # seconds of all recorded trials
    saving: Saving | None
    plans: Sequence[Plan]  # of the budgets 1, 2, ... in full trainings


def saving(trials: int, plans: Sequence[Plan]) -> Saving:
    """What early stopping saves on half of the trials, or on the largest budget planned for.

    Beyond half of the trials there is little left to draw from, and every expectation comes near the best score.

    Args:
        trials: that the plans were chosen on, at least two.
        plans: the best for each whole budget from 1 on.
    """
    full_training = np.array([plan.full_training for plan in plans])
    reached = full_training[min(trials // 2, len(plans)) - 1]
    # Where scores tie, fewer full trainings do as well: that is no merit of stopping early.
    rounding = 10.0 ** -significant_decimals(full_training)
    trainings = int(np.argmax(full_training >= reached - rounding)) + 1
    plan = next(plan for plan in plans if plan.reached >= reached - rounding or plan.budget >= trainings)
    return Saving(trainings, float(reached), plan)


def cost(studies: Sequence[FinishedTrials], plans: Sequence[Sequence[Plan] | None]) -> Section:
    """Seconds of the trials, what of it is evaluation, and what the plans would have saved.

    Args:
        plans: for each sweep the best plans of the budgets 1, 2, ... in full trainings, valued in utilities; None or
            empty where none can be made.
    """
    found: list[tuple[FinishedTrials, _Cost]] = []
    missing = []
    for study, of_study in zip(studies, plans, strict=True):
        seconds = _seconds(study)
        saved, why_none = None, None
        if study.selected:
            why_none = (
                "some trials were stopped early for their scores; what stopping saves can be told from whole trials "
                "only"
            )
        elif len(study.trials) == 1:
            why_none = "one trial; what stopping early saves takes several"
        elif not of_study or study.curves.shape[1] < 2:
            why_none = "one evaluation a trial, so there is nothing to stop after"
        else:
            saved = saving(len(study.trials), of_study)
        unknown = "it is not known how long its trials took" if seconds[0] is None else None
        missing += [f"{study.name}: {line}" for line in (why_none, unknown) if line]
        if saved is not None or unknown is None:
            found.append((study, _Cost(*seconds, saved, of_study if saved else ())))
    key, title = "cost", "What the trials cost, and what early stopping would have saved"
    if not found:
        return Section(key, title, missing=missing)
    drawn = [(study, costs) for study, costs in found if costs.saving]
    caption = "Seconds of finished trials; the hours in all count every recorded trial."
    if drawn:
        honest = any(plan.honest is not None for _, costs in drawn for plan in costs.plans)
        caption += (
            " Saved is what the cheapest plan of start many, stop early, continue some (Dodge et al. 2020) costs less "
            "than the full trainings whose expected best it reaches: half as many as there are trials, or the "
            "largest budget planned for. Costs are in full trainings: a trial stopped after half of its evaluations "
            "costs a half. "
        )
        caption += (
            "Plans are valued on trials that did not choose them."
            if honest
            else "The plans were chosen on these same trials and promise a little too much."
        )
    figure = panel_each(drawn, 4.2, 3.4, _draw, legend_columns=2) if drawn else None
    table = rows(found, _row).astype({name: "Int64" for name in ("full trainings", "start", "keep")})
    table, decimals = in_scores(table, studies, ["their expected best"])
    return Section(key, title, lines(found, _reading), caption, figure, table, missing, decimals)


def _seconds(study: FinishedTrials) -> tuple[float | None, float | None, float | None]:
    """Mean seconds of a finished trial, the share of it that is evaluation, and the sum over all recorded trials."""
    sweep = study.sweep
    if "seconds" not in sweep.trials or not study.trials["seconds"].notna().all():
        return None, None, None
    seconds = float(study.trials["seconds"].mean())
    of_evaluations = None
    if "seconds" in sweep.evaluations and seconds > 0:
        of_finished = sweep.evaluations.merge(study.trials[SEEDS], on=SEEDS)["seconds"]
        if of_finished.notna().all():
            of_evaluations = float(of_finished.sum() / len(study.trials) / seconds)
    return seconds, of_evaluations, float(sweep.trials["seconds"].sum())


def _row(study: FinishedTrials, costs: _Cost) -> list[dict[str, object]]:
    found = costs.saving
    return [
        {
            "trials": len(study.trials),
            "seconds a trial": costs.seconds,
            "of it evaluation": costs.of_evaluations,
            "hours in all": None if costs.total is None else costs.total / 3600,
            "full trainings": found and found.trainings,
            "their expected best": found and found.reached,
            "with early stopping": found and found.plan.cost,
            "start": found and found.plan.start,
            "stop after": found and f"{found.plan.stop_at} of {found.plan.evaluations}",
            "keep": found and found.plan.keep,
            "trainings saved": found and found.saved,
            "hours saved": found and costs.seconds and found.saved * costs.seconds / 3600,
        }
    ]


def _reading(study: FinishedTrials, costs: _Cost) -> str:
    seconds, found = costs.seconds, costs.saving
    sentences = []
    if seconds is not None:
        evaluation = "" if costs.of_evaluations is None else f", {percent(costs.of_evaluations)} of it evaluation"
        sentences.append(
            f"a trial took {hours(seconds)} on average{evaluation}; all trials together {hours(costs.total)}."
        )
    if found is not None:
        trained = (
            f"{count(found.trainings, 'full training')} {'has' if found.trainings == 1 else 'have'} an expected best "
            f"of {study.long(found.reached)}"
        )
        if found.saved > 0:
            time = "" if seconds is None else f", about {hours(found.saved * seconds)}"
            sentences.append(
                f"{trained}; starting {found.plan.start}, stopping them after {found.plan.stop_at} of "
                f"{found.plan.evaluations} evaluations and continuing {found.plan.keep} reaches as much for "
                f"{found.plan.cost:.4g}: {found.saved:.4g} full trainings less{time}."
            )
        else:
            sentences.append(f"{trained}; no plan that stops trials early reaches as much for less.")
    return " ".join(sentences)


def _draw(axes: Axes, study: FinishedTrials, costs: _Cost) -> None:
    plans, found = costs.plans, costs.saving
    axes.plot(
        [plan.budget for plan in plans],
        [study.scale.turned(plan.full_training) for plan in plans],
        color=REFERENCE,
        linestyle="--",
        marker=".",
        label="full training",
    )
    honest = any(plan.honest is not None for plan in plans)
    valued = [plan for plan in plans if plan.honest is not None or not honest]
    axes.plot(
        [plan.cost for plan in valued],
        [study.scale.turned(plan.reached) for plan in valued],
        color=PLAN,
        marker=".",
        label="start many, stop early, continue some",
    )
    if found.saved > 0:
        score = study.scale.turned(found.reached)
        axes.annotate(
            "",
            (found.plan.cost, score),
            (found.trainings, score),
            arrowprops={"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 0},
        )
        saved = f"{found.saved:.3g} of {count(found.trainings, 'full training')} saved"
        free, aligned = (0.95, "top") if study.scale.lower_is_better else (0.05, "baseline")
        axes.text(0.97, free, saved, transform=axes.transAxes, ha="right", va=aligned, fontsize=8)
    axes.set_xlabel("budget, full trainings")
    axes.xaxis.get_major_locator().set_params(integer=True)
    score_axis(axes, "y", f"expected best {study.sweep.metric}", study.scale)
    set_title(axes, study.name, len(study.trials))
    if costs.seconds:
        unit, size = ("hours", 3600) if costs.seconds * len(plans) > 5400 else ("minutes", 60)
        each = costs.seconds / size
        above = axes.secondary_xaxis("top", functions=(lambda x: x * each, lambda x: x / each))
        above.set_xlabel(unit, fontsize=8)
        above.tick_params(labelsize=8)
