"""Drawings of trials: each draws one panel into given axes; those that a sweep ends with are whole figures too."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from seedgrid.records.store import FINISHED
from seedgrid.scale import Scale
from seedgrid.wording import count

# Okabe and Ito's palette, distinct for colour-blind readers; each colour has one meaning in all figures.
TRIAL, BEST, DIVERGED, REFERENCE = "#56B4E9", "#0072B2", "#D55E00", "#555555"
WORST, EPOCH_ENDS, TRAINING_END, PLAN = "#E69F00", "#009E73", "#CC79A7", "#000000"
NOT_RUN = "#dddddd"

# What a page shows at its full size; a wider figure would be shrunk, and its letters with it.
PAGE_WIDTH = 11.0
_SEEDS = ["init", "order", "dropout"]
_NUMBER = 0.36, 0.25  # what a number of three decimals takes in a cell, in inches
# Trials that have no final score yet, as a tape recorder shows them.
_UNFINISHED = {"stopped": "s", "running": ">", "interrupted": "$||$", "failed": "v"}
Study, Found = TypeVar("Study"), TypeVar("Found")
_MAGNITUDES = 100
_TOUCHES = 1e-9  # a tick on a limit, but for rounding
# Beyond so many marks, an SVG gets a picture of them.
MOST_MARKS = 2_000
_MOST_CURVES = 1_000  # of a picture that has them all otherwise


def panels(number: int, width: float, height: float, per_row: int = 4) -> tuple[Figure, list[Axes]]:
    """A figure of ``number`` panels, at most ``per_row`` beside each other and none wider than the page allows.

    Args:
        number: of panels.
        width, height: of one panel, in inches.
        per_row: of panels, at most.
    """
    rows = math.ceil(number / per_row)
    columns = math.ceil(number / rows)
    figure = Figure(figsize=(min(width * columns, PAGE_WIDTH), height * rows), layout="constrained")
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in every[number:]:
        unused.remove()
    for axes in every[:number]:
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_size(9)
        axes.yaxis.label.set_size(9)
    return figure, every[:number]


def panel_each(
    found: Sequence[tuple[Study, Found]],
    width: float,
    height: float,
    draw: Callable[[Axes, Study, Found], None],
    per_row: int = 4,
    legend_columns: int = 4,
) -> Figure:
    """A figure with a panel for each sweep, and one legend.

    Args:
        found: a sweep and what is drawn of it, a panel each.
        width, height, per_row: as in :func:`panels`.
        draw: draws a sweep's panel.
        legend_columns: at most.
    """
    figure, every = panels(len(found), width, height, per_row)
    for axes, (study, result) in zip(every, found, strict=True):
        draw(axes, study, result)
    shared_legend(figure, legend_columns)
    return figure


def set_title(axes: Axes, name: str, trials: int | None = None, more: str = "") -> None:
    """Title of a panel: the sweep's name, wrapped, and the number of its trials."""
    counted = [] if trials is None else ["1 trial" if trials == 1 else f"{trials:,} trials"]
    axes.set_title("\n".join([*textwrap.wrap(name, 40), ", ".join([*counted, *filter(None, [more])])]), fontsize=9)


def shared_legend(figure: Figure, columns: int = 4) -> None:
    """One legend below all panels, which names each colour once."""
    named = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        columns = min(columns, len(named), max(1, int(figure.get_figwidth() / 2.2)))
        figure.legend(
            named.values(), named.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
        )


