"""Of which sweeps a statistic can be given: each check refuses with why not, and what would help."""

from __future__ import annotations

import numpy as np

from seedgrid.errors import InputError
from seedgrid.report.arrays import FinishedTrials


def check_sample(study: FinishedTrials, least: int = 2) -> None:
    """Raise ValueError unless the finished trials are a random sample of at least ``least``."""
    if study.selected:
        raise ValueError(
            "some trials were stopped for their scores, so the finished ones are no random sample; run a sweep that "
            "stops none"
        )
    if len(study.trials) < least:
        raise ValueError(f"{len(study.trials)} finished trial, at least {least} are needed; run more seeds")


def grid_scores(study: FinishedTrials) -> np.ndarray:
    """Scores by seed, as ``LabelledGrid.scores``.

    Raises:
        ValueError: the trials are no random sample, share no seeds, or span too large a grid.
    """
    check_sample(study)
    if not study.sweep.seeded:
        raise ValueError("nothing is known of its trials' seeds")
    if not study.crossed:
        raise ValueError(
            "no grid: its trials do not share both init and order seeds; run one with seed.init='range(0,5)' "
            "seed.order='range(0,5)'"
        )
    try:
        return study.grid.scores
    except InputError:
        raise ValueError("its seeds span too many pairs to be laid out as a grid") from None
