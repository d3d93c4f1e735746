"""A sweep at a glance: in a few lines, as a grid and as curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.figure import Figure

from seedgrid.records.store import FINISHED, Sweep
from seedgrid.report import figures
from seedgrid.scale import Scale
from seedgrid.wording import count, hours


def headline(sweep: Sweep, not_recorded: int = 0, more: Sequence[str] = ()) -> str:
    """Where a sweep lies, how many trials it has, and how many of them are completed, running and so on.

    Args:
        sweep: read from its records.
        not_recorded: trials that it is to have and that have no record.
        more: what became of those, in words.
    """
    counts = sweep.trials["status"].value_counts()
    parts = [*(f"{counts[status]} {status}" for status in counts.index), *more]
    return f"{sweep.folder}: {count(len(sweep.trials) + not_recorded)}, {', '.join(parts) or 'none yet'}"


def has_scores(sweep: Sweep) -> bool:
    """Whether some trial has finished with a score."""
    return bool(sweep.trials.loc[sweep.trials["status"].isin(FINISHED), "best_found"].notna().any())


def best_trial(trials: pd.DataFrame, scale: Scale) -> pd.Series:
    """The row with the best best found score; of equals that of the smaller seeds, as for the best model."""
    return trials.loc[scale.turned(trials.sort_index()["best_found"]).idxmax()]


def lines(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Name and value of what a sweep came to, of its finished trials; none before one has finished with a score."""
    if not has_scores(sweep):
        return
    finished = sweep.trials[sweep.trials["status"].isin(FINISHED)]
    stopped = sweep.trials[sweep.trials["status"] == "stopped"]
    every, scale = pd.concat([finished, stopped]), sweep.scale
    best = best_trial(every, scale)
    where = [f"init {best['init']}, order {best['order']}" if sweep.seeded else f"trial {best['init']}"]
    if every["dropout"].nunique() > 1:
        where.append(f"dropout {best['dropout']}")
    if not math.isnan(best["best_epoch"]):
        where.append(f"epoch {best['best_epoch']:.2f}")
    metric = f"{sweep.metric} (lower is better)" if scale.lower_is_better else sweep.metric
    yield "best found", f"{scale.written(best['best_found'])} {metric}   {', '.join(where)}"
    scores = finished["best_found"]
    if len(stopped):  # those that went on were chosen by their scores
        yield "mean, std", "not available: trials were stopped for their scores"
    else:
        yield "mean", scale.written(scores.mean())
        if len(scores) > 1:
            worst = scale.turned(scale.turned(scores).min())
            yield "std", f"{scale.written(scores.std())}   {scale.worst_word} {scale.written(worst)}"
        if sweep.diverged_at is not None:
            below = f"best found {scale.diverged_word} {sweep.diverged_at:.4g}"
            yield "diverged", f"{finished['diverged'].sum()} of {len(finished)} ({below})"
    if finished["seconds"].notna().any():
        yield "time", f"{finished['seconds'].mean():.1f} s a trial, {hours(every['seconds'].sum())} in all"


def draw_scores(sweep: Sweep) -> Figure:
    """Best found score of every finished trial: a heat map of the grid, or sorted where the seeds are no grid."""
    draw = figures.heat_map if figures.is_grid(sweep.trials) else figures.ranked_trials
    unfinished = ~sweep.trials["status"].isin(FINISHED)
    scores = sweep.trials["best_found"].mask(unfinished)
    return draw(sweep.trials.assign(best_found=scores), sweep.scale, sweep.name)


def draw_curves(sweep: Sweep) -> Figure:
    """Score of every trial at its evaluations."""
    return figures.validation_curves(sweep.trials, sweep.evaluations, sweep.scale, sweep.diverged_at, sweep.name)
