"""How much of what picking the best trial seems to gain is real."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seedgrid.analysis.selection import HonestBest, honest_best
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import BEST, REFERENCE, count_axis, panels, score_axis, set_title, shared_legend
from seedgrid.report.section import Section
from seedgrid.report.sections.available import random_samples
from seedgrid.report.sections.predictions import read_classes, why_no_predictions
from seedgrid.report.wording import count, percent


def honest_best_found(
    studies: Sequence[FinishedTrials], splits: int = 100, level: float = 0.95, seed: int = 0
) -> Section:
    """Best of n trials as it is reported, and as it is on validation examples that the choice did not see.

    Args:
        studies: of each sweep, its finished trials.
        splits: random halvings of the validation examples.
        level: of the intervals.
        seed: draws the halvings.
    """
    found: list[tuple[FinishedTrials, HonestBest]] = []
    rows, readings = [], []
    given, missing = random_samples(studies)
    for study in given:
        reason = why_no_predictions(study)
        if reason is None:
            try:
                classes, labels = read_classes(study)
                best = honest_best(classes, labels, study.sweep.metric, splits, level, seed)
            except ValueError as error:
                reason = str(error)
        if reason is not None:
            missing.append(f"{study.name}: not available: {reason}")
            continue
        trials, evaluations, examples = classes.shape
        if trials < len(study.trials):
            missing.append(
                f"{study.name}: {count(len(study.trials) - trials)} left out, diverged before the first evaluation"
            )
        rows.append(
            {
                "sweep": study.name,
                "trials": trials,
                "evaluations": evaluations,
                "examples": examples,
                "one trial, reported": best.naive[0],
                "best of all, reported": best.naive[-1],
                "gain, reported": best.naive_gain,
                "one trial, honest": best.honest[0],
                "best of all, honest": best.honest[-1],
                "honest, lower": best.honest_interval[0],
                "honest, upper": best.honest_interval[1],
                "gain, honest": best.gain,
                "gain, lower": best.gain_interval[0],
                "gain, upper": best.gain_interval[1],
                "real share of the gain": np.clip(best.real_share, 0, 1),
            }
        )
        readings.append(_reading(study, best, level))
        found.append((study, best))
    caption = (
        "Expected best score of n trials. As reported: trial and evaluation are chosen and read on the same validation "
        "examples. Honest: they are chosen on a random half of the examples and read on the other half, over "
        f"{splits} halvings, each both ways round. The bar at the last n is the {percent(level)} interval for other "
        "validation examples, these trials given (corrected resampled t, Nadeau and Bengio 2003). A choice on half of "
        "the examples is a little worse than one on all, so where trials truly differ the honest score is a little "
        "low. One trial's reported score is optimistic too, since its best evaluation is chosen."
    )
    return Section(
        key="honest-best",
        title="How much of picking the best trial is real",
        reading="\n".join(readings),
        caption=caption if found else "",
        figure=_draw(found) if found else None,
        table=pd.DataFrame(rows) if rows else None,
        missing=tuple(missing),
    )


def _reading(study: FinishedTrials, best: HonestBest, level: float) -> str:
    trials = len(best.naive)
    text = (
        f"{study.name}: the best of {count(trials)} is reported with {best.naive[-1]:.4f}; chosen without "
        f"seeing the examples that it is then scored on, it reaches {best.honest[-1]:.4f} ({percent(level)} interval "
        f"{best.honest_interval[0]:.4f} to {best.honest_interval[1]:.4f})."
    )
    if best.naive_gain < 5e-5:
        return f"{text} All trials do equally well, so nothing is gained by choosing."
    text += (
        f" Choosing among all trials instead of taking one unseen seems to bring {best.naive_gain:.4f} and brings "
        f"{best.gain:.4f} ({best.gain_interval[0]:.4f} to {best.gain_interval[1]:.4f}): "
    )
    if best.gain <= 0:
        text += "none of the gain is real"
    elif best.real_share >= 1:
        text += "all of the gain is real"
    else:
        text += f"{percent(best.real_share)} of the gain is real"
    return f"{text}, and it is not shown to be above 0." if best.gain_interval[0] <= 0 < best.gain else f"{text}."


def _draw(found: list[tuple[FinishedTrials, HonestBest]]) -> Figure:
    figure, axes = panels(len(found), 4.2, 3.2)
    for panel, (study, best) in zip(axes, found, strict=True):
        n = np.arange(1, len(best.naive) + 1)
        panel.plot(n, best.naive, color=REFERENCE, linestyle="--", label="as reported")
        panel.plot(n, best.honest, color=BEST, label="honest: chosen on one half, read on the other")
        panel.vlines(n[-1], *best.honest_interval, color=BEST, linewidth=2)
        count_axis(panel, "x", n[-1])
        panel.set_xlabel("n, trials to choose among")
        score_axis(panel, "y", f"expected best {study.sweep.metric}", study.bounds)
        set_title(panel, study.name, len(n))
    shared_legend(figure, columns=2)
    return figure
