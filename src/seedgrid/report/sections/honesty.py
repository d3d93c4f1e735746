"""How much of what picking the best trial seems to gain is real."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from seedgrid.analysis.selection import HonestBest, honest_best
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import BEST, REFERENCE, count_axis, panel_each, score_axis, set_title
from seedgrid.report.section import Section, lines, of_each, rows
from seedgrid.report.sections.available import check_sample
from seedgrid.report.sections.predictions import check_recomputed, read_classes
from seedgrid.wording import count, percent

_OTHER = 0.01  # more than batches of different sizes leave in a mean over them


def honest_best_found(
    studies: Sequence[FinishedTrials], splits: int = 100, level: float = 0.95, seed: int = 0
) -> Section:
    """Best of n trials as it is reported, and as it is on validation examples that the choice did not see."""
    found, missing = of_each(studies, lambda study: _choose(study, splits, level, seed))
    missing += [
        f"{study.name}: {count(len(study.trials) - trials)} left out, diverged before the first evaluation"
        for study, (_, (trials, *_)) in found
        if trials < len(study.trials)
    ]
    key, title = "honest-best", "How much of picking the best trial is real"
    if not found:
        return Section(key, title, missing=missing)
    caption = (
        "Expected best score of n trials. As reported: trial and evaluation are chosen and read on the same validation "
        "examples. Honest: they are chosen on a random half of the examples and read on the other half, over "
        f"{splits} halvings, each both ways round. The bar at the last n is the {percent(level)} interval for other "
        "validation examples, these trials given (corrected resampled t, Nadeau and Bengio 2003). A choice on half of "
        "the examples is a little worse than one on all, so where trials truly differ the honest score is a little "
        "low. One trial's reported score is optimistic too, since its best evaluation is chosen."
    )
    figure = panel_each(found, 4.2, 3.2, _draw, legend_columns=2)
    reading = lines(found, lambda study, chosen: _reading(chosen[0], level))
    return Section(key, title, reading, caption, figure, rows(found, _row), missing)


def _choose(study: FinishedTrials, splits: int, level: float, seed: int) -> tuple[HonestBest, tuple[int, int, int]]:
    """The choice, and the numbers of trials, evaluations and examples that it is made of."""
    check_sample(study)
    check_recomputed(study)
    classes, labels = read_classes(study)
    best = honest_best(classes, labels, study.sweep.metric, splits, level, seed)
    # What a training of one's own calls an accuracy may be another one than that of its predictions.
    if study.own and abs(best.naive[-1] - study.utilities.max()) > _OTHER:
        raise ValueError(f"its predictions have another {study.sweep.metric} than it recorded")
    return best, classes.shape


def _row(study: FinishedTrials, chosen: tuple[HonestBest, tuple[int, int, int]]) -> list[dict[str, object]]:
    best, (trials, evaluations, examples) = chosen
    return [
        {
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
    ]


def _reading(best: HonestBest, level: float) -> str:
    trials = len(best.naive)
    text = (
        f"the best of {count(trials)} is reported with {best.naive[-1]:.4f}; chosen without "
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


def _draw(axes: Axes, study: FinishedTrials, chosen: tuple[HonestBest, tuple[int, int, int]]) -> None:
    best, n = chosen[0], np.arange(1, chosen[1][0] + 1)
    axes.plot(n, best.naive, color=REFERENCE, linestyle="--", label="as reported")
    axes.plot(n, best.honest, color=BEST, label="honest: chosen on one half, read on the other")
    axes.vlines(n[-1], *best.honest_interval, color=BEST, linewidth=2)
    count_axis(axes, "x", n[-1])
    axes.set_xlabel("n, trials to choose among")
    score_axis(axes, "y", f"expected best {study.sweep.metric}", study.scale)
    set_title(axes, study.name, len(n))
