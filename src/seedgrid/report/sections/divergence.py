"""Which seeds diverge: the share of diverged trials of each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from statsmodels.stats.proportion import proportion_confint

from seedgrid.analysis.variance import permutation_test
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.figures import DIVERGED, PAGE_WIDTH, REFERENCE, percent_axis
from seedgrid.report.section import Section, lines, of_each
from seedgrid.wording import count, p_value, percent

_SHUFFLES = 1_000
_MOST_LABELS = 40  # seeds named under a panel


def divergence_by_seed(studies: Sequence[FinishedTrials], level: float = 0.95, seed: int = 0) -> Section:
    """Share of trials that diverged, over all trials and for each seed that several trials share."""
    found, missing = of_each(studies, lambda study: _divergence(study, level, seed))
    key, title = "divergence-by-seed", "Which seeds diverge"
    if not found:
        return Section(key, title, missing=missing)
    missing += [f"{study.name}: {line}" for study, result in found for line in result.missing]
    columns = ["sweep", "seed of", "seed", "trials", "diverged", "share", "share, lower", "share, upper"]
    tables = [table.assign(sweep=study.name) for study, result in found for table in (result.all, *result.by_seed)]
    drawn = [(study, result.by_seed) for study, result in found if result.by_seed]
    return Section(
        key,
        title,
        lines(found, lambda study, result: result.reading),
        f"Share of each seed's trials that diverged, with Wilson's {percent(level)} intervals, the seeds sorted by it; "
        "the dashed line is the share of all trials. The intervals take trials for independent; trials that share "
        "their other seed are not, and of many seeds some lie far out by chance. The p-values allow for both: a "
        "permutation test of the range of the shares, shuffled among trials that have all other seeds in common.",
        _draw(drawn) if drawn else None,
        pd.concat(tables, ignore_index=True)[columns].astype({"seed": "Int64"}),
        missing,
    )


@dataclass(frozen=True)
class _Divergence:
    """Of one sweep: the share of all trials, those by seed, what they say, and what cannot be said."""

    all: pd.DataFrame
    by_seed: list[pd.DataFrame]
    reading: str
    missing: list[str]


def _divergence(study: FinishedTrials, level: float, seed: int) -> _Divergence:
    sweep, trials = study.sweep, study.trials
    diverged = int(trials["diverged"].sum())
    if study.selected:
        raise ValueError(
            "some trials were stopped early for their scores, and it is not known which of them would have diverged"
        )
    if sweep.diverged_at is None and not diverged:
        raise ValueError("it is not known at which score a trial counts as diverged")
    sentences = [f"{diverged} of {count(len(trials))} diverged"]
    if sweep.diverged_at is not None:
        where = f"{study.scale.diverged_word} {sweep.diverged_at:.4g}"
        sentences[0] += f" (best found {where}, or a loss that was no finite number)"
    else:
        sentences[0] += " (a loss that was no finite number; no threshold of the score is known)"
    by_seed, missing = [], []
    if 0 < diverged < len(trials):
        if not sweep.seeded:
            missing.append("its trials are listed without seeds, so there is no share by seed")
        for name in SEEDS if sweep.seeded else ():
            seeds = trials[name].nunique()
            if seeds == len(trials):
                missing.append(f"each {name} seed has one trial, so there is no share by {name} seed")
            elif seeds > 1:
                by_seed.append(_counts(trials, name, level))
                sentences.append(_compared(by_seed[-1], name, _p(study, name, seed), level))
    return _Divergence(
        _counts(trials.assign(all=0), "all", level).assign(seed=None), by_seed, f"{'. '.join(sentences)}.", missing
    )


def _counts(trials: pd.DataFrame, name: str, level: float) -> pd.DataFrame:
    """A row per seed, the most divergent first."""
    counts = trials.groupby(name)["diverged"].agg(trials="size", diverged="sum").reset_index()
    counts["share"] = counts["diverged"] / counts["trials"]
    counts["share, lower"], counts["share, upper"] = proportion_confint(
        counts["diverged"].to_numpy(), counts["trials"].to_numpy(), alpha=1 - level, method="wilson"
    )
    counts = counts.rename(columns={name: "seed"}).assign(**{"seed of": name})
    return counts.sort_values(["share", "seed"], ascending=[False, True], ignore_index=True)


def _p(study: FinishedTrials, name: str, seed: int) -> float | None:
    """p of the hypothesis that seeds of this name diverge alike; None where nothing can be shuffled."""
    diverged = study.laid_out(study.trials["diverged"].to_numpy(float))
    try:
        return permutation_test(diverged.scores, name, "within", _SHUFFLES, seed).p
    except ValueError:
        return None


def _compared(counts: pd.DataFrame, name: str, p: float | None, level: float) -> str:
    highest, lowest = counts["share"].iloc[0], counts["share"].iloc[-1]
    if highest == lowest:
        return f"By {name} seed the share is {percent(highest)} for each"
    worst = counts[counts["share"] == highest]
    which = f"{name} seed {worst['seed'].iloc[0]}" if len(worst) == 1 else f"{len(worst)} {name} seeds"
    text = f"By {name} seed the share goes from {percent(lowest)} to {percent(highest)} ({which})"
    if p is None:
        return f"{text}; no two of these seeds share their other seed, so no test can be given"
    verdict = "chance alone hardly explains it" if p < 1 - level else "chance alone may explain it"
    return f"{text}: {verdict} ({p_value(p)})"


def _draw(drawn: list[tuple[FinishedTrials, list[pd.DataFrame]]]) -> Figure:
    columns = max(len(by_seed) for _, by_seed in drawn)
    figure = Figure(figsize=(min(max(4.2 * columns, 5.2), PAGE_WIDTH), 2.5 * len(drawn) + 0.3), layout="constrained")
    for row, (study, by_seed) in zip(figure.subplots(len(drawn), columns, squeeze=False), drawn, strict=True):
        for panel in row[len(by_seed) :]:
            panel.remove()
        for panel, counts in zip(row, by_seed, strict=False):
            _draw_seeds(panel, study, counts)
    return figure


def _draw_seeds(panel: Axes, study: FinishedTrials, counts: pd.DataFrame) -> None:
    at, name = np.arange(len(counts)), counts["seed of"].iloc[0]
    panel.axhline(study.trials["diverged"].mean(), color=REFERENCE, linestyle="--", linewidth=1)
    panel.vlines(at, counts["share, lower"], counts["share, upper"], color=DIVERGED, linewidth=1, alpha=0.6)
    panel.plot(at, counts["share"], "o", color=DIVERGED, markersize=5 if len(at) <= _MOST_LABELS else 2.5)
    if len(at) <= _MOST_LABELS:
        panel.set_xticks(at, counts["seed"], fontsize=8 if len(at) <= 20 else 7, rotation=0 if len(at) <= 15 else 90)
    else:
        panel.set_xticks([])
    panel.set_xlim(-0.7, len(at) - 0.3)
    panel.set_ylim(-0.03, 1.03)
    percent_axis(panel.yaxis)
    panel.set_xlabel(f"{name} seed, sorted by share", fontsize=9)
    panel.set_ylabel("trials diverged", fontsize=9)
    panel.tick_params(axis="y", labelsize=8)
    fewest, most = counts["trials"].min(), counts["trials"].max()
    each = f"{most}" if fewest == most else f"{fewest} to {most}"
    panel.set_title(f"{study.name}: {len(study.trials):,} trials, {each} a seed", fontsize=9)
