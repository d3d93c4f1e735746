"""How far trials agree on single examples, and what they are worth together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from seedgrid.analysis.consistency import Agreement, agreement
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import REFERENCE, TRIAL, panel_each, percent_axis, set_title
from seedgrid.report.section import Section, in_scores, lines, of_each, rows
from seedgrid.report.sections.predictions import is_recomputed, read_best_logits
from seedgrid.wording import count, percent

_ALL, _CONVERGED = "all", "not diverged"


@dataclass(frozen=True)
class _Together:
    """Of all trials, and of those that did not diverge where they are others: how many, agreement; the best score."""

    groups: dict[str, tuple[int, Agreement]]
    best: float


def agreement_and_ensemble(studies: Sequence[FinishedTrials]) -> Section:
    """Agreement between trials at their best evaluations, and the scores of their vote and of their averaged logits."""
    found, missing = of_each(studies, _agree)
    for study, together in found:
        if study.selected:
            missing.append(
                f"{study.name}: trials that were stopped early for their scores do not count; those that finished may "
                "agree more than trials taken at random"
            )
        if np.isnan(together.groups[_ALL][1].single):
            missing.append(
                f"{study.name}: {study.sweep.metric} is no score that follows from predictions, so vote and average "
                "have none"
            )
        left_out = len(study.trials) - together.groups[_ALL][0]
        if left_out:
            missing.append(f"{study.name}: {count(left_out)} left out, diverged before the first evaluation")
    key, title = "agreement", "Do trials agree on single examples, and what are they worth together"
    if not found:
        return Section(key, title, missing=missing)
    caption = (
        "Each trial at its best evaluation. Agreement of an example: the share of pairs of trials that predict the "
        "same class for it; an example on which not all trials predict the same is not unanimous, which the more "
        "trials there are the more examples become. The vote goes to the class that most trials predict, of classes "
        "with equal votes to the lowest-numbered (votes tied: the share of examples decided so). Diverged trials "
        "that predict one class for everything agree with each other for no good reason. Best "
        "evaluations and the best single trial were chosen on these examples and look a little too good; the vote and "
        "the average choose no trial. They cost as many predictions as there are trials."
    )
    several = [(study, together) for study, together in found if together.groups[_ALL][0] > 1]
    figure = panel_each(several, 4.2, 3.2, _draw, legend_columns=2) if several else None
    table = rows(found, _rows)
    decimals = in_scores(table, studies, amounts=["best single trial"])[1]  # a score as it was found
    return Section(key, title, lines(found, _reading), caption, figure, table, missing, decimals)


def _agree(study: FinishedTrials) -> _Together:
    if len(study.trials) == 1 and study.sweep.has_predictions:
        raise ValueError("one trial has none to agree with")
    logits, labels = read_best_logits(study)
    here = study.trials[study.trials["best_step"].notna()]
    metric, converged = study.sweep.metric if is_recomputed(study) else None, ~here["diverged"].to_numpy()
    groups = {_ALL: (len(logits), agreement(logits, labels, metric))}
    if 0 < converged.sum() < len(logits):
        groups[_CONVERGED] = (int(converged.sum()), agreement(logits[converged], labels, metric))
    return _Together(groups, study.scale.best(here["best_found"]))


def _rows(study: FinishedTrials, together: _Together) -> list[dict[str, object]]:
    return [
        {
            "which trials": name,
            "trials": trials,
            "examples": len(result.per_example),
            "agreement": result.mean,
            "examples not unanimous": result.flipped,
            "mean single trial": result.single,
            "best single trial": together.best,
            "majority vote": result.majority,
            "votes tied": result.tied,
            "averaged logits": result.averaged,
        }
        for name, (trials, result) in together.groups.items()
    ]


def _reading(study: FinishedTrials, together: _Together) -> str:
    groups, best = together.groups, together.best
    trials, result = groups[_ALL]
    if trials == 1:
        return "one trial has predictions, so there is none to agree with."
    text = (
        f"two trials agree on {percent(result.mean)} of the {len(result.per_example):,} validation "
        f"examples on average; on {percent(result.flipped)} not all {trials:,} trials agree"
    )
    if _CONVERGED in groups:
        some, converged = groups[_CONVERGED]
        if some > 1:
            text += (
                f". Two of the {some:,} that did not diverge agree on {percent(converged.mean)}; on "
                f"{percent(converged.flipped)} not all of these agree"
            )
        else:
            text += "; only one of them did not diverge"
    if np.isnan(result.single):
        return f"{text}."
    text += (
        f". The mean trial scores {result.single:.4f}, the best {best:.4f}; their majority vote {result.majority:.4f}, "
        f"their averaged logits {result.averaged:.4f}"
    )
    if _CONVERGED in groups and groups[_CONVERGED][0] > 1:
        converged = groups[_CONVERGED][1]
        text += (
            f" (without the diverged: vote {converged.majority:.4f}, averaged logits {converged.averaged:.4f}, mean "
            f"trial {converged.single:.4f})"
        )
    return f"{text}."


def _draw(axes: Axes, study: FinishedTrials, together: _Together) -> None:
    styles = {
        _ALL: {"color": REFERENCE, "label": "all trials"},
        _CONVERGED: {"color": TRIAL, "label": "trials that did not diverge"},
    }
    drawn = {name: result for name, (trials, result) in together.groups.items() if trials > 1}
    for name, result in drawn.items():
        share = np.arange(1, len(result.per_example) + 1) / len(result.per_example)
        axes.step(share, np.sort(result.per_example), where="pre", linewidth=1.6, **styles[name])
    axes.set_xlim(0, 1)
    axes.set_ylim(min(0.5, *(result.per_example.min() for result in drawn.values())) - 0.03, 1.03)
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    axes.set_xlabel("validation examples, sorted by agreement")
    axes.set_ylabel("pairs of trials that agree")
    set_title(axes, study.name, together.groups[_ALL][0])