def count_axis(axes: Axes, which: Literal["x", "y"], most: int) -> None:
    """A logarithmic axis of 1 to ``most`` trials or full trainings, in plain numbers."""
    axes.set(**{f"{which}scale": "log"})
    ticks = [step * 10**power for power in range(8) for step in (1, 2, 5) if step * 10**power <= most]
    if len(ticks) > 10:
        ticks = [tick for tick in ticks if str(tick)[0] == "1"]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def percent_axis(axis: Axis) -> None:
    """Shares of 0 to 1 as 0 % to 100 %."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


class _Within(MaxNLocator):
    """Ticks as ever, but none beyond what a score can be."""

    def __init__(self, bounds: tuple[float, float], most: int | Literal["auto"] = "auto") -> None:
        super().__init__(nbins=most, steps=[1, 2, 2.5, 5, 10])
        self._bounds = bounds

    def tick_values(self, vmin: float, vmax: float) -> np.ndarray:
        ticks = super().tick_values(vmin, vmax)
        low, high = self._bounds
        return ticks[(ticks > low - _TOUCHES) & (ticks < high + _TOUCHES)]


def score_axis(
    axes: Axes,
    which: Literal["x", "y"],
    label: str,
    scale: Scale | tuple[float, float],
    most_ticks: int | Literal["auto"] = "auto",
) -> None:
    """Label an axis of scores and end it, once all is drawn, where scores do: a little beyond, with no tick there.

    Args:
        axes, which: the axis.
        label: beside it; where lower is better, that is added.
        scale: of the scores; of differences between scores, the lowest and the highest.
        most_ticks: at most.
    """
    limits = scale
    if isinstance(scale, Scale):
        limits = scale.limits
        if scale.lower_is_better:
            label += "\n(lower is better)" if which == "y" else " (lower is better)"
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if isinstance(scale, Scale) and _spans_magnitudes(scale, getattr(axes.dataLim, f"interval{which}")):
        axes.set(**{f"{which}label": label, f"{which}scale": "log"})
        axes.autoscale(axis=which)
        return
    margin = 0.03 * (high - low)
    ends = np.clip((low, high), limits[0] - margin, limits[1] + margin)
    axes.set(**{f"{which}label": label, f"{which}lim": ends})
    (axes.xaxis if which == "x" else axes.yaxis).set_major_locator(_Within(limits, most_ticks))


def _spans_magnitudes(scale: Scale, scores: np.ndarray) -> bool:
    """Whether some scores are so many times others, such as a diverged trial's loss, that they are drawn by powers."""
    low, high = np.nanmin(scores), np.nanmax(scores)
    return bool(np.isinf(scale.high) and low > 0 and _MAGNITUDES * low < high < np.inf)


def is_grid(trials: pd.DataFrame) -> bool:
    """Whether some init seed and some order seed occur in several trials, so that rows and columns mean something."""
    return bool(trials["init"].duplicated().any() and trials["order"].duplicated().any())


def heat_map_size(trials: pd.DataFrame) -> tuple[float, float]:
    """Width and height, in inches, at which each cell of a heat map can be read; bounded for very large grids."""
    columns, rows = trials["order"].nunique(), trials["init"].nunique()
    return 2.2 + min(0.45 * columns, 8.5), 1.6 + min(0.4 * rows, 7.5)


def heat_map(trials: pd.DataFrame, scale: Scale, title: str) -> Figure:
    """Best found score of every (init, order) pair as a figure of its own; see ``draw_heat_map``."""
    size = heat_map_size(trials)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    draw_heat_map(axes, trials, scale, size)
    axes.set_title(f"{title}\n{count(len(trials))}", fontsize=10)
    shared_legend(figure)
    return figure


def draw_heat_map(axes: Axes, trials: pd.DataFrame, scale: Scale, size: tuple[float, float]) -> None:
    """Best found score of every (init, order) pair, rows and columns sorted by their mean (Dodge et al. 2020, Fig. 2).

    The best are to the right and below, and bright.

    Args:
        axes: to draw into.
        trials: a row per trial: ``init``, ``order``, ``status``, ``best_found`` (so far, for a trial that has not
            finished), ``diverged``; trials that differ in the dropout seed alone are averaged.
        scale: of the scores.
        size: width and height of the panel in inches, labels included: by it, cells get numbers and marks their size.
    """
    cells = trials.groupby(["init", "order"])
    grid = cells["best_found"].mean().unstack()
    rows, columns = (
        scale.turned(grid.mean(axis=axis)).sort_values(kind="stable", na_position="first").index for axis in (1, 0)
    )
    values = grid.loc[rows, columns].to_numpy(float)
    width, height = (size[0] - 2.0) / len(columns), (size[1] - 1.5) / len(rows)

    axes.set_facecolor(NOT_RUN)
    colours = "viridis_r" if scale.lower_is_better else "viridis"
    by_powers = np.isfinite(values).any() and _spans_magnitudes(scale, values)
    norm = "log" if by_powers else "linear"
    image = axes.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    lowest, highest = image.get_clim()
    if lowest == highest:  # all equal: colours a little around
        around = 0.05 * max(1.0, abs(lowest))
        image.set_clim(*np.clip((lowest - around, highest + around), *scale.limits))
    averaged = ",\nmean over dropout seeds" if len(trials) > cells.ngroups else ""
    ticks = None if by_powers else _Within(scale.limits)
    lower = "\n(lower is better)" if scale.lower_is_better else ""
    bar = axes.figure.colorbar(image, ax=axes, label=f"best found {scale.metric}{averaged}{lower}", ticks=ticks)
    bar.ax.tick_params(labelsize=8)
    if not by_powers:
        bar.formatter.set_useOffset(False)
    numbered = width >= _NUMBER[0] and height >= _NUMBER[1]
    if numbered and np.isfinite(values).any():
        filled = np.argwhere(np.isfinite(values))
        written = [scale.written(values[row, column], fewer=1) for row, column in filled]
        longest = max(len(text.lstrip("-")) for text in written)
        numbered = width >= _NUMBER[0] / len("0.912") * longest
        ends = np.nanmin(values), np.nanmax(values)
        middle = scale.turned(np.sqrt(np.prod(ends)) if by_powers else sum(ends) / 2)
        for (row, column), text in zip(filled, written if numbered else (), strict=numbered):
            colour = "white" if scale.turned(values[row, column]) < middle else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)

    marks = {"diverged": (cells["diverged"].max(), {"marker": "x", "color": DIVERGED})}
    for status, marker in _UNFINISHED.items():
        held = (trials["status"] == status).groupby([trials["init"], trials["order"]]).max()
        marks[status] = (held, {"marker": marker, "facecolor": "white", "edgecolor": "black", "linewidth": 0.6})
    side = 72 * min(width, height)  # of a cell, in points
    marker_size = float(np.clip(0.4 * side, 1.0, 5.0)) ** 2
    for label, (marked, style) in marks.items():
        where = np.argwhere(marked.unstack().loc[rows, columns].fillna(False).to_numpy(bool))
        if len(where):
            # In the lower part of a cell, below its number.
            axes.scatter(
                where[:, 1],
                where[:, 0] + (0.3 if numbered else 0),
                s=marker_size,
                label=label,
                rasterized=len(where) > MOST_MARKS,
                **style,
            )
    if cells.ngroups < values.size:
        axes.scatter([], [], marker="s", s=30, facecolor=NOT_RUN, edgecolor=REFERENCE, linewidth=0.6, label="not run")

    # Seeds are named as long as their names fit beside each other.
    digits = max(len(str(seed)) for seed in columns)
    every = math.ceil((4.5 * digits + 4) / (72 * width)), math.ceil(10 / (72 * height))
    size_of_names = 9 if numbered else 7
    axes.set_xticks(range(0, len(columns), every[0]), columns[:: every[0]], fontsize=size_of_names)
    axes.set_yticks(range(0, len(rows), every[1]), rows[:: every[1]], fontsize=size_of_names)
    axes.set_xlabel("data order seed, sorted by mean")
    axes.set_ylabel("init seed, sorted by mean")


