"""Figures of a sweep; each takes tidy frames and returns a Matplotlib figure."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

# Okabe and Ito's palette, distinct for colour-blind readers; each colour has one meaning in all figures.
TRIAL, BEST, DIVERGED, REFERENCE = "#56B4E9", "#0072B2", "#D55E00", "#555555"


def is_grid(trials: pd.DataFrame) -> bool:
    """Whether some init seed and some order seed occur in several trials, so that rows and columns mean something."""
    return bool(trials["init"].duplicated().any() and trials["order"].duplicated().any())


def heat_map(trials: pd.DataFrame, metric: str, title: str) -> Figure:
    """Best found score of every (init, order) pair, rows and columns sorted by their mean (Dodge et al. 2020, Fig. 2).

    Args:
        trials: a row per trial: ``init``, ``order``, ``best_found``, ``diverged``; trials that differ in
            the dropout seed alone are averaged.
        metric: name of the score.
        title: of the figure.
    """
    grid = trials.pivot_table(index="init", columns="order", values="best_found", aggfunc="mean")
    rows = grid.mean(axis=1).sort_values(kind="stable").index
    columns = grid.mean(axis=0).sort_values(kind="stable").index
    grid = grid.loc[rows, columns]
    diverged = trials.pivot_table(index="init", columns="order", values="diverged", aggfunc="max")
    diverged = diverged.reindex(index=rows, columns=columns)
    figure = Figure(figsize=(2.2 + 0.45 * len(columns), 1.6 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#dddddd")  # where a trial is missing
    image = axes.imshow(grid.to_numpy(), cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes, label=f"best found {metric}")
    if grid.size <= 100:
        middle = (grid.min(axis=None) + grid.max(axis=None)) / 2
        for row, values in enumerate(grid.to_numpy()):
            for column, value in enumerate(values):
                if value == value:
                    colour = "white" if value < middle else "black"
                    axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=7)
    # In the lower part of a cell, below its number.
    crossed = [
        (column, row + 0.32)
        for row, marks in enumerate(diverged.to_numpy())
        for column, mark in enumerate(marks)
        if mark == 1
    ]
    if crossed:
        axes.scatter(*zip(*crossed, strict=True), marker="x", color=DIVERGED, s=25, label="diverged")
        figure.legend(loc="outside lower left", frameon=False)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("data order seed, sorted by mean")
    axes.set_ylabel("init seed, sorted by mean")
    axes.set_title(f"{title}\n{len(trials)} trials", fontsize=10)
    return figure


def ranked_trials(trials: pd.DataFrame, metric: str, title: str) -> Figure:
    """Best found score of every trial, sorted: for sweeps that are no grid.

    Args:
        trials: a row per trial: ``best_found``, ``diverged``.
        metric: name of the score.
        title: of the figure.
    """
    ranked = trials.dropna(subset="best_found").sort_values("best_found", kind="stable").reset_index(drop=True)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for diverged, colour, label in ((False, TRIAL, "trial"), (True, DIVERGED, "diverged")):
        part = ranked[ranked["diverged"] == diverged]
        if len(part):
            axes.scatter(part.index + 1, part["best_found"], color=colour, label=label, s=25)
    axes.set_xlabel("trial, sorted")
    axes.set_ylabel(f"best found {metric}")
    axes.set_title(f"{title}\n{len(trials)} trials", fontsize=10)
    axes.legend(frameon=False)
    return figure


def validation_curves(
    trials: pd.DataFrame, evaluations: pd.DataFrame, metric: str, diverged_at: float, title: str
) -> Figure:
    """Score of every trial at its evaluations (Dodge et al. 2020, Fig. 4).

    Args:
        trials: a row per trial: ``init``, ``order``, ``dropout``, ``best_found``, ``diverged``.
        evaluations: a row per evaluation: ``init``, ``order``, ``dropout``, ``epoch``, ``score``.
        metric: name of the score.
        diverged_at: the threshold, drawn as a line.
        title: of the figure.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    seeds = ["init", "order", "dropout"]
    diverged = set(trials.loc[trials["diverged"], seeds].itertuples(index=False, name=None))
    best = None
    if trials["best_found"].notna().any():
        best = tuple(trials.loc[trials["best_found"].idxmax(), seeds])
    opacity = max(0.15, min(0.9, 20 / max(1, len(trials))))
    labelled = set()
    for trial, curve in evaluations.groupby(seeds):
        if trial == best:
            style = {"color": BEST, "linewidth": 2, "zorder": 3, "label": "best trial"}
        elif trial in diverged:
            style = {"color": DIVERGED, "linewidth": 1, "alpha": max(opacity, 0.5), "label": "diverged"}
        else:
            style = {"color": TRIAL, "linewidth": 1, "alpha": opacity, "label": "trial"}
        if style["label"] in labelled:
            style["label"] = None
        labelled.add(style["label"])
        axes.plot(curve["epoch"], curve["score"], **style)
    axes.axhline(diverged_at, color=REFERENCE, linestyle="--", linewidth=1, label="counts as diverged at or below")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {metric}")
    axes.set_title(f"{title}\n{len(trials)} trials", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return figure
