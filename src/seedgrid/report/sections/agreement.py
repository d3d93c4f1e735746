"""How far trials agree on single examples, and what they are worth together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from seedgrid.analysis.consistency import Agreement, agreement
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import REFERENCE, TRIAL, panels, set_title, shared_legend
from seedgrid.report.section import Section
from seedgrid.report.sections.predictions import read_best_logits, why_no_predictions
from seedgrid.report.wording import count, percent

_ALL, _CONVERGED = "all", "not diverged"


def agreement_and_ensemble(studies: Sequence[FinishedTrials]) -> Section:
    """Agreement between trials at their best evaluations, and the scores of their vote and of their averaged logits.

    Args:
        studies: of each sweep, its finished trials.
    """
    found: list[tuple[FinishedTrials, dict[str, tuple[int, Agreement]]]] = []
    rows, readings, missing = [], [], []
    for study in studies:
        reason = why_no_predictions(study)
        if reason is None and len(study.trials) == 1:
            reason = "one trial has none to agree with"
        if reason is None:
            try:
                groups, best = _groups(study)
            except ValueError as error:
                reason = str(error)
        if reason is not None:
            missing.append(f"{study.name}: not available: {reason}")
            continue
        if study.selected:
            missing.append(
                f"{study.name}: trials that were stopped early for their scores do not count; those that finished may "
                "agree more than trials taken at random"
            )
        left_out = len(study.trials) - groups[_ALL][0]
        if left_out:
            missing.append(f"{study.name}: {count(left_out)} left out, diverged before the first evaluation")
        for name, (trials, result) in groups.items():
            rows.append(
                {
                    "sweep": study.name,
                    "which trials": name,
                    "trials": trials,
                    "examples": len(result.per_example),
                    "agreement": result.mean,
                    "examples not unanimous": result.flipped,
                    "mean single trial": result.single,
                    "best single trial": best,
                    "majority vote": result.majority,
                    "votes tied": result.tied,
                    "averaged logits": result.averaged,
                }
            )
        readings.append(_reading(study, groups, best))
        found.append((study, groups))
    caption = (
        "Each trial at its best evaluation. Agreement of an example: the share of pairs of trials that predict the "
        "same class for it; an example on which not all trials predict the same is not unanimous, which the more "
        "trials there are the more examples become. The vote goes to the class that most trials predict, of classes "
        "with equal votes to the lowest-numbered (votes tied: the share of examples decided so). Diverged trials "
        "that predict one class for everything agree with each other for no good reason. Best "
        "evaluations and the best single trial were chosen on these examples and look a little too good; the vote and "
        "the average choose no trial. They cost as many predictions as there are trials."
    )
    return Section(
        key="agreement",
        title="Do trials agree on single examples, and what are they worth together",
        reading="\n".join(readings),
        caption=caption if found else "",
        figure=_draw(found) if any(groups[_ALL][0] > 1 for _, groups in found) else None,
        table=pd.DataFrame(rows) if rows else None,
        missing=tuple(missing),
    )


def _groups(study: FinishedTrials) -> tuple[dict[str, tuple[int, Agreement]], float]:
    """Of all trials and, where they are others, of those that did not diverge: how many, agreement; best score."""
    logits, labels = read_best_logits(study)
    here = study.trials[study.trials["best_step"].notna()]
    metric, converged = study.sweep.metric, ~here["diverged"].to_numpy()
    groups = {_ALL: (len(logits), agreement(logits, labels, metric))}
    if 0 < converged.sum() < len(logits):
        groups[_CONVERGED] = (int(converged.sum()), agreement(logits[converged], labels, metric))
    return groups, float(here["best_found"].max())


def _reading(study: FinishedTrials, groups: dict[str, tuple[int, Agreement]], best: float) -> str:
    trials, result = groups[_ALL]
    if trials == 1:
        return f"{study.name}: one trial has predictions, so there is none to agree with."
    text = (
        f"{study.name}: two trials agree on {percent(result.mean)} of the {len(result.per_example):,} validation "
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


def _draw(found: list[tuple[FinishedTrials, dict[str, tuple[int, Agreement]]]]) -> Figure:
    found = [(study, groups) for study, groups in found if groups[_ALL][0] > 1]
    figure, axes = panels(len(found), 4.2, 3.2)
    styles = {
        _ALL: {"color": REFERENCE, "label": "all trials"},
        _CONVERGED: {"color": TRIAL, "label": "trials that did not diverge"},
    }
    for panel, (study, groups) in zip(axes, found, strict=True):
        for name, (trials, result) in groups.items():
            if trials > 1:
                share = np.arange(1, len(result.per_example) + 1) / len(result.per_example)
                panel.step(share, np.sort(result.per_example), where="pre", linewidth=1.6, **styles[name])
        panel.set_xlim(0, 1)
        lowest = min(result.per_example.min() for trials, result in groups.values() if trials > 1)
        panel.set_ylim(min(0.5, lowest) - 0.03, 1.03)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        panel.set_xlabel("validation examples, sorted by agreement")
        panel.set_ylabel("pairs of trials that agree")
        set_title(panel, study.name, groups[_ALL][0])
    shared_legend(figure, columns=2)
    return figure
