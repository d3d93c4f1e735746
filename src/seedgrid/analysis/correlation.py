"""How well an early validation ranks trials as a later one does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman correlation of each pair of evaluations over the trials that have both."""

    rho: NDArray[np.float64]  # (evaluations, evaluations), NaN where it is not defined
    constant: tuple[int, ...]  # evaluations whose scores do not differ: their row and column of rho are NaN
    pairs: NDArray[np.int64]  # (evaluations, evaluations): number of trials behind each rho


def rank_correlation(curves: ArrayLike) -> RankCorrelation:
    """Spearman correlation between the scores at evaluation i and at evaluation j, over trials (paper, Figure 5).

    The scores themselves are ranked, not the best so far; ties share their average rank. Scores that are missing, as
    those of a trial that was stopped, are left out pair by pair: each entry uses the trials that have both
    evaluations, ranked among themselves. So entries with few ``pairs`` speak of the trials that were kept, not of all.

    Args:
        curves: (trials, evaluations), NaN where a score is missing.

    Returns:
        RankCorrelation. rho is NaN for a pair of evaluations with fewer than two trials in common, or if the scores of
        either do not differ among these trials, as where all trials still predict the majority class.

    Raises:
        ValueError: ``curves`` has not two axes, no trial or no evaluation, or an infinite score.
    """
    scores = np.asarray(curves, dtype=float)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"curves has shape {scores.shape}; it must be trials x evaluations, at least 1 of each")
    if np.isinf(scores).any():
        raise ValueError("curves has an infinite score; give NaN for a score that is missing")
    present = ~np.isnan(scores)
    evaluations = scores.shape[1]
    as_count = present.astype(np.float64)
    pairs = np.rint(as_count.T @ as_count).astype(np.int64)

    # Pairs of evaluations that have the same trials in common are ranked together: without gaps all of them at once.
    same_trials: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    packed = np.packbits(present, axis=0)
    for first in range(evaluations):
        for second in range(first, evaluations):
            same_trials[(packed[:, first] & packed[:, second]).tobytes()].append((first, second))
    rho = np.full((evaluations, evaluations), np.nan)
    for group in same_trials.values():
        first, second = np.array(group).T
        used = np.union1d(first, second)
        common = present[:, group[0][0]] & present[:, group[0][1]]
        if common.sum() < 2:
            continue
        ranks = stats.rankdata(scores[np.ix_(common, used)], axis=0)
        ranks -= ranks.mean(axis=0)
        lengths = np.sqrt(np.sum(ranks**2, axis=0))
        ranks[:, lengths > 0] /= lengths[lengths > 0]
        ranks[:, lengths == 0] = np.nan
        among = np.clip(ranks.T @ ranks, -1.0, 1.0)
        values = among[np.searchsorted(used, first), np.searchsorted(used, second)]
        rho[first, second] = rho[second, first] = values
    differ = [
        np.ptp(scores[present[:, column], column]) > 0 if present[:, column].any() else False
        for column in range(evaluations)
    ]
    np.fill_diagonal(rho, np.where(differ, 1.0, np.nan))
    return RankCorrelation(rho, tuple(int(column) for column in np.flatnonzero(~np.array(differ))), pairs)