def ranked_trials(trials: pd.DataFrame, scale: Scale, title: str) -> Figure:
    """Best found score of every trial, sorted, as a figure of its own; see ``draw_ranked_trials``."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    draw_ranked_trials(axes, trials, scale)
    axes.set_title(f"{title}\n{count(len(trials))}", fontsize=10)
    axes.legend(frameon=False)
    return figure


def scores_by_sweep(sweeps: Mapping[str, pd.DataFrame], scale: Scale, diverged_at: float | None) -> Figure:
    """Best found score of every trial of several sweeps, a row each, and the mean of each sweep's finished trials.

    Args:
        sweeps: by name, from top to bottom, a row per trial: ``status``, ``best_found`` (so far, for a trial that has
            not finished), ``diverged``.
        scale: of the scores.
        diverged_at: the threshold, drawn as a line; None: not known, or not the same for all.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 1.1 + 0.5 * len(sweeps)), layout="constrained")
    axes = figure.subplots()
    if diverged_at is not None:
        label = f"counts as diverged {scale.diverged_word}"
        axes.axvline(diverged_at, color=REFERENCE, linestyle="--", linewidth=1, label=label)
    generator = np.random.default_rng(0)
    for row, trials in enumerate(sweeps.values()):
        finished = trials["status"].isin(FINISHED)
        places = row + generator.uniform(-0.28, 0.28, len(trials))
        for label, which, style in (
            ("trial", finished & ~trials["diverged"], {"color": TRIAL}),
            ("diverged", trials["diverged"], {"color": DIVERGED}),
            ("not finished, so far", ~finished, {"facecolor": "none", "edgecolor": REFERENCE, "linewidth": 0.8}),
        ):
            if which.any():
                many = which.sum() > MOST_MARKS
                size = 16 if len(trials) <= 100 else 6
                axes.scatter(
                    trials["best_found"][which], places[which], s=size, alpha=0.8, label=label, rasterized=many, **style
                )
        # Where trials were stopped for their scores, those that finished are no sample.
        if finished.any() and not (trials["status"] == "stopped").any():
            mean = trials["best_found"][finished].mean()
            axes.plot(mean, row, "D", color="black", markersize=5, linestyle="", label="mean of the finished")
    axes.set_yticks(range(len(sweeps)), [textwrap.fill(name, 30) for name in sweeps])
    axes.set_ylim(len(sweeps) - 0.5, -0.5)
    axes.tick_params(labelsize=8)
    score_axis(axes, "x", f"best found {scale.metric}", scale)
    axes.xaxis.label.set_size(9)
    shared_legend(figure, columns=5)
    return figure


