"""What the trials cost, and what stopping early would have saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seedgrid.analysis.stopping import Plan
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import PLAN, REFERENCE, panels, score_axis, set_title, shared_legend
from seedgrid.report.section import Section
from seedgrid.report.wording import count, hours, percent

_ROUNDING = 1e-12  # of scores


@dataclass(frozen=True)
class Saving:
    """The cheapest plan that reaches what full training does.

    Attributes:
        trainings: full trainings, no more than it takes to reach their score.
        score: expected best of them.
        plan: the cheapest plan that is expected to reach it; may be full training itself.
    """

    trainings: int
    score: float
    plan: Plan

    @property
    def saved(self) -> float:
        """Full trainings that the plan does without."""
        return self.trainings - self.plan.cost


def saving(trials: int, plans: Sequence[Plan]) -> Saving:
    """What early stopping saves on half of the trials, or on the largest budget planned for.

    Beyond half of the trials there is little left to draw from, and every expectation comes near the best score.

    Args:
        trials: that the plans were chosen on, at least two.
        plans: the best for each whole budget from 1 on.
    """
    full_training = np.array([plan.full_training for plan in plans])
    score = full_training[min(trials // 2, len(plans)) - 1]
    # Where scores tie, fewer full trainings do as well: that is no merit of stopping early.
    trainings = int(np.argmax(full_training >= score - _ROUNDING)) + 1
    plan = next(plan for plan in plans if _reached(plan) >= score - _ROUNDING or plan.budget >= trainings)
    return Saving(trainings, float(score), plan)


def cost(studies: Sequence[FinishedTrials], plans: Sequence[Sequence[Plan] | None]) -> Section:
    """Seconds of the trials, what of it is evaluation, and what the plans would have saved.

    Args:
        studies: of each sweep, its finished trials.
        plans: for each of them the best plans of the budgets 1, 2, ... in full trainings; None or empty where none
            can be made.
    """
    rows, readings, missing = [], [], []
    drawn: list[tuple[FinishedTrials, Sequence[Plan], Saving]] = []
    for study, of_study in zip(studies, plans, strict=True):
        seconds, of_evaluations, total = _seconds(study)
        found = None
        if study.selected:
            missing.append(
                f"{study.name}: some trials were stopped early for their scores; what stopping saves can be told from "
                "whole trials only"
            )
        elif len(study.trials) == 1:
            missing.append(f"{study.name}: one trial; what stopping early saves takes several")
        elif not of_study or study.curves.shape[1] < 2:
            missing.append(f"{study.name}: one evaluation a trial, so there is nothing to stop after")
        else:
            found = saving(len(study.trials), of_study)
            drawn.append((study, of_study, found))
        if seconds is None:
            missing.append(f"{study.name}: it is not known how long its trials took")
            if found is None:
                continue
        rows.append(
            {
                "sweep": study.name,
                "trials": len(study.trials),
                "seconds a trial": seconds,
                "of it evaluation": of_evaluations,
                "hours in all": None if total is None else total / 3600,
                "full trainings": found and found.trainings,
                "their expected best": found and found.score,
                "with early stopping": found and found.plan.cost,
                "start": found and found.plan.start,
                "stop after": found and f"{found.plan.stop_at} of {found.plan.evaluations}",
                "keep": found and found.plan.keep,
                "trainings saved": found and found.saved,
                "hours saved": found and seconds and found.saved * seconds / 3600,
            }
        )
        readings.append(_reading(study, seconds, of_evaluations, total, found))
    whole = {name: "Int64" for name in ("full trainings", "start", "keep")}
    honest = any(plan.honest is not None for _, of_study, _ in drawn for plan in of_study)
    caption = "Seconds of finished trials; the hours in all count every recorded trial."
    if drawn:
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
    return Section(
        key="cost",
        title="What the trials cost, and what early stopping would have saved",
        reading="\n".join(readings),
        caption=caption if rows else "",
        figure=_draw(drawn) if drawn else None,
        table=pd.DataFrame(rows).astype(whole) if rows else None,
        missing=tuple(missing),
    )


def _reached(plan: Plan) -> float:
    return plan.expected if plan.honest is None else plan.honest


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


def _reading(
    study: FinishedTrials,
    seconds: float | None,
    of_evaluations: float | None,
    total: float | None,
    found: Saving | None,
) -> str:
    sentences = []
    if seconds is not None:
        evaluation = "" if of_evaluations is None else f", {percent(of_evaluations)} of it evaluation"
        sentences.append(f"a trial took {hours(seconds)} on average{evaluation}; all trials together {hours(total)}.")
    if found is not None:
        trained = (
            f"{count(found.trainings, 'full training')} {'has' if found.trainings == 1 else 'have'} an expected best "
            f"of {found.score:.4f}"
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
    return f"{study.name}: {' '.join(sentences)}"


def _draw(drawn: list[tuple[FinishedTrials, Sequence[Plan], Saving]]) -> Figure:
    figure, axes = panels(len(drawn), 4.2, 3.4)
    for panel, (study, plans, found) in zip(axes, drawn, strict=True):
        panel.plot(
            [plan.budget for plan in plans],
            [plan.full_training for plan in plans],
            color=REFERENCE,
            linestyle="--",
            marker=".",
            label="full training",
        )
        honest = any(plan.honest is not None for plan in plans)
        valued = [plan for plan in plans if plan.honest is not None or not honest]
        panel.plot(
            [plan.cost for plan in valued],
            [_reached(plan) for plan in valued],
            color=PLAN,
            marker=".",
            label="start many, stop early, continue some",
        )
        if found.saved > 0:
            panel.annotate(
                "",
                (found.plan.cost, found.score),
                (found.trainings, found.score),
                arrowprops={"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 0},
            )
            panel.text(
                0.97,
                0.05,
                f"{found.saved:.3g} of {count(found.trainings, 'full training')} saved",
                transform=panel.transAxes,
                ha="right",
                fontsize=8,
            )
        panel.set_xlabel("budget, full trainings")
        panel.xaxis.get_major_locator().set_params(integer=True)
        score_axis(panel, "y", f"expected best {study.sweep.metric}", study.bounds)
        set_title(panel, study.name, len(study.trials))
        seconds = _seconds(study)[0]
        if seconds:
            unit, size = ("hours", 3600) if seconds * len(plans) > 5400 else ("minutes", 60)
            above = panel.secondary_xaxis(
                "top", functions=(lambda x, s=seconds / size: x * s, lambda x, s=seconds / size: x / s)
            )
            above.set_xlabel(unit, fontsize=8)
            above.tick_params(labelsize=8)
    shared_legend(figure, columns=2)
    return figure
