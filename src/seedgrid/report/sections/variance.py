"""Which seed matters: the share of the variance between trials that each seed brings, and tests of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from matplotlib.axes import Axes

from seedgrid.analysis.variance import AXES, Components, components, permutation_test
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import REFERENCE, panel_each, percent_axis, set_title
from seedgrid.report.section import Section, in_scores, of_each, rows
from seedgrid.report.sections.available import grid_scores
from seedgrid.wording import count, listed, p_value, percent

_TITLE = "Which seed matters"
_SHUFFLES = 10_000
# Scores shuffled in all by one test: some seconds. Beyond 10,000 trials the tests take fewer shuffles.
_MOST_SHUFFLED = 100_000_000


def variance_shares(studies: Sequence[FinishedTrials], level: float = 0.95, seed: int = 0) -> Section:
    """Variance components of each grid, with F tests and permutation tests."""
    found, missing = of_each(studies, lambda study: _shares(study, level, seed))
    if not found:
        return Section("variance-shares", _TITLE, missing=missing)
    caption = (
        f"Share of the variance between single trials that comes from each seed, with {percent(level)} intervals: "
        "crossed random effects (Henderson's method 3), generalized confidence intervals (Weerahandi 1993). The "
        "residual is what remains once the seeds' own effects are taken out: the effect of their combination, "
        "and in a grid with a varied dropout seed what is left beyond pairs of seeds. The F tests take effects for "
        "normal. The permutation tests take nothing for granted: they compare the range of the seeds' means with its "
        f"range in up to {_SHUFFLES:,} shuffles, of the scores among the trials that share all other seeds, "
        "or of all scores over all cells (as Dodge et al. 2020 do, which mixes the other seed's effect in)."
    )
    if any(parts.dropout is not None for _, (parts, _) in found):
        caption += (
            " Where the dropout seed varies, shuffles also find a seed that does something only together with another, "
            "so the reading goes by F tests: of a seed against its pairs with the others (Satterthwaite's quasi-F, "
            "1946, as no exact test exists), of a pair against the residual."
        )
    reading = "\n".join(_reading(study, *shares) for study, shares in found)
    table = rows(found, lambda study, shares: shares[1]).astype({"seeds": "Int64"})
    figure = panel_each(found, 4.2, 1.4 + 0.35 * max(len(parts.every) for _, (parts, _) in found), _draw)
    decimals = in_scores(table, studies, amounts=["standard deviation", "range of means"])[1]
    return Section("variance-shares", _TITLE, reading, caption, figure, table, missing, decimals)


def _shares(study: FinishedTrials, level: float, seed: int) -> tuple[Components, list[dict[str, object]]]:
    """The components of a grid, and their rows of the table, with the tests."""
    scores = grid_scores(study)
    try:
        parts = components(scores, level=level, seed=seed)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("components: ")) from None
    if parts.total == 0:
        raise ValueError(f"all {parts.trials} trials have the same score, no variance")
    return parts, _rows(study, parts, seed)


def shuffles_of(study: FinishedTrials) -> int:
    """How often the scores of a sweep are shuffled in each permutation test of a grid."""
    return max(1_000, min(_SHUFFLES, _MOST_SHUFFLED // len(study.trials)))


def _name(source: str) -> str:
    if source == "residual":
        return source
    return f"{source} seed" if ":" not in source else " with ".join(source.split(":"))


def _rows(study: FinishedTrials, parts: Components, seed: int) -> list[dict[str, object]]:
    grid = study.grid
    shuffles = shuffles_of(study)
    rows = []
    for part in parts.every:
        within = everywhere = seeds = None
        if part.name in AXES:
            seeds = len(grid.seeds[AXES.index(part.name)])
            everywhere = permutation_test(grid.scores, part.name, "all", shuffles, seed)
            # With few trials and a varied dropout seed, no two trials may have all other seeds in common.
            with suppress(ValueError):
                within = permutation_test(grid.scores, part.name, "within", shuffles, seed)
        rows.append(
            {
                "source": _name(part.name),
                "seeds": seeds,
                "standard deviation": math.sqrt(max(part.variance, 0.0)),
                "share of variance": part.share,
                "share, lower": part.share_lower,
                "share, upper": part.share_upper,
                "F": part.f,
                "p, F test": part.p,
                "range of means": None if within is None else within.range,
                "p, permutation": None if within is None else within.p,
                "p, permutation over all cells": None if everywhere is None else everywhere.p,
            }
        )
    return rows


def _reading(study: FinishedTrials, parts: Components, tested: list[dict[str, object]]) -> str:
    matter, open_, others = [], [], []
    for part, row in zip(parts.every, tested, strict=True):
        if part.name not in AXES:
            continue
        p, test = row["p, permutation"], "permutation test"
        # With a varied dropout seed, shuffles take what a pair of seeds does for what each of them does by itself.
        if p is None or parts.dropout is not None:
            p, test = part.p, "F test"
        numbers = (
            f"{percent(part.share)} of the variance, {percent(parts.level)} interval {percent(part.share_lower)} to "
            f"{percent(part.share_upper)}, {test} {p_value(p)}"
        )
        by_test, by_interval = p < 1 - parts.level, part.share_lower > 0
        verdict = matter if by_test and by_interval else open_ if by_test or by_interval else others
        verdict.append(f"the {part.name} seed ({numbers})")
    sentences = []
    if matter:
        sentences.append(f"Here {listed(matter)} {_verb(matter)}.")
    if open_:
        sentences.append(f"Whether {listed(open_)} {_verb(open_)} is open: interval and test disagree.")
    if others:
        sentences.append(f"It is not shown that {' or '.join(others)} matters, which is no proof of the contrary.")
    if parts.dropout is not None:
        sentences.append(_read_pairs(parts))
    alone = sum(part.share for part in parts.every if part.name in AXES)
    sentences.append(f"{percent(1 - alone)} of the variance belong to no seed alone but to their combination.")
    return f"{study.name}, {count(parts.trials)}: {' '.join(sentences)}"


def _read_pairs(parts: Components) -> str:
    """Which pairs of seeds do more than both seeds do by themselves."""
    if not parts.interactions:
        return "Too many trials are missing to tell the pairs of seeds apart."
    matter = [
        f"{_name(part.name)} ({percent(part.share)} of the variance, {p_value(part.p)})"
        for part in parts.interactions
        if part.p < 1 - parts.level and part.share_lower > 0
    ]
    if not matter:
        return "No pair of seeds is shown to do more than its seeds by themselves."
    return f"Of the pairs of seeds, {listed(matter)} {_verb(matter)} beyond what each seed does by itself."


def _verb(seeds: list[str]) -> str:
    return "matters" if len(seeds) == 1 else "matter"


def _draw(axes: Axes, study: FinishedTrials, shares: tuple[Components, list[dict[str, object]]]) -> None:
    parts = shares[0]
    at = np.arange(len(parts.every))[::-1]
    limits = np.array([[part.share_lower, part.share_upper] for part in parts.every])
    # Limits are quantiles and need not enclose an estimate that was cut at 0.
    axes.hlines(at, limits[:, 0], limits[:, 1], color=REFERENCE, linewidth=1.5)
    axes.plot([part.share for part in parts.every], at, "o", color=REFERENCE, markersize=6)
    axes.set_yticks(at, [_name(part.name) for part in parts.every])
    axes.set_ylim(-0.6, len(at) - 0.4)
    axes.set_xlim(-0.03, 1.03)
    percent_axis(axes.xaxis)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("share of the variance between trials")
    set_title(axes, study.name, parts.trials)
