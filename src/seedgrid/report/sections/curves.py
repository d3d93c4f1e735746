"""The paper's Figures 4 and 5: validation curves, and how well early evaluations rank trials as later ones do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from seedgrid.analysis.correlation import RankCorrelation, rank_correlation
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import NOT_RUN, draw_validation_curves, evenly_ranked, panel_each, set_title
from seedgrid.report.section import Section, lines, of_each
from seedgrid.report.sections.available import check_sample
from seedgrid.scale import shared_word
from seedgrid.wording import count, percent

SHOWN = 20  # curves, as in the paper
_EARLY = 0.25  # share of training after which most plans of the paper stop


def curves(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Figure 4: curves of trials chosen evenly over the ranking of best found."""
    chosen = [(study, evenly_ranked(study.trials, "score", SHOWN, study.scale)) for study in studies]
    figure = panel_each(chosen, 5.5, 3.6, _draw_curves, per_row=2)
    missing = [
        f"{study.name}: no threshold of divergence is known, so none is drawn"
        for study in studies
        if study.sweep.diverged_at is None
    ]
    worst = shared_word([study.scale for study in studies], "worst_word", "worst")
    caption = (
        f"Validation score during training, of {SHOWN} trials chosen evenly over the ranking of best found, the best "
        f"and the {worst} among them (all trials where there are fewer); evaluations before the first step included. "
        "After Dodge et al. 2020, Figure 4."
    )
    return Section(
        "figure-4",
        "Validation curves",
        lines(chosen, lambda study, _: _read_curves(study)),
        caption,
        figure,
        missing=missing,
    )


def _draw_curves(axes: Axes, study: FinishedTrials, shown: pd.DataFrame) -> None:
    evaluations = study.sweep.evaluations.merge(shown[SEEDS], on=SEEDS)
    draw_validation_curves(axes, shown, evaluations, study.scale, study.sweep.diverged_at)
    more = "" if len(shown) == len(study.trials) else f"{len(shown)} of them drawn"
    set_title(axes, study.name, len(study.trials), more)


def _read_curves(study: FinishedTrials) -> str:
    """When the trials that did not diverge had left the threshold behind."""
    trials, threshold = len(study.trials), study.threshold
    diverged = study.trials["diverged"].to_numpy(bool)
    if threshold is None:
        return f"best found scores span {study.short_limits(study.utilities.min(), study.utilities.max())}."
    said = study.short(threshold)
    if diverged.all():
        return f"none of {count(trials)} got beyond {said}."
    above = study.curves[~diverged] > threshold
    first = above.argmax(axis=1)[above.any(axis=1)]
    if not first.size:
        return f"{int(diverged.sum())} of {count(trials)} diverged."

    def when(evaluation: int) -> str:
        epoch = study.epochs[evaluation]
        return f"epoch {epoch:.2f}" if np.isfinite(epoch) else f"evaluation {evaluation + 1}"

    if trials == 1:
        return f"the only trial left {said} behind by {when(int(first[0]))}."
    median, latest = int(np.median(first)), int(first.max())
    text = f"of the {count(int((~diverged).sum()))} that did not diverge, half had left {said} behind by {when(median)}"
    text += f" and all of them by {when(latest)}" if latest > median else ", and so had all the others"
    if diverged.any():
        still = ~(study.curves[:, : median + 1] > threshold).any(axis=1)
        ended = int((still & diverged).sum())
        if still.any():
            where = study.scale.diverged_word
            text += f"; of the {count(int(still.sum()))} still {where} it then, {ended:,} diverged"
    else:
        text += "; none diverged"
    return text + "."


def evaluation_correlation(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Figure 5: Spearman correlation of the scores at each pair of evaluations, over trials."""
    found, missing = of_each(studies, _correlated)
    for study, correlation in found:
        evaluations = study.curves.shape[1]
        if correlation.constant:
            constant = len(correlation.constant)
            where = ", ".join(_label(study, k) for k in correlation.constant[:8]) + (", …" if constant > 8 else "")
            missing.append(
                f"{study.name}: no correlation where scores do not differ, at {constant} of {evaluations} evaluations "
                f"({_unit(study)} {where}): grey"
            )
        if correlation.pairs.min() < len(study.trials):
            missing.append(
                f"{study.name}: some trials lack some evaluations; each pair is over the "
                f"{correlation.pairs.min():,} to {correlation.pairs.max():,} trials that have both"
            )
    key, title = "figure-5", "Correlation between evaluations"
    if not found:
        return Section(key, title, missing=missing)
    figure = panel_each(found, 3.6, 3.4, _draw_correlation, 2 if len(found) == 4 else 3)
    every = figure.axes
    bar = figure.colorbar(
        every[-1].images[0], ax=every, label="Spearman correlation", shrink=0.8 if len(every) < 4 else 0.5
    )
    bar.ax.tick_params(labelsize=8)
    caption = (
        "Spearman rank correlation, over trials, between the scores at two evaluations (Dodge et al. 2020, Figure 5). "
        "Where an early evaluation correlates with the last one, trials can be told apart early. Scores themselves "
        "are ranked, not the best so far. Grey: not defined, as the scores do not differ."
    )
    return Section(key, title, lines(found, _read_correlation), caption, figure, missing=missing)


def _correlated(study: FinishedTrials) -> RankCorrelation:
    check_sample(study)
    if study.curves.shape[1] < 2:
        raise ValueError("one evaluation a trial, and correlation needs two")
    return rank_correlation(study.curves)


def _unit(study: FinishedTrials) -> str:
    return "epoch" if np.isfinite(study.epochs).all() else "evaluation"


def _label(study: FinishedTrials, evaluation: int) -> str:
    return f"{study.epochs[evaluation]:.2g}" if _unit(study) == "epoch" else str(evaluation + 1)


def _draw_correlation(axes: Axes, study: FinishedTrials, correlation: RankCorrelation) -> None:
    axes.set_facecolor(NOT_RUN)
    # Purple and orange about white: safe for colour-blind readers.
    axes.imshow(correlation.rho, cmap="PuOr_r", vmin=-1, vmax=1, origin="lower", interpolation="nearest")
    evaluations = len(correlation.rho)
    every = -(-evaluations // 8)
    ticks = list(range(evaluations - 1, -1, -every))[::-1]
    labels = [_label(study, k) for k in ticks]
    axes.set_xticks(ticks, labels, fontsize=7)
    axes.set_yticks(ticks, labels, fontsize=7)
    axes.set_xlabel(f"{_unit(study)} of one evaluation")
    axes.set_ylabel(f"{_unit(study)} of the other")
    set_title(axes, study.name, len(study.trials))


def _read_correlation(study: FinishedTrials, correlation: RankCorrelation) -> str:
    rho = correlation.rho
    evaluations = len(rho)
    last = evaluations - 1
    share = study.epochs / study.epochs[-1] if _unit(study) == "epoch" else np.arange(1, evaluations + 1) / evaluations
    if len(correlation.constant) == evaluations:
        return "scores do not differ between trials at any evaluation."
    defined = np.flatnonzero(np.isfinite(rho[last, :last]))
    if not defined.size:
        return "the scores at the last evaluation cannot be compared with earlier ones."
    early = int(defined[np.argmin(np.abs(share[defined] - _EARLY))])
    trials = int(correlation.pairs[early, last])
    few = f", over {trials} trials only" if trials < 10 else ""
    return (
        f"after {percent(share[early])} of training, trials rank with a correlation of "
        f"{rho[early, last]:.2f} as they do at its end{few}."
    )
