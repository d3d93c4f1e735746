"""The paper's Figure 1: the best score to expect of n trials, for three schedules of validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from seedgrid.analysis.expected import ExpectedMaxInterval, expected_max, expected_max_interval
from seedgrid.errors import InputError
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import (
    BEST,
    EPOCH_ENDS,
    REFERENCE,
    TRAINING_END,
    count_axis,
    panel_each,
    score_axis,
    set_title,
)
from seedgrid.report.section import Section, in_scores, lines, of_each
from seedgrid.report.sections.available import check_sample
from seedgrid.scale import shared_word
from seedgrid.wording import percent

ALL, EPOCHS, END = "all evaluations", "once an epoch", "once, at the end"
_COLOURS = {ALL: BEST, EPOCHS: EPOCH_ENDS, END: TRAINING_END}
# An epoch's end is met by an evaluation within rounding of its fraction.
_SAME_EPOCH = 1e-6
# As many points as a curve over 100,000 budgets needs to look smooth.
_MOST_POINTS = 300


@dataclass(frozen=True)
class _Expected:
    """Expected best of n trials, n = 1 ... N, of one sweep, as utilities."""

    by_schedule: dict[str, np.ndarray]  # each (N,)
    plugin: np.ndarray  # (N,), the paper's estimate from all evaluations
    interval: ExpectedMaxInterval
    remarks: list[str]


def expected_best(studies: Sequence[FinishedTrials], level: float = 0.95, draws: int = 2000, seed: int = 0) -> Section:
    """Expected best of n trials against n, validated once, once an epoch, and at every evaluation."""
    found, missing = of_each(studies, lambda study: _expect(study, level, draws, seed))
    missing += [f"{study.name}: {line}" for study, result in found for line in result.remarks]
    key, title = "figure-1", "Expected best of n trials"
    if not found:
        return Section(key, title, missing=missing)
    biased = shared_word([study.scale for study, _ in found], "plugin_word", "towards worse scores")
    caption = (
        "Expected validation score of the best of n trials against n, on a logarithmic scale (Dodge et al. 2020, "
        "Figure 1), for three schedules recomputed from the same curves: validated at all evaluations, at each epoch's "
        "end, and once at the end of training. Unbiased estimate: the mean of the best over all sets of n different "
        "trials (Tang et al. 2020), exact, without simulation. The thin dotted line is the plug-in estimate of the "
        f"paper, which draws trials with replacement and is biased {biased}. "
        f"Band: {percent(level)} interval for all evaluations, from redrawn "
        "seeds where trials share them (else from redrawn trials); it ends at the largest n at which it can be trusted "
        "(upright mark): beyond, the estimate rests on the few best trials, and its curve goes on dashed."
    )
    figure = panel_each(found, 5.5, 3.8, lambda *drawn: _draw(*drawn, level), per_row=2, legend_columns=3)
    table = pd.concat([_table(study, result, level) for study, result in found], ignore_index=True)
    limits = f"lower {percent(level)}", f"upper {percent(level)}"
    scores = [name for name in table if name not in ("sweep", "n", *limits)]
    table, decimals = in_scores(table, studies, scores, limits)
    reading = lines(found, lambda *read: _reading(*read, level))
    return Section(key, title, reading, caption, figure, table, missing, decimals)


def _expect(study: FinishedTrials, level: float, draws: int, seed: int) -> _Expected:
    check_sample(study)
    schedules, remarks = _by_schedule(study)
    interval = expected_max_interval(_by_shared_seed(study), level, draws, seed, study.scale.bounds)
    if not interval.trusted_up_to:
        remarks.append(f"no interval: {len(study.trials)} trials are too few to say how far the estimate is off")
    by_schedule = {name: expected_max(utilities) for name, utilities in schedules.items()}
    return _Expected(by_schedule, expected_max(study.utilities, "plugin"), interval, remarks)


def _by_schedule(study: FinishedTrials) -> tuple[dict[str, np.ndarray], list[str]]:
    """The best of each trial at the evaluations of each schedule, (trials,) each; and what to say about them."""
    schedules = {ALL: study.utilities}
    evaluations = study.curves.shape[1]
    if evaluations == 1:
        return schedules, ["one evaluation a trial, so there is one schedule of validation"]
    # A trial whose evaluations lie at other steps counts with its last one up to then.
    at_end = pd.DataFrame(study.curves).ffill(axis=1).to_numpy(copy=True)
    # One whose loss was no number has no score at the end.
    broken = (study.trials["status"] == "nonfinite").to_numpy()
    at_end[broken] = study.curves[broken]
    lowest = study.utilities.min()
    worst = lowest if study.threshold is None else min(study.threshold, lowest)

    def best_at(columns: list[int]) -> np.ndarray:
        seen = np.fmax.reduce(at_end[:, columns], axis=1)
        return np.where(np.isnan(seen), worst, seen)

    said = []
    last = evaluations - 1
    ends = [last]
    if np.isfinite(study.epochs).all():
        whole = np.arange(1, int(np.floor(study.epochs[-1] + _SAME_EPOCH)) + 1)
        at = np.searchsorted(study.epochs, whole + _SAME_EPOCH, side="right") - 1
        ends = sorted({*at[at >= 0].tolist(), last})
        early = [
            f"{study.epochs[k]:.2f} for {n}"
            for n, k in zip(whole, at, strict=True)
            if k >= 0 and study.epochs[k] < n - _SAME_EPOCH
        ]
        if early:
            said.append(
                f"no evaluation at the end of some epochs; the last one before it stands in: epoch "
                f"{', '.join(early[:5])}{', …' if len(early) > 5 else ''}"
            )
        if len(ends) == evaluations:
            said.append(f"validated once an epoch at most, so {ALL} and {EPOCHS} are the same")
        elif len(ends) == 1:
            said.append(f"trained for one epoch at most, so {EPOCHS} and {END} are the same")
        else:
            schedules[EPOCHS] = best_at(ends)
    else:
        said.append("validation once an epoch is not available: the evaluations' epochs are not known")
    schedules[END] = best_at([last])
    without = int(np.isnan(at_end[:, last]).sum())
    if without:
        said.append(
            f"{without} trials whose loss was no number have no score at the end and count as {study.long(worst)} there"
        )
    return schedules, said


def _by_shared_seed(study: FinishedTrials) -> np.ndarray:
    """The utilities by their seeds where some trials share one, else as a list of independent trials."""
    shared = any(1 < study.trials[seed].nunique() < len(study.trials) for seed in SEEDS)
    if study.sweep.seeded and shared:
        try:
            return study.grid.scores
        except InputError:  # too many pairs of seeds to be laid out, each with next to no trials
            pass
    return study.utilities


def _draw(axes: Axes, study: FinishedTrials, result: _Expected, level: float) -> None:
    trials = len(result.plugin)
    points = np.unique(np.geomspace(1, trials, _MOST_POINTS).round().astype(int))
    trusted = result.interval.trusted_up_to
    inside, beyond = points[points <= trusted], points[points >= max(trusted, 1)]
    turned = study.scale.turned
    lower, upper, plugin = map(turned, (result.interval.lower, result.interval.upper, result.plugin))
    by_schedule = {name: turned(values) for name, values in result.by_schedule.items()}
    if trusted:
        axes.fill_between(
            inside,
            lower[inside - 1],
            upper[inside - 1],
            color=BEST,
            alpha=0.2,
            linewidth=0,
            label=f"{percent(level)} interval, {ALL}",
        )
        if trusted == 1:  # a band needs two points
            limits = np.sort([lower[:1], upper[:1]], axis=0)
            middle = by_schedule[ALL][:1]
            axes.errorbar([1], middle, np.abs(limits - middle), color=BEST, alpha=0.4, capsize=3)
        axes.plot([trusted], by_schedule[ALL][[trusted - 1]], color=BEST, marker="|", markersize=14)
    axes.plot(points, plugin[points - 1], color=REFERENCE, linewidth=1, linestyle=":", label="plug-in estimate")
    for name, values in by_schedule.items():
        if name == ALL:
            axes.plot(inside, values[inside - 1], color=BEST, linewidth=2, label=name)
            dashed = (0, (3, 1.5))
            axes.plot(
                beyond, values[beyond - 1], color=BEST, linewidth=2, linestyle=dashed, label=f"{name}, no interval"
            )
        else:
            # The two often lie on each other.
            line = "-" if name == EPOCHS else (0, (5, 2))
            axes.plot(points, values[points - 1], color=_COLOURS[name], linestyle=line, linewidth=1.5, label=name)
    count_axis(axes, "x", trials)
    axes.set_xlabel("n, trials")
    score_axis(axes, "y", f"expected best {study.sweep.metric}", study.scale)
    set_title(axes, study.name, trials)


def _table(study: FinishedTrials, result: _Expected, level: float) -> pd.DataFrame:
    trials = len(result.plugin)
    round_numbers = [step * 10**power for power in range(7) for step in (1, 2, 3, 5)]
    n = np.array([*(number for number in round_numbers if number < trials), trials])
    columns = {"sweep": study.name, "n": n, ALL: result.by_schedule[ALL][n - 1]}
    columns[f"lower {percent(level)}"] = result.interval.lower[n - 1]
    columns[f"upper {percent(level)}"] = result.interval.upper[n - 1]
    for name in (EPOCHS, END):
        columns[name] = result.by_schedule[name][n - 1] if name in result.by_schedule else np.nan
    columns[f"plug-in, {ALL}"] = result.plugin[n - 1]
    return pd.DataFrame(columns)


def _reading(study: FinishedTrials, result: _Expected, level: float) -> str:
    found, expected, interval = study.utilities, result.by_schedule[ALL], result.interval
    if found.max() == found.min():
        return f"all {len(found):,} trials found {study.short(found[0])}, so running more of them promises no more."
    trusted = interval.trusted_up_to
    n = min(5, max(trusted, 2), len(found))

    def limits(k: int) -> str:
        if k > trusted:
            return ""
        return f" ({percent(level)} interval {study.short_limits(interval.lower[k - 1], interval.upper[k - 1])})"

    text = (
        f"a single trial is expected to find {study.short(expected[0])}{limits(1)}, the best of {n} "
        f"{study.short(expected[n - 1])}{limits(n)}"
    )
    if len(found) > n:
        text += f", and the best of all {len(found):,} found {study.short(expected[-1])}"
    if END in result.by_schedule:
        text += (
            f". Validating only once, at the end, would leave {study.short(result.by_schedule[END][n - 1])} to expect "
            f"of the best of {n}"
        )
    return text + "."
