"""Gradient norms of each layer group while trials train, diverged ones beside healthy ones."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import panels, set_title
from seedgrid.report.section import Section, lines, of_each, rows
from seedgrid.wording import count

_DRAWN = 6  # groups a panel
_SMALL = 0.1  # of the healthy trials' norm: a step of the figure's axis


def gradient_norms(studies: Sequence[FinishedTrials]) -> Section:
    """Median norm of each layer group's gradients, in diverged and in healthy trials (Mosbach et al. 2021)."""
    found, missing = of_each(studies, _measured)
    key, title = "gradient-norms", "Gradient norms of diverged and healthy trials"
    if not found:
        return Section(key, title, missing=missing)
    figure, every = panels(2 * len(found), 5.5, 3.4, per_row=2)
    for row, (study, norms) in enumerate(found):
        panel, beside = every[2 * row : 2 * row + 2]
        beside.sharey(panel)
        for axes, diverged, kind in ((panel, True, "diverged"), (beside, False, "healthy")):
            _draw(axes, norms[norms["diverged"] == diverged])
            set_title(axes, study.name, _trials(norms, diverged), kind)
        beside.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True, frameon=False, fontsize=8)
    caption = (
        "L2 norm of the gradients of each group of layers, before clipping: the median over trials at each measured "
        f"step, with the quartiles as a band (at most {_DRAWN} groups drawn, the lowest and the highest among them). "
        "The table has medians over all measurements. Healthy are the finished trials that did not diverge. After "
        "Mosbach et al. 2021, who show failed and successful runs so."
    )
    return Section(key, title, lines(found, _read), caption, figure, rows(found, _rows), missing)


def _measured(study: FinishedTrials) -> pd.DataFrame:
    """A row per measurement of a trial that diverged or is healthy, of which there are both."""
    norms = study.sweep.gradient_norms
    if norms.empty:
        raise ValueError("no gradient norms are recorded; new trials record them unless gradient_norms=0")
    norms = norms.merge(study.trials[[*SEEDS, "diverged"]], on=SEEDS).replace(np.inf, np.nan).dropna()
    diverged, healthy = _trials(norms, True), _trials(norms, False)
    if not diverged or not healthy:
        which = "all" if diverged else "none"
        raise ValueError(
            f"{which} of {count(diverged + healthy)} with gradient norms diverged, so there is nothing to compare"
        )
    return norms


def _trials(norms: pd.DataFrame, diverged: bool) -> int:
    return len(norms.loc[norms["diverged"] == diverged, SEEDS].drop_duplicates())


def _groups(norms: pd.DataFrame) -> list[str]:
    return [name for name in norms if name not in (*SEEDS, "step", "diverged")]


def _rows(study: FinishedTrials, norms: pd.DataFrame) -> list[dict[str, object]]:
    """A row per group, the lowest first."""
    healthy, diverged = (norms.loc[norms["diverged"] == kind, _groups(norms)].median() for kind in (False, True))
    return [
        {
            "group": group,
            "diverged": diverged[group],
            "healthy": healthy[group],
            "ratio": diverged[group] / healthy[group],
        }
        for group in _groups(norms)
    ]


def _draw(axes: Axes, norms: pd.DataFrame) -> None:
    groups = _groups(norms)
    shown = np.unique(np.linspace(0, len(groups) - 1, min(_DRAWN, len(groups))).round().astype(int))
    for place, colour in zip(shown, matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(shown))), strict=True):
        quartiles = norms.groupby("step")[groups[place]].quantile([0.25, 0.5, 0.75]).unstack()
        marker = "o" if len(quartiles) == 1 else None
        axes.plot(quartiles.index, quartiles[0.5], color=colour, linewidth=1.5, marker=marker, label=groups[place])
        axes.fill_between(quartiles.index, quartiles[0.25], quartiles[0.75], color=colour, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.set_xlabel("training step")
    axes.set_ylabel("gradient norm")


def _read(study: FinishedTrials, norms: pd.DataFrame) -> str:
    """When the lowest group's gradients part: what vanishes on its way down is smallest there."""
    lowest, group = _rows(study, norms)[0], _groups(norms)[0]
    diverged, healthy = (count(_trials(norms, kind == "diverged"), f"{kind} trial") for kind in ("diverged", "healthy"))
    text = (
        f"the gradients of {group} have a median norm of {lowest['diverged']:.2g} in {diverged} and of "
        f"{lowest['healthy']:.2g} in {healthy}"
    )
    by_step = norms.groupby(["step", "diverged"])[group].median().unstack().dropna()
    small = by_step.index[by_step[True] < _SMALL * by_step[False]]
    if small.empty:
        return f"{text}; at no measured step is the one less than a tenth of the other."
    text += (
        f"; at {len(small):,} of {count(len(by_step), 'measured step')}, first at step {small[0]:,}, the one is less "
        "than a tenth of the other"
    )
    if 2 * len(small) < len(by_step):
        return f"{text}."
    return (
        f"{text}. Small gradients in the low layers go with divergence here, as in Mosbach et al. 2021; which of the "
        "two is the cause, norms alone do not tell."
    )
