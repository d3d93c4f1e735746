"""The paper's Figure 2 and Table 3: the grid of seeds, and how far trials that share a seed differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seedgrid.analysis.variance import AXES, SharedSeedStd, seed_means, shared_seed_std
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import (
    PAGE_WIDTH,
    draw_heat_map,
    draw_ranked_trials,
    heat_map_size,
    is_grid,
    panels,
    set_title,
    shared_legend,
)
from seedgrid.report.section import Section, in_scores, lines, of_each, rows
from seedgrid.report.sections.available import grid_scores
from seedgrid.wording import count, listed, percent

# Beyond, a cell is smaller than a pixel.
_MOST_CELLS = 1_000_000


def seed_grid(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Figure 2: a heat map of each grid; trials that form none are drawn by rank."""
    crossed = [_is_grid(study) for study in studies]
    sizes = [heat_map_size(study.sweep.trials) for study, grid in zip(studies, crossed, strict=True) if grid]
    per_row = min(2, len(studies))
    width = min(max([size[0] for size in sizes], default=5.5), PAGE_WIDTH / per_row)
    height = min(max([size[1] for size in sizes], default=3.6), width)
    figure, every = panels(len(studies), width, height, per_row)
    readings, missing = [], []
    for axes, study, grid in zip(every, studies, crossed, strict=True):
        trials = study.sweep.trials
        if grid:
            draw_heat_map(axes, trials, study.scale, (width, height))
        else:
            draw_ranked_trials(axes, study.trials, study.scale)
            missing.append(f"{study.name}: no grid of init and order seeds; its trials are drawn by rank instead")
        finished = len(study.trials)
        set_title(axes, study.name, finished, f"{study.unfinished:,} unfinished" if grid and study.unfinished else "")
        readings.append(_read_grid(study) if grid else _read_ranks(study))
    shared_legend(figure, columns=6)
    caption = (
        "Best found validation score of each trial, rows and columns sorted by their mean, the best to the right and "
        "below (Dodge et al. 2020, Figure 2). Grey cells were not run; trials that were stopped, still run or failed "
        "carry their mark and the colour of their best score so far."
    )
    if any(study.trials["dropout"].nunique() > 1 for study in studies):
        caption += " Trials that differ in the dropout seed alone are averaged; a cell is marked if any of them is."
    return Section("figure-2", "Grid of seeds", "\n".join(readings), caption, figure, missing=missing)


def _is_grid(study: FinishedTrials) -> bool:
    """Whether the trials, finished or not, form a grid that can be drawn."""
    trials = study.sweep.trials
    drawn = np.prod([trials[seed].nunique() for seed in SEEDS], dtype=float)
    return study.sweep.seeded and is_grid(trials) and drawn <= _MOST_CELLS


def _read_grid(study: FinishedTrials) -> str:
    """Where the diverged trials are, or how far the seeds' means reach."""
    trials, utilities = study.trials, study.grid.scores
    varied = AXES[: utilities.ndim]
    diverged = trials["diverged"]
    if len(trials) == 1:
        return _read_ranks(study)
    if diverged.all():
        return f"{study.name}: all {count(len(trials))} diverged."
    if study.utilities.max() == study.utilities.min():
        return f"{study.name}: all {len(trials):,} trials reached {study.short(study.utilities[0])}."
    if diverged.any():
        parts = []
        for axis in varied:
            by_seed = diverged.groupby(trials[axis]).mean()
            always = by_seed.index[by_seed == 1].tolist()
            if always:
                which = ", ".join(map(str, always[:5])) + (", …" if len(always) > 5 else "")
                parts.append(f"every trial of {axis} seed{'s' if len(always) > 1 else ''} {which}")
        where = f", among them {listed(parts)}" if parts else ", no seed in all of its trials"
        return f"{study.name}: {int(diverged.sum()):,} of {count(len(trials))} diverged{where}."
    if study.selected:
        return f"{study.name}: none of the {count(len(trials))} that went on to the end diverged."
    spans = []
    for axis in varied:
        means = seed_means(utilities, axis)
        spans.append(f"{study.short_limits(np.nanmin(means), np.nanmax(means))} over {axis} seeds")
    return f"{study.name}: none of {count(len(trials))} diverged; mean scores range from {listed(spans)}."


def _read_ranks(study: FinishedTrials) -> str:
    found = study.utilities
    if len(found) == 1:
        return f"{study.name}: one trial, which reached {study.short(found[0])}."
    diverged = int(study.trials["diverged"].sum())
    above = "below" if study.scale.lower_is_better else "above"
    return (
        f"{study.name}: half of {count(len(found))} lie at or {above} {study.short(np.median(found))}; they span "
        f"{study.short_limits(found.min(), found.max())}, and {f'{diverged:,}' if diverged else 'none'} diverged."
    )


def shared_seeds(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Table 3: expected standard deviation over trials that share a seed, and over all."""
    found, missing = of_each(studies, lambda study: shared_seed_std(grid_scores(study)))
    key, title = "table-3", "Standard deviation of trials that share a seed"
    if not found:
        return Section(key, title, missing=missing)
    three = any(std.dropout is not None for _, std in found)
    caption = (
        "Expected standard deviation (n - 1) of the best found score over trials that share an init seed, that share "
        f"an order seed,{' that share a dropout seed,' if three else ''} and over all (Dodge et al. 2020, Table 3): "
        "the standard deviations of the groups of trials with one seed, averaged. Fixing a seed that matters makes the "
        "standard deviation smaller than that over all trials."
    )

    def row(study: FinishedTrials, std: SharedSeedStd) -> list[dict[str, object]]:
        by_seed = {f"std, shared {seed} seed": getattr(std, seed) for seed in AXES[: 2 + three]}
        return [{"trials": len(study.trials), **by_seed, "std, all trials": std.all}]

    table = rows(found, row)
    table, decimals = in_scores(table, studies, amounts=[name for name in table if name.startswith("std, ")])
    return Section(key, title, lines(found, _read_shared), caption, table=table, missing=missing, decimals=decimals)


def _read_shared(study: FinishedTrials, std: SharedSeedStd) -> str:
    if std.all == 0:
        return "scores do not vary."
    fixed = {"init": std.init, "order": std.order, "dropout": std.dropout}
    written = study.scale.written
    parts = [
        f"{written(value, fewer=1)} ({percent(abs(value / std.all - 1))} {'less' if value <= std.all else 'more'}) if "
        f"they share the {seed} seed"
        for seed, value in fixed.items()
        if value is not None and np.isfinite(value)
    ]
    whole = f"trials differ by {written(std.all, fewer=1)} in standard deviation"
    return f"{whole}, {listed([f'by {part}' for part in parts])}."
