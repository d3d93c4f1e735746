"""The paper's question whether an init seed that is good on one task is good on the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seedgrid.analysis.transfer import SeedRanks, seed_ranks
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.section import Section, of_each
from seedgrid.report.sections.available import grid_scores
from seedgrid.scale import shared_word
from seedgrid.wording import DECIMALS, count, listed, p_value

_LEVEL = 0.05


def init_seeds_across_tasks(studies: Sequence[FinishedTrials], shuffles: int = 10_000, seed: int = 0) -> Section:
    """Init seeds ranked in each sweep, and whether the sweeps agree."""
    key, title = "init-seeds-across-tasks", "Init seeds across tasks"
    found, missing = of_each(studies, grid_scores)
    given = [study for study, _ in found]
    if len(given) < 2:
        missing.append("ranks are compared between at least two grids; name several sweeps")
        return Section(key, title, missing=missing)
    names = [str(number) for number in range(len(given))]
    try:
        ranks = seed_ranks(
            {name: scores for name, (_, scores) in zip(names, found, strict=True)},
            {name: study.grid.inits for name, study in zip(names, given, strict=True)},
            shuffles=shuffles,
            seed=seed,
        )
    except ValueError as error:
        missing.append(f"the sweeps' init seeds cannot be compared: {error}")
        return Section(key, title, missing=missing)
    for name, study in zip(names, given, strict=True):
        if ranks.left_out[name]:
            missing.append(
                f"{study.name}: {count(len(ranks.left_out[name]), 'init seed')} that another sweep lacks left out"
            )
    order = np.argsort(ranks.mean_rank, kind="stable")
    columns: dict[str, object] = {"init seed": np.array(ranks.seeds)[order], "mean rank": ranks.mean_rank[order]}
    decimals: dict[str, list[int]] = {}
    for row, study in enumerate(given):
        columns[f"rank, {study.name}"] = ranks.ranks[row][order]
        mean = f"mean, {study.name}"
        columns[mean] = study.scale.turned(ranks.means[row][order])
        if study.scale.decimals != DECIMALS:
            decimals[mean] = [study.scale.decimals] * len(order)
    same = (
        "the same weights of the new layer only where that layer has the same shape: the same model's width and number "
        "of classes"
    )
    if any(study.own for study in given):
        same = "the same initial weights only where modules are built alike"
    highest = shared_word([study.scale for study in given], "best_word", "best")
    caption = (
        f"Init seeds by their mean rank; rank 1 has the {highest} mean score over a sweep's orders, equal means share "
        "their average rank. After Dodge et al. (2020), who name the seeds that were best on several tasks; whether "
        "the tasks agree is a question about all seeds, which Kendall's W answers (0: not at all, 1: the same order "
        f"everywhere), with a p-value from {shuffles:,} shuffles of the ranks within each sweep. An init seed means "
        f"{same}."
    )
    table = pd.DataFrame(columns)
    return Section(key, title, _reading(ranks, given), caption, table=table, missing=missing, decimals=decimals)


def _reading(ranks: SeedRanks, given: Sequence[FinishedTrials]) -> str:
    if np.isnan(ranks.kendall_w):
        return "Every init seed has the same mean in each sweep, so there is nothing to rank."
    best = np.flatnonzero(ranks.mean_rank == ranks.mean_rank.min())
    seeds = listed([str(ranks.seeds[k]) for k in best])
    places = ", ".join(
        f"{row[best[0]]:g} of {len(ranks.seeds)} in {study.name}" for row, study in zip(ranks.ranks, given, strict=True)
    )
    first = (
        f"Init seed {seeds} has the best mean rank ({places})."
        if len(best) == 1
        else f"Init seeds {seeds} share the best mean rank."
    )
    agree = (
        "the sweeps agree on which init seeds are good by more than chance"
        if ranks.permutation_p < _LEVEL
        else "that is no more agreement than chance brings, and some seed always comes first"
    )
    return (
        f"{first} Over all {len(ranks.seeds)} seeds Kendall's W is {ranks.kendall_w:.2f} "
        f"({p_value(ranks.permutation_p)}): {agree}."
    )