def draw_ranked_trials(axes: Axes, trials: pd.DataFrame, scale: Scale) -> None:
    """Best found score of every trial, sorted, the best to the right: for sweeps that are no grid.

    Args:
        axes: to draw into.
        trials: a row per trial: ``best_found``, ``diverged``.
        scale: of the scores.
    """
    ranked = trials.dropna(subset="best_found").sort_values("best_found", kind="stable", key=scale.turned)
    ranked = ranked.reset_index(drop=True)
    many = len(ranked) > MOST_MARKS
    for diverged, colour, label in ((False, TRIAL, "trial"), (True, DIVERGED, "diverged")):
        part = ranked[ranked["diverged"] == diverged]
        if len(part):
            size = 25 if len(ranked) <= 100 else 6
            axes.scatter(part.index + 1, part["best_found"], color=colour, label=label, s=size, rasterized=many)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial, sorted")
    score_axis(axes, "y", f"best found {scale.metric}", scale)


def validation_curves(
    trials: pd.DataFrame, evaluations: pd.DataFrame, scale: Scale, diverged_at: float | None, title: str
) -> Figure:
    """Score of every trial at its evaluations as a figure of its own; see ``draw_validation_curves``.

    Of more than 1,000 trials so many are drawn, chosen evenly over the ranking of best found.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    shown = evenly_ranked(trials, "best_found", _MOST_CURVES, scale)
    if len(shown) < len(trials):
        evaluations = evaluations.merge(shown[_SEEDS], on=_SEEDS)
    draw_validation_curves(axes, shown, evaluations, scale, diverged_at)
    more = "" if len(shown) == len(trials) else f", {len(shown):,} of them drawn"
    axes.set_title(f"{title}\n{count(len(trials))}{more}", fontsize=10)
    # Among very many curves, to look for the place that hides the least of them takes longer than to draw them.
    few = "upper right" if scale.lower_is_better else "lower right"
    axes.legend(frameon=False, fontsize=8, loc="best" if len(shown) <= 100 else few)
    return figure


def evenly_ranked(trials: pd.DataFrame, by: str, most: int, scale: Scale) -> pd.DataFrame:
    """At most so many of these trials, evenly over their ranking by a score, the best and the worst among them."""
    ranked = trials.assign(**{by: scale.turned(trials[by])})
    ranked = trials.loc[ranked.sort_values([by, *_SEEDS], kind="stable", na_position="first").index]
    places = np.linspace(0, len(ranked) - 1, min(most, len(ranked))).round().astype(int)
    return ranked.iloc[places]


def draw_validation_curves(
    axes: Axes, trials: pd.DataFrame, evaluations: pd.DataFrame, scale: Scale, diverged_at: float | None
) -> None:
    """Score of every trial at its evaluations (Dodge et al. 2020, Fig. 4), against the epoch, or the step if not known.

    Args:
        axes: to draw into.
        trials: a row per trial: ``init``, ``order``, ``dropout``, ``best_found``, ``diverged``.
        evaluations: a row per evaluation of these trials: ``init``, ``order``, ``dropout``, ``step``, ``epoch``,
            ``score``.
        scale: of the scores.
        diverged_at: the threshold, drawn as a line; None: not known.
    """
    diverged = set(trials.loc[trials["diverged"], _SEEDS].itertuples(index=False, name=None))
    best = None
    if trials["best_found"].notna().any():
        best = tuple(trials.loc[scale.turned(trials["best_found"]).idxmax(), _SEEDS])
    by_epoch = evaluations["epoch"].notna().any() if len(evaluations) else True
    opacity = max(0.15, min(0.9, 20 / max(1, len(trials))))
    labelled = set()
    for trial, curve in evaluations.groupby(_SEEDS):
        if trial in diverged:
            style = {"color": DIVERGED, "linewidth": 1, "alpha": max(opacity, 0.5), "label": "diverged"}
        elif trial == best:
            style = {"color": BEST, "linewidth": 2, "zorder": 3, "label": "best trial"}
        else:
            style = {"color": TRIAL, "linewidth": 1, "alpha": opacity, "label": "trial"}
        if style["label"] in labelled:
            style["label"] = None
        labelled.add(style["label"])
        if len(curve) == 1:
            style["marker"] = "o"
        axes.plot(curve["epoch" if by_epoch else "step"], curve["score"], **style)
    if diverged_at is not None:
        label = f"counts as diverged {scale.diverged_word}"
        axes.axhline(diverged_at, color=REFERENCE, linestyle="--", linewidth=1, label=label)
    axes.set_xlabel("epoch" if by_epoch else "training step")
    score_axis(axes, "y", f"validation {scale.metric}", scale)
