"""Henderson's method 3: what each seed adds to the fit of a grid with gaps, and what each variance adds to that."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axis = Literal["init", "order", "dropout"]

AXES: tuple[Axis, ...] = ("init", "order", "dropout")

# Sums of squares below this share of the total are what rounding left of an exact zero.
_ROUNDING = 1e-20
# The normal equations hold a row for each seed and, with dropouts, for each pair of seeds: 5,000 rows are 200 MB.
_MOST_LEVELS = 5_000


@dataclass(frozen=True)
class MeanSquares:
    """What the sources of variance add to the fit of one grid, and what is expected of it (Henderson's method 3)."""

    names: tuple[str, ...]  # the sources that the design can tell from the residual, which comes after them
    sums: NDArray[np.float64]  # (sources + 1,)
    degrees: NDArray[np.int64]  # (sources + 1,)
    traces: NDArray[np.float64]  # (sources, sources): of source s's variance in the expectation of t's sum of squares
    mean: float
    mean_weights: NDArray[np.float64]  # (sources + 1,): of each variance in the variance of the mean
    trials: int

    def mean_squares(self) -> NDArray[np.float64]:
        return self.sums / self.degrees

    def expected_mean_squares(self) -> NDArray[np.float64]:
        """Square matrix that turns the variances, the residual's last, into the expected mean squares."""
        matrix = np.eye(self.degrees.size)
        matrix[:-1, -1] = 1.0
        matrix[:-1, :-1] = self.traces / self.degrees[:-1, None]
        return matrix


def mean_squares_of(scores: NDArray[np.float64]) -> MeanSquares:
    """Mean squares of all sources that the cells of a grid tell apart.

    Args:
        scores: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing; at least one is there.

    Raises:
        ValueError: too many cells are missing to tell any source from the residual, or there are too many seeds.
    """
    cells = np.nonzero(np.isfinite(scores))
    values = scores[cells]
    mean = float(values.mean())
    # From the first score, so that constant scores are exactly 0; then from the mean, so that squares stay small.
    centred = values - values[0]
    centred = centred - centred.mean()

    sources = sources_of(cells)
    with_interactions = any(":" in name for name in sources)
    fit = _fit(centred, sources)
    if with_interactions and (fit is None or (fit[1] < 1).any()):
        sources = {name: groups for name, groups in sources.items() if ":" not in name}
        fit = _fit(centred, sources)
    if fit is None or (values.size > 1 and (fit[1] < 1).any()):
        raise ValueError(
            f"too many cells of the grid are missing: {values.size} trials do not suffice to tell "
            f"{', '.join(sources)} and residual apart; run more seed pairs that share seeds"
        )
    sums, degrees, traces = fit
    weights = [np.sum(np.bincount(groups).astype(float) ** 2) / values.size**2 for groups in sources.values()]
    weights.append(1 / values.size)
    return MeanSquares(tuple(sources), sums, degrees, traces, mean, np.array(weights), values.size)


def sources_of(cells: tuple[NDArray[np.intp], ...]) -> dict[str, NDArray[np.intp]]:
    """Which seed (or pair of seeds) each trial has, for the sources that are not the mean or the residual in disguise.

    A seed that all trials share is part of the mean; seeds of which each has one trial are the residual; and two
    sources that group the trials alike, such as an init and a dropout seed that always are the same, are one source.
    """
    axes = AXES[: len(cells)]
    groups = {name: np.unique(ids, return_inverse=True)[1] for name, ids in zip(axes, cells, strict=True)}
    if len(axes) == 3:
        for first, second in combinations(axes, 2):
            pairs = groups[first] * (groups[second].max() + 1) + groups[second]
            groups[f"{first}:{second}"] = np.unique(pairs, return_inverse=True)[1]
    kept: dict[str, NDArray[np.intp]] = {}
    seen: set[bytes] = set()
    for name, ids in groups.items():
        _, first_seen, inverse = np.unique(ids, return_index=True, return_inverse=True)
        alike = first_seen[inverse].tobytes()
        if 1 < first_seen.size < ids.size and alike not in seen:
            kept[name] = ids
            seen.add(alike)
    return kept


def _fit(
    centred: NDArray[np.float64], sources: dict[str, NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]] | None:
    """Sums of squares and degrees (the residual last) and their traces; None where nothing is left for the residual."""
    trials = centred.size
    ids = list(sources.values())
    sizes = [int(groups.max()) + 1 for groups in ids]
    check_size(sum(sizes))
    ends = np.cumsum([0, *sizes])
    at = [slice(start, stop) for start, stop in pairwise(ends)]
    # The normal equations of the indicator columns of all sources; the grid's mean is in the span of each of them.
    gram = np.zeros((ends[-1], ends[-1]))
    right = np.zeros(ends[-1])
    for row, rows in enumerate(ids):
        right[at[row]] = np.bincount(rows, weights=centred, minlength=sizes[row])
        for column, columns in enumerate(ids):
            counts = np.bincount(rows * sizes[column] + columns, minlength=sizes[row] * sizes[column])
            gram[at[row], at[column]] = counts.reshape(sizes[row], sizes[column])

    inverse, rank = pseudo_inverse(gram)
    effects = inverse @ right
    residual = centred - sum((effects[at[row]][rows] for row, rows in enumerate(ids)), np.zeros(trials))
    sums = np.zeros(len(ids) + 1)
    degrees = np.zeros(len(ids) + 1, dtype=np.int64)
    traces = np.zeros((len(ids), len(ids)))
    sums[-1] = residual @ residual
    degrees[-1] = trials - max(rank, 1)
    if degrees[-1] < 1:
        return None
    names = list(sources)
    for row, name in enumerate(names):
        # Adjusted for every source that does not contain this one: init:order contains init.
        contains = [set(name.split(":")) <= set(other.split(":")) for other in names]
        own = at[row]
        others = np.concatenate(
            [np.arange(at[k].start, at[k].stop) for k in range(len(names)) if not contains[k]] or [[]]
        )
        others = others.astype(np.intp)
        if others.size:
            projection = gram[own][:, others] @ pseudo_inverse(gram[np.ix_(others, others)])[0]
        else:  # only the mean is adjusted for
            others = np.arange(own.start, own.stop)
            projection = np.outer(gram[own, own].diagonal(), np.ones(others.size)) / trials
        adjusted = gram[own] - projection @ gram[others]
        own_right = right[own] - projection @ right[others]
        own_inverse, degrees[row] = pseudo_inverse(adjusted[:, own])
        sums[row] = own_right @ own_inverse @ own_right
        for column in range(len(names)):
            if contains[column]:
                traces[row, column] = np.sum((own_inverse @ adjusted[:, at[column]]) * adjusted[:, at[column]])
    sums[sums < _ROUNDING * (centred @ centred)] = 0.0
    return sums, degrees, traces


def pseudo_inverse(symmetric: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Moore-Penrose inverse and rank of a positive semidefinite matrix of counts."""
    if not symmetric.size:
        return symmetric, 0
    values, vectors = np.linalg.eigh(symmetric)
    # Counts are whole numbers: an eigenvalue that is not 0 lies far above the 1e-16 of rounding.
    large = values > 1e-10 * max(values[-1], 1.0)
    return (vectors[:, large] / values[large]) @ vectors[:, large].T, int(large.sum())


def check_size(levels: int) -> None:
    """Refuse, with a ValueError, so many seeds and pairs of seeds that their equations would fill memory."""
    if levels > _MOST_LEVELS:
        raise ValueError(
            f"the grid has {levels} seeds (and pairs of seeds) that recur; at most {_MOST_LEVELS} are possible"
        )
