"""Gradient norms of each layer group while trials train, diverged ones beside healthy ones."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import panels, set_title
from seedgrid.report.section import Section
from seedgrid.report.wording import count

_DRAWN = 6  # groups a panel
_SMALL = 0.1  # of the healthy trials' norm: a step of the figure's axis


def gradient_norms(studies: Sequence[FinishedTrials]) -> Section:
    """Median norm of each layer group's gradients, in diverged and in healthy trials (Mosbach et al. 2021)."""
    given, missing = [], []
    for study in studies:
        norms = study.sweep.gradient_norms
        if norms.empty:
            missing.append(
                f"{study.name}: not available: no gradient norms are recorded; new trials record them unless "
                "gradient_norms=0"
            )
            continue
        norms = norms.merge(study.trials[[*SEEDS, "diverged"]], on=SEEDS).replace(np.inf, np.nan).dropna()
        diverged = norms.loc[norms["diverged"], SEEDS].drop_duplicates()
        trials = norms[SEEDS].drop_duplicates()
        if 0 < len(diverged) < len(trials):
            given.append((study, norms, len(diverged), len(trials) - len(diverged)))
        else:
            which = "all" if len(diverged) else "none"
            missing.append(
                f"{study.name}: not available: {which} of {count(len(trials))} with gradient norms diverged, so there "
                "is nothing to compare"
            )
    if not given:
        return Section("gradient-norms", _TITLE, "", "", missing=tuple(missing))
    figure, every = panels(2 * len(given), 5.5, 3.4, per_row=2)
    tables = []
    for row, (study, norms, *trials) in enumerate(given):
        panel, beside = every[2 * row : 2 * row + 2]
        beside.sharey(panel)
        _draw(panel, norms[norms["diverged"]])
        _draw(beside, norms[~norms["diverged"]])
        beside.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True, frameon=False, fontsize=8)
        for axes, kind, number in zip((panel, beside), ("diverged", "healthy"), trials, strict=True):
            set_title(axes, study.name, number, kind)
        tables.append(_table(norms).assign(sweep=study.name))
    return Section(
        key="gradient-norms",
        title=_TITLE,
        reading="\n".join(_read(*study, table.iloc[0]) for study, table in zip(given, tables, strict=True)),
        caption=(
            "L2 norm of the gradients of each group of layers, before clipping: the median over trials at each "
            f"measured step, with the quartiles as a band (at most {_DRAWN} groups drawn, the lowest and the highest "
            "among them). The table has medians over all measurements. Healthy are the finished trials that did not "
            "diverge. After Mosbach et al. 2021, who show failed and successful runs so."
        ),
        figure=figure,
        table=pd.concat(tables, ignore_index=True)[["sweep", "group", "diverged", "healthy", "ratio"]],
        missing=tuple(missing),
    )


_TITLE = "Gradient norms of diverged and healthy trials"


def _groups(norms: pd.DataFrame) -> list[str]:
    return [name for name in norms if name not in (*SEEDS, "step", "diverged")]


def _table(norms: pd.DataFrame) -> pd.DataFrame:
    """A row per group, the lowest first."""
    healthy, diverged = (norms.loc[norms["diverged"] == kind, _groups(norms)].median() for kind in (False, True))
    table = pd.DataFrame({"diverged": diverged, "healthy": healthy, "ratio": diverged / healthy})
    return table.rename_axis("group").reset_index()


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


def _read(study: FinishedTrials, norms: pd.DataFrame, diverged: int, healthy: int, lowest: pd.Series) -> str:
    """When the lowest group's gradients part: what vanishes on its way down is smallest there."""
    group = lowest["group"]
    text = (
        f"{study.name}: the gradients of {group} have a median norm of {lowest['diverged']:.2g} in "
        f"{count(diverged, 'diverged trial')} and of {lowest['healthy']:.2g} in {count(healthy, 'healthy trial')}"
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
