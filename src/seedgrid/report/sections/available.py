"""For which sweeps a statistic can be given, and a line on each of the others: why not, and what would help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seedgrid.errors import InputError
from seedgrid.report.arrays import FinishedTrials


def random_samples(studies: Sequence[FinishedTrials], least: int = 2) -> tuple[list[FinishedTrials], list[str]]:
    """The sweeps whose finished trials are a random sample of at least ``least``; a line on each of the others."""
    given, missing = [], []
    for study in studies:
        if study.selected:
            missing.append(
                f"{study.name}: not available: some trials were stopped for their scores, so the finished ones are no "
                "random sample; run a sweep that stops none"
            )
        elif len(study.trials) < least:
            missing.append(
                f"{study.name}: not available: {len(study.trials)} finished trial, at least {least} are needed; run "
                "more seeds"
            )
        else:
            given.append(study)
    return given, missing


def grids(studies: Sequence[FinishedTrials]) -> tuple[list[FinishedTrials], list[str]]:
    """The sweeps that are a random sample and a grid of seeds that can be laid out; a line on each of the others."""
    given, missing = random_samples(studies)
    crossed = []
    for study in given:
        if not study.sweep.seeded:
            missing.append(f"{study.name}: not available: nothing is known of its trials' seeds")
        elif not study.crossed:
            missing.append(
                f"{study.name}: not available: no grid: its trials do not share both init and order seeds; run one "
                "with seed.init='range(0,5)' seed.order='range(0,5)'"
            )
        elif cells(study) is None:
            missing.append(f"{study.name}: not available: its seeds span too many pairs to be laid out as a grid")
        else:
            crossed.append(study)
    return crossed, missing


def cells(study: FinishedTrials) -> np.ndarray | None:
    """Scores by seed, as ``LabelledGrid.scores``; None where trials share no seeds or the grid would be too large."""
    if not study.crossed:
        return None
    try:
        return study.grid.scores
    except InputError:
        return None
