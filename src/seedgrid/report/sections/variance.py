"""Which seed matters: the share of the variance between trials that each seed brings, and tests of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from seedgrid.analysis.variance import AXES, Components, components, permutation_test
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import REFERENCE, panels, set_title
from seedgrid.report.section import Section
from seedgrid.report.sections.available import grids
from seedgrid.report.wording import count, listed, p_value, percent

_TITLE = "Which seed matters"
_SHUFFLES = 10_000
# Scores shuffled in all by one test: some seconds. Beyond 10,000 trials the tests take fewer shuffles.
_MOST_SHUFFLED = 100_000_000


def variance_shares(studies: Sequence[FinishedTrials], level: float = 0.95, seed: int = 0) -> Section:
    """Variance components of each grid, with F tests and permutation tests.

    Args:
        studies: of each sweep, its finished trials.
        level: of the shares' intervals.
        seed: of the intervals' draws and of the shuffles.
    """
    found: list[tuple[FinishedTrials, Components]] = []
    rows, readings = [], []
    given, missing = grids(studies)
    for study in given:
        try:
            parts = components(study.grid.scores, level=level, seed=seed)
        except ValueError as error:
            missing.append(f"{study.name}: not available: {str(error).removeprefix('components: ')}")
            continue
        if parts.total == 0:
            missing.append(f"{study.name}: not available: all {parts.trials} trials have the same score, no variance")
            continue
        study_rows = _rows(study, parts, seed)
        rows += study_rows
        readings.append(_reading(study, parts, study_rows))
        found.append((study, parts))
    caption = (
        f"Share of the variance between single trials that comes from each seed, with {percent(level)} intervals: "
        "crossed random effects (Henderson's method 3), generalized confidence intervals (Weerahandi 1993). The "
        "residual is what remains once the seeds' own effects are taken out: the effect of their combination, "
        "and in a grid with a varied dropout seed what is left beyond pairs of seeds. The F tests take effects for "
        "normal. The permutation tests take nothing for granted: they compare the range of the seeds' means with its "
        f"range in up to {_SHUFFLES:,} shuffles, of the scores among the trials that share all other seeds, "
        "or of all scores over all cells (as Dodge et al. 2020 do, which mixes the other seed's effect in)."
    )
    if any(parts.dropout is not None for _, parts in found):
        caption += (
            " Where the dropout seed varies, shuffles also find a seed that does something only together with another, "
            "so the reading goes by F tests: of a seed against its pairs with the others (Satterthwaite's quasi-F, "
            "1946, as no exact test exists), of a pair against the residual."
        )
    return Section(
        key="variance-shares",
        title=_TITLE,
        reading="\n".join(readings),
        caption=caption if found else "",
        figure=_draw(found) if found else None,
        table=pd.DataFrame(rows).astype({"seeds": "Int64"}) if rows else None,
        missing=tuple(missing),
    )


def _name(source: str) -> str:
    if source == "residual":
        return source
    return f"{source} seed" if ":" not in source else " with ".join(source.split(":"))


def _rows(study: FinishedTrials, parts: Components, seed: int) -> list[dict[str, object]]:
    grid = study.grid
    shuffles = max(1_000, min(_SHUFFLES, _MOST_SHUFFLED // len(study.trials)))
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
                "sweep": study.name,
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


def _reading(study: FinishedTrials, parts: Components, rows: list[dict[str, object]]) -> str:
    matter, open_, others = [], [], []
    for part, row in zip(parts.every, rows, strict=True):
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


def _draw(found: list[tuple[FinishedTrials, Components]]) -> Figure:
    figure, axes = panels(len(found), 4.2, 1.4 + 0.35 * max(len(parts.every) for _, parts in found))
    for panel, (study, parts) in zip(axes, found, strict=True):
        every = parts.every
        at = np.arange(len(every))[::-1]
        shares = np.array([part.share for part in every])
        limits = np.array([[part.share_lower, part.share_upper] for part in every])
        # Limits are quantiles and need not enclose an estimate that was cut at 0.
        panel.hlines(at, limits[:, 0], limits[:, 1], color=REFERENCE, linewidth=1.5)
        panel.plot(shares, at, "o", color=REFERENCE, markersize=6)
        panel.set_yticks(at, [_name(part.name) for part in every])
        panel.set_ylim(-0.6, len(every) - 0.4)
        panel.set_xlim(-0.03, 1.03)
        panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.set_xlabel("share of the variance between trials")
        set_title(panel, study.name, parts.trials)
    return figure
