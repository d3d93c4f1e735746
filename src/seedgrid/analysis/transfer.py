"""Whether an init seed that is good on one task is good on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from seedgrid.analysis.rounding import significant_decimals
from seedgrid.analysis.variance import Axis, seed_means


@dataclass(frozen=True)
class SeedRanks:
    """Seeds ranked on each task, and how far the tasks agree."""

    tasks: tuple[str, ...]
    seeds: tuple[int, ...]  # those with trials on every task
    left_out: dict[str, tuple[int, ...]]  # a task's seeds that some other task lacks
    means: NDArray[np.float64]  # (tasks, seeds), each in the units of its task's score
    ranks: NDArray[np.float64]  # (tasks, seeds): 1 is best, equal means share their average rank
    mean_rank: NDArray[np.float64]  # (seeds,)
    kendall_w: float  # 0: no agreement, 1: the same order on every task
    friedman_chi2: float
    friedman_p: float
    permutation_p: float


def seed_ranks(
    grids: Mapping[str, ArrayLike],
    seeds: Mapping[str, Sequence[int]] | None = None,
    axis: Axis = "init",
    shuffles: int = 10_000,
    seed: int = 0,
) -> SeedRanks:
    """Rank the seeds of one axis on each task by their mean score, and test whether the tasks agree beyond chance.

    The new layer of two tasks with the same number of classes has the same shape, so an init seed means the same
    weights on both, and the paper asks whether some are good everywhere. It names the seed that came out best on
    several tasks; among 25 seeds on four tasks some seed always does well. Whether the tasks agree is a question about
    all seeds:

    - Kendall's W, corrected for ties: the variance of the seeds' rank sums as a share of the largest possible
      (Kendall and Babington Smith 1939). With T tasks, W is 1 / T on average where nothing agrees.
    - Friedman's chi-square T (S - 1) W with its p for S seeds; rough for few tasks (NaN for fewer than three seeds).
    - a permutation p: ranks shuffled within each task, (1 + shuffles with at least this W) / (1 + shuffles); exact up
      to the number of shuffles, and the one to quote.

    Args:
        grids: task -> (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing; means are those of
            ``seedgrid.analysis.variance.seed_means``.
        seeds: task -> the axis's seeds in the order of its grid's rows. None: row k has the same seed in all grids,
            which then need equally many.
        axis: whose seeds are ranked.
        shuffles, seed: number of shuffles for the permutation p and the seed of their generator.

    Returns:
        SeedRanks over the seeds that have trials on every task. If each task gives all seeds the same mean there are no
        ranks to compare: W, chi-square and their p are NaN.

    Raises:
        ValueError: there are fewer than two tasks or two common seeds, or if ``seeds`` does not fit the grids.
    """
    tasks = tuple(grids)
    if len(tasks) < 2:
        raise ValueError(f"grids has {len(tasks)} task; ranks are compared between at least 2")
    means_of: dict[str, dict[int, float]] = {}
    rows_of_first = 0
    for task in tasks:
        means = seed_means(grids[task], axis)
        if seeds is None:
            rows_of_first = rows_of_first or means.size
            if means.size != rows_of_first:
                raise ValueError(
                    f"the grid of {task} has {means.size} {axis} seeds, that of {tasks[0]} {rows_of_first}; "
                    "say in ``seeds`` which seed each row has"
                )
            labels = list(range(means.size))
        else:
            labels = [int(label) for label in seeds.get(task, ())]
            if len(labels) != means.size or len(set(labels)) != len(labels):
                raise ValueError(
                    f"seeds of {task} are {len(labels)} ({len(set(labels))} different); its grid has {means.size} rows"
                )
        means_of[task] = {label: float(mean) for label, mean in zip(labels, means, strict=True) if np.isfinite(mean)}

    common = sorted(set.intersection(*(set(means) for means in means_of.values())))
    if len(common) < 2:
        raise ValueError(f"the tasks have {len(common)} {axis} seeds in common; at least 2 are needed")
    means = np.array([[means_of[task][label] for label in common] for task in tasks])
    # Sums over orders of equal scores may differ in their last bits; such means are equal.
    ranks = stats.rankdata([-np.round(of_task, significant_decimals(of_task)) for of_task in means], axis=1)

    ties = sum(float(np.sum(counts**3 - counts)) for counts in (np.unique(row, return_counts=True)[1] for row in ranks))
    number, size = len(tasks), len(common)
    most = (number**2 * (size**3 - size) - number * ties) / 12

    def spread(of: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = of.sum(axis=-2)
        return np.sum((sums - number * (size + 1) / 2) ** 2, axis=-1)

    kendall_w = friedman_chi2 = friedman_p = permutation_p = float("nan")
    if most > 0:
        observed = float(spread(ranks))
        kendall_w = observed / most
        if size > 2:
            friedman_chi2 = number * (size - 1) * kendall_w
            friedman_p = float(stats.chi2.sf(friedman_chi2, size - 1))
        generator = np.random.default_rng(seed)
        exceedances, done = 0, 0
        while done < shuffles:
            block = min(shuffles - done, max(1, 1_000_000 // ranks.size))
            shuffled = generator.permuted(np.tile(ranks, (block, 1, 1)), axis=2)
            exceedances += int(np.sum(spread(shuffled) >= observed - 1e-6))  # sums of halves are exact, this is ample
            done += block
        permutation_p = (1 + exceedances) / (1 + shuffles)
    return SeedRanks(
        tasks=tasks,
        seeds=tuple(common),
        left_out={task: tuple(sorted(set(means_of[task]) - set(common))) for task in tasks},
        means=means,
        ranks=ranks,
        mean_rank=ranks.mean(axis=0),
        kendall_w=kendall_w,
        friedman_chi2=friedman_chi2,
        friedman_p=friedman_p,
        permutation_p=permutation_p,
    )
