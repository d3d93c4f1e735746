"""A sweep at a glance: in a few lines, as a grid and as curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.figure import Figure

from seedgrid.records.store import FINISHED, Sweep
from seedgrid.report import figures
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


def best_trial(trials: pd.DataFrame) -> pd.Series:
    """The row with the highest best found score; of equals that of the smaller seeds, as for the best model."""
    return trials.loc[trials.sort_index()["best_found"].idxmax()]


def lines(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Name and value of what a sweep came to, of its finished trials; none before one has finished with a score."""
    if not has_scores(sweep):
        return
    finished = sweep.trials[sweep.trials["status"].isin(FINISHED)]
    stopped = sweep.trials[sweep.trials["status"] == "stopped"]
    every = pd.concat([finished, stopped])
    best = best_trial(every)
    where = [f"init {best['init']}, order {best['order']}" if sweep.seeded else f"trial {best['init']}"]
    if every["dropout"].nunique() > 1:
        where.append(f"dropout {best['dropout']}")
    if not math.isnan(best["best_epoch"]):
        where.append(f"epoch {best['best_epoch']:.2f}")
    yield "best found", f"{best['best_found']:.4f} {sweep.metric}   {', '.join(where)}"
    scores = finished["best_found"]
    if len(stopped):  # those that went on were chosen by their scores
        yield "mean, std", "not available: trials were stopped for their scores"
    else:
        yield "mean", f"{scores.mean():.4f}"
        if len(scores) > 1:
            yield "std", f"{scores.std():.4f}   lowest {scores.min():.4f}"
        if sweep.diverged_at is not None:
            below = f"best found at or below {sweep.diverged_at:.4g}"
            yield "diverged", f"{finished['diverged'].sum()} of {len(finished)} ({below})"
    if finished["seconds"].notna().any():
        yield "time", f"{finished['seconds'].mean():.1f} s a trial, {hours(every['seconds'].sum())} in all"


def draw_scores(sweep: Sweep) -> Figure:
    """Best found score of every finished trial: a heat map of the grid, or sorted where the seeds are no grid."""
    draw = figures.heat_map if figures.is_grid(sweep.trials) else figures.ranked_trials
    unfinished = ~sweep.trials["status"].isin(FINISHED)
    scores = sweep.trials["best_found"].mask(unfinished)
    return draw(sweep.trials.assign(best_found=scores), sweep.metric, sweep.name)


def draw_curves(sweep: Sweep) -> Figure:
    """Score of every trial at its evaluations."""
    return figures.validation_curves(sweep.trials, sweep.evaluations, sweep.metric, sweep.diverged_at, sweep.name)
