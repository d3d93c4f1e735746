"""How much of the spread between trials comes from which seed: standard deviations, components, and tests of one seed.

A grid is a float array, inits x orders (x dropouts where they vary), NaN where a trial is missing. Scores may be
negative; higher is better. In a grid without dropouts a trial is fixed by its two seeds, so the residual *is* the
interaction of init and order.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from seedgrid.analysis.henderson import AXES, Axis, check_size, mean_squares_of, pseudo_inverse, sources_of

Scheme = Literal["within", "all"]

# Values that one block of shuffles holds at once: 8 MB.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class SharedSeedStd:
    """Expected standard deviation over trials that share a seed, in units of the score; NaN where none can be taken."""

    init: float
    order: float
    dropout: float | None  # None for a grid without dropouts
    all: float


@dataclass(frozen=True)
class Component:
    """One source of variance. The residual has no F test: its ``f``, ``denominator_degrees`` and ``p`` are NaN."""

    name: str
    variance: float  # unbiased, so it may come out negative
    share: float  # of the sum of the components that are not negative
    share_lower: float
    share_upper: float
    sum_of_squares: float
    degrees: int
    f: float
    denominator_degrees: float
    p: float


@dataclass(frozen=True)
class Components:
    """Variance components of one grid."""

    init: Component
    order: Component
    dropout: Component | None  # None for a grid without dropouts
    interactions: tuple[Component, ...]  # of two seeds; empty for a grid without dropouts
    residual: Component
    total: float  # sum of the components that are not negative
    trials: int
    balanced: bool  # no cell is missing
    level: float  # of the intervals of the shares

    @property
    def every(self) -> tuple[Component, ...]:
        """All components, the residual last."""
        main = (self.init, self.order) if self.dropout is None else (self.init, self.order, self.dropout)
        return (*main, *self.interactions, self.residual)


@dataclass(frozen=True)
class GridMean:
    """The mean of a grid's trials as an estimate of the mean over all seeds, with the error that shared seeds leave."""

    value: float
    standard_error: float
    degrees: float
    variances: dict[str, float]  # components, none negative; always has "residual", others where the design tells them
    total_variance: float  # of a single trial with new seeds
    total_degrees: float
    trials: int


@dataclass(frozen=True)
class PermutationTest:
    """Test that the seeds of one axis do not differ, by the range of their means."""

    axis: Axis
    scheme: Scheme
    range: float  # of the seeds' means, in units of the score
    p: float
    exceedances: int
    shuffles: int


@dataclass(frozen=True)
class BestAgainstWorst:
    """The best seed of one axis against the worst one. A p-value or statistic is NaN where its test has no data."""

    axis: Axis
    best: int  # index along the axis
    worst: int
    best_mean: float
    worst_mean: float
    anova_f: float
    anova_p: float
    wilcoxon_p: float
    wilcoxon_pairs: int
    friedman_chi2: float
    friedman_p: float
    friedman_blocks: int
    levene_p: float
    shapiro_best_p: float
    shapiro_worst_p: float
    corrected: PermutationTest  # its p allows for best and worst having been chosen after seeing the scores


def shared_seed_std(grid: ArrayLike) -> SharedSeedStd:
    """Expected standard deviation over trials that share an init, that share an order, and over all (paper, Table 3).

    The standard deviations of all groups of trials with the same seed are averaged, each group counting once. They
    divide by n - 1 (ddof = 1), which makes each *variance* unbiased; with ddof = 0 the groups, being smaller than the
    whole grid, would look calmer than it for no other reason than their size.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing. Groups with fewer than two
            trials have no standard deviation and are left out; where no group is left the result is NaN. An axis of
            dropouts with a single seed counts as none.

    Raises:
        ValueError: the grid has no trial, an infinite score, or not two or three axes.
    """
    scores = _without_single_dropout(_checked(grid))

    def over(axis: int | None) -> float:
        groups = [scores] if axis is None else list(np.moveaxis(scores, axis, 0))
        finite = [group[np.isfinite(group)] for group in groups]
        spreads = [float(np.std(group, ddof=1)) for group in finite if group.size > 1]
        return float(np.mean(spreads)) if spreads else float("nan")

    return SharedSeedStd(over(0), over(1), over(2) if scores.ndim == 3 else None, over(None))


def components(grid: ArrayLike, *, level: float = 0.95, draws: int = 20_000, seed: int = 0) -> Components:
    """Variance that init, order (and dropout) seeds bring: crossed random effects, with F tests and shares.

    A score is the mean plus an effect of each of its seeds plus a residual. In a grid with dropouts each pair of seeds
    has an effect of its own as well, unless missing cells leave no replicates to tell it by; then, as in a grid without
    dropouts, it is part of the residual.

    Estimates come from Henderson's method 3 (Henderson 1953; Searle, Casella and McCulloch 1992, chapter 5): the sum of
    squares that each source adds to all sources that do not contain it, set equal to its expectation. On a complete
    grid this is the two-way (three-way) analysis of variance in closed form, and where no estimate is negative it is
    REML too. Missing cells need no other method and leave the estimates unbiased, as long as cells are not missing for
    their scores' sake.

    The closed forms (Searle, Casella and McCulloch 1992, chapter 4), for a inits, b orders and mean squares MS::

        two seeds      E MS_init       = b var_init + var_residual
        c dropouts     E MS_init       = b c var_init + c var_init:order + b var_init:dropout + var_residual
                       E MS_init:order = c var_init:order + var_residual
                       E MS_residual   = var_residual
        so             var_init        = (MS_init - MS_init:order - MS_init:dropout + MS_residual) / (b c)
                       var_init:order  = (MS_init:order - MS_residual) / c

    and likewise for the other seeds and pairs. The residual with dropouts is the combination of all three seeds.

    F tests are exact for normal effects in a grid without dropouts, missing cells or not (Wald 1947), and so is,
    with dropouts, that of a pair of seeds, MS_init:order / MS_residual. Of a single seed no exact one exists beside
    pairs: no mean square is expected to be MS_init's less the seed's own part. The test is Satterthwaite's (1946)
    quasi-F, MS_init / (MS_init:order + MS_init:dropout - MS_residual), with his degrees for the denominator, which is
    MS_residual at least. In simulations of grids of 4 x 4 x 4 to 8 x 8 x 4 where init did nothing by itself it rejected
    at 5 % in 0 % (no pairs either) to 6 % (strong pairs).

    Intervals of shares are generalized confidence intervals (Weerahandi 1993): each sum of squares is divided by draws
    of its chi-square, these are turned into components and shares, and quantiles of the shares are cut to 0 and 1. In
    simulations with normal effects, on grids of 5 x 5 to 25 x 25 with up to 60 % of cells missing and init's share from
    0 to 0.6, nominal 95 % covered 93 to 99 %; with dropouts (4 x 4 x 4, 5 x 5 x 3, 8 x 8 x 4) 90 to 100 %. Where a
    fifth of the trials diverged it was 89 to 99 %.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing. An axis of dropouts with a
            single seed counts as none. Constant scores give variances of 0 and NaN for shares and tests.
        level: level of the shares' intervals.
        draws, seed: number of draws for the intervals and the seed of their generator.

    Raises:
        ValueError: fewer than two inits or orders have trials; each seed occurs only once, as when init and order
            always have the same seed; too many cells are missing to tell the sources apart; or ``level`` is not
            between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    scores = _without_single_dropout(_checked(grid))
    axes = AXES[: scores.ndim]
    for axis, name in enumerate(axes):
        seeds = int(np.isfinite(scores).any(axis=tuple(set(range(scores.ndim)) - {axis})).sum())
        if seeds < 2:
            raise ValueError(f"components: the grid has trials of {seeds} {name} seed; at least 2 are needed")
    fit = mean_squares_of(scores)
    if missing := [name for name in axes if name not in fit.names]:
        raise ValueError(
            f"components: no {' or '.join(missing)} seed occurs in two trials that differ in their other seeds, so its "
            "effect cannot be told from the residual; run a grid of seeds"
        )

    expected = fit.expected_mean_squares()
    to_components = np.linalg.inv(expected)
    mean_squares = fit.mean_squares()
    variances = to_components @ mean_squares
    degrees = fit.degrees
    kept = np.maximum(variances, 0.0)
    total = float(kept.sum())

    generator = np.random.default_rng(seed)
    drawn = mean_squares * degrees / generator.chisquare(degrees, size=(draws, degrees.size))
    drawn = drawn @ to_components.T
    with np.errstate(invalid="ignore"):
        shares = kept / total if total else np.full(kept.size, np.nan)
        tails = [(1 - level) / 2, (1 + level) / 2]
        lower, upper = np.clip(np.quantile(drawn / drawn.sum(axis=1, keepdims=True), tails, axis=0), 0.0, 1.0)

    rows: dict[str, Component] = {}
    for row, name in enumerate((*fit.names, "residual")):
        f = denominator_degrees = p = float("nan")
        if name != "residual":
            without = expected[row].copy()
            without[row] = 0.0
            weights = without @ to_components
            # With dropouts the denominator is a difference of mean squares and may come out below the residual.
            denominator = max(float(weights @ mean_squares), mean_squares[-1])
            denominator_degrees = _satterthwaite(denominator, weights * mean_squares, degrees)
            if denominator > 0:
                f = mean_squares[row] / denominator
                p = float(stats.f.sf(f, degrees[row], denominator_degrees))
            elif mean_squares[row] > 0:
                f, p = float("inf"), 0.0
        rows[name] = Component(
            name=name,
            variance=float(variances[row]),
            share=float(shares[row]),
            share_lower=float(lower[row]),
            share_upper=float(upper[row]),
            sum_of_squares=float(mean_squares[row] * degrees[row]),
            degrees=int(degrees[row]),
            f=float(f),
            denominator_degrees=float(denominator_degrees),
            p=p,
        )
    return Components(
        init=rows["init"],
        order=rows["order"],
        dropout=rows.get("dropout"),
        interactions=tuple(component for name, component in rows.items() if ":" in name),
        residual=rows["residual"],
        total=total,
        trials=fit.trials,
        balanced=bool(np.isfinite(scores).all()),
        level=level,
    )


def grid_mean(grid: ArrayLike) -> GridMean:
    """Mean of a grid's trials, with a standard error for the mean over all seeds, of which the grid's are a sample.

    Trials that share a seed are not independent, so the plain s / sqrt(trials) is too small. With crossed random
    effects the variance of the mean is var_init sum(n_i^2) / N^2 + var_order sum(n_j^2) / N^2 + var_residual / N, for
    n_i trials of init i and n_j of order j; on a complete a x b grid it is estimated by
    (MS_init + MS_order - MS_residual) / (a b). A source whose estimate is negative is left out; the degrees of freedom
    are Satterthwaite's. Designs are recognised by their cells: where each seed occurs once, the trials are independent
    and this is the ordinary mean with N - 1 degrees; an axis with a single seed is held fixed, and nothing is said
    about others of its seeds.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing. Constant scores give an error
            of 0 and, there being nothing to count, one degree of freedom less than trials.

    Raises:
        ValueError: there are fewer than two trials, or too many cells are missing to tell the sources of variance
            apart.
    """
    scores = _checked(grid)
    if np.isfinite(scores).sum() < 2:
        raise ValueError("the grid has 1 trial; a standard error needs at least 2")
    fit = mean_squares_of(scores)
    expected, mean_squares, degrees = fit.expected_mean_squares(), fit.mean_squares(), fit.degrees
    kept = list(range(mean_squares.size))
    while True:
        to_components = np.linalg.inv(expected[np.ix_(kept, kept)])
        variances = to_components @ mean_squares[kept]
        worst = int(np.argmin(variances))
        if variances[worst] >= 0:
            break
        del kept[worst]

    weights = fit.mean_weights[kept] @ to_components
    variance = float(weights @ mean_squares[kept])
    parts = weights * mean_squares[kept]
    part_degrees = degrees[kept]
    # A source with two seeds often looks smaller than the residual where it is not. Left out of the degrees as well, it
    # let a test of 5 % on 2 x 10 grids reject up to 10 % of the time; so it rejects 3 % at most.
    few = [row for row in range(degrees.size - 1) if row not in kept and degrees[row] == 1]
    parts = np.append(parts, [variance] * len(few))
    part_degrees = np.append(part_degrees, [1] * len(few))

    named = {
        name: float(variances[kept.index(row)]) for row, name in enumerate((*fit.names, "residual")) if row in kept
    }
    total_parts = to_components.sum(axis=0) * mean_squares[kept]
    total = float(total_parts.sum())
    return GridMean(
        value=fit.mean,
        standard_error=float(np.sqrt(variance)),
        degrees=_satterthwaite(variance, parts, part_degrees) if variance > 0 else float(fit.trials - 1),
        variances={name: named.get(name, 0.0) for name in (*fit.names, "residual")},
        total_variance=total,
        total_degrees=_satterthwaite(total, total_parts, degrees[kept]) if total > 0 else float(fit.trials - 1),
        trials=fit.trials,
    )


def shared_seeds(grid: ArrayLike) -> dict[Axis, NDArray[np.intp]]:
    """Which seed each trial has, for the axes on which trials share seeds and do not all share one.

    Independent trials, each with seeds of its own, give an empty dict.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing.

    Returns:
        Axis -> (trials,), numbers from 0; the trials in the order of ``grid[np.isfinite(grid)]``.

    Raises:
        ValueError: the grid has no trial, an infinite score, or not two or three axes.
    """
    sources = sources_of(np.nonzero(np.isfinite(_checked(grid))))
    return {axis: sources[axis] for axis in AXES if axis in sources}


def seed_means(grid: ArrayLike, axis: Axis = "init") -> NDArray[np.float64]:
    """Mean score of each seed of one axis, as if no cell were missing.

    On a complete grid these are the plain means. Where cells are missing, a seed could look good because it lacks the
    orders that are hard for all; so the means are those of the additive fit by least squares (seed + column), a column
    being one order, or one combination of the other axes' seeds. Where no columns link all seeds of the axis, as when
    each order was run with one init only, they are the plain means of what is there.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing.
        axis: "init", "order" or "dropout".

    Returns:
        Array with one mean a seed; NaN for a seed without trials.

    Raises:
        ValueError: the grid has no trial, an infinite score, or no such axis.
    """
    rows = _rows(_checked(grid), axis)
    present = np.isfinite(rows)
    some = present.any(axis=1)
    means = np.full(some.size, np.nan)
    scores, present = rows[some], present[some]
    inverse, rank = _row_inverse(present)
    if inverse is None or rank < scores.shape[0] - 1:
        means[some] = np.nanmean(scores, axis=1)
        return means
    centred = np.where(present, scores - np.nanmean(scores, axis=0), 0.0)
    effects = inverse @ centred.sum(axis=1)
    columns = np.where(present, scores - effects[:, None], 0.0).sum(axis=0) / present.sum(axis=0)
    means[some] = effects + columns.mean()
    return means


def permutation_test(
    grid: ArrayLike, axis: Axis = "init", scheme: Scheme = "within", shuffles: int = 10_000, seed: int = 0
) -> PermutationTest:
    """Test that the seeds of one axis do not differ: the range of their means against its range in shuffled grids.

    ``scheme="within"`` shuffles the scores within each column: the labels of init seeds within each order seed, or,
    for ``axis="order"``, the labels of order seeds within each init seed. What the other seed does is thus in every
    shuffle as it is in the data. With missing cells the scores of a column change places among its trials, and the
    means are those of ``seed_means``. ``scheme="all"`` shuffles all scores over all cells, as the paper's code does:
    its shuffles mix the other seed's effect into the means, so where that effect is large the test finds less.

    In a grid with dropouts a column is a pair of the two other seeds, and the test asks whether seeds of this axis do
    anything at all, by themselves or together with another seed. In simulations of grids of 4 x 4 x 4 to 8 x 8 x 4
    where init did nothing by itself and 20 to 55 % of the variance was that of init with order or dropout, p was below
    5 % in 26 to 89 % of them. What a seed does by itself is tested by ``components``.

    p is (1 + shuffles with at least the observed range) / (1 + shuffles), which is never 0 (Phipson and Smyth 2010);
    ranges that differ by less than 1e-9 of the spread of the scores count as equal.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing. Constant scores give p = 1,
            and so does "within" where there is only one column.
        axis: whose seeds are tested: "init", "order" or "dropout".
        shuffles, seed: number of shuffles, and the seed of their generator.

    Raises:
        ValueError: fewer than two seeds of the axis have trials; no column holds two trials (for "within"); or an
            option is unknown.
    """
    if scheme not in ("within", "all"):
        raise ValueError(f'scheme is {scheme!r}; allowed are "within" and "all"')
    if shuffles < 1:
        raise ValueError(f"shuffles is {shuffles}; at least 1 is needed")
    scores = np.ascontiguousarray(_checked(grid))
    return _permutation_test(scores.tobytes(), scores.shape, axis, scheme, shuffles, seed)


@lru_cache(maxsize=8)  # a report asks twice for the same: for which seed matters, and for the best against the worst
def _permutation_test(
    grid: bytes, shape: tuple[int, ...], axis: Axis, scheme: Scheme, shuffles: int, seed: int
) -> PermutationTest:
    """:func:`permutation_test` of a grid's bytes."""
    rows = _rows(np.frombuffer(grid).reshape(shape), axis)
    rows = rows[np.isfinite(rows).any(axis=1)]
    present = np.isfinite(rows)
    if rows.shape[0] < 2:
        raise ValueError(f"the grid has trials of {rows.shape[0]} {axis} seed; a test needs at least 2")
    inverse, rank = _row_inverse(present)
    if scheme == "within" and rank == 0:
        raise ValueError(
            f"no two {axis} seeds share another seed, so there is nothing to shuffle within; "
            'use scheme="all" or run a grid of seeds'
        )

    generator = np.random.default_rng(seed)
    counts = present.sum(axis=1)
    spread = float(np.ptp(rows[present]))
    if scheme == "all":
        values = rows[present]  # row by row
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))

        def ranges(size: int, shuffled: bool) -> NDArray[np.float64]:
            cells = np.tile(values, (size, 1))
            if shuffled:
                cells = generator.permuted(cells, axis=1, out=cells)
            return np.ptp(np.add.reduceat(cells, starts, axis=1) / counts, axis=1)

        width = values.size
    else:
        centred = rows - np.nanmean(rows, axis=0)

        def ranges(size: int, shuffled: bool) -> NDArray[np.float64]:
            sums = np.zeros((size, counts.size))
            for column in range(centred.shape[1]):
                here = present[:, column]
                cells = np.tile(centred[here, column], (size, 1))
                if shuffled:
                    cells = generator.permuted(cells, axis=1, out=cells)
                if here.all():  # in a tenth of the time of what follows
                    sums += cells
                else:
                    sums[:, here] += cells
            return np.ptp(sums / centred.shape[1] if inverse is None else sums @ inverse, axis=1)

        width = counts.size
    observed = float(ranges(1, shuffled=False)[0])
    exceedances, done = 0, 0
    while done < shuffles:
        size = min(shuffles - done, max(1, _BLOCK // width))
        exceedances += int(np.sum(ranges(size, shuffled=True) >= observed - 1e-9 * spread))
        done += size
    return PermutationTest(axis, scheme, observed, (1 + exceedances) / (1 + shuffles), exceedances, shuffles)


def best_against_worst(
    grid: ArrayLike, axis: Axis = "init", *, shuffles: int = 10_000, seed: int = 0
) -> BestAgainstWorst:
    """The best seed of an axis against the worst: the paper's Table 4, with checks of what it assumes.

    Best and worst are the seeds with the highest and the lowest of ``seed_means`` (the first of equals) among those
    with at least two trials.

    - ``anova``: one-way analysis of variance with two groups, the trials of the best and of the worst seed, as in the
      paper. It takes trials for independent, and best and worst for chosen beforehand. Neither is so: in simulations
      without any difference it rejected at 5 % in 28 % of 5 x 5 grids, 52 % of 10 x 10 and 94 % of 25 x 25.
    - ``wilcoxon``: signed-rank test over the columns (orders) that both seeds have, which uses that they share them.
      It too takes the choice for given.
    - ``friedman``: over all seeds, with the columns that no seed lacks as blocks; nothing is chosen. At least three
      seeds and two such columns are needed.
    - ``levene`` (about the median) and ``shapiro``: whether the two groups have equal spread and are normal, which the
      analysis of variance assumes. Shapiro needs three trials that are not all equal.
    - ``corrected``: ``permutation_test`` of the range of all seeds' means, best minus worst. Each shuffle has a best
      and a worst of its own, so its p allows for the choice: this is the one to quote. Within columns; over all cells
      where shared columns do not link all seeds (its ``scheme`` says which). In a grid with dropouts it says that the
      best seed is better with these other seeds, not that it will be with new ones: see ``permutation_test``.

    Args:
        grid: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing.
        axis: "init", "order" or "dropout".
        shuffles, seed: for ``corrected``.

    Raises:
        ValueError: fewer than two seeds of the axis have two trials or more.
    """
    scores = _checked(grid)
    rows = _rows(scores, axis)
    present = np.isfinite(rows)
    means = np.where(present.sum(axis=1) > 1, seed_means(scores, axis), np.nan)
    if np.isfinite(means).sum() < 2:
        raise ValueError(f"the grid has {np.isfinite(means).sum()} {axis} seeds with two trials or more; 2 are needed")
    best, worst = int(np.nanargmax(means)), int(np.nanargmin(means))
    if best == worst:  # all means are equal
        worst = int(np.flatnonzero(np.isfinite(means))[1])
    of_best, of_worst = rows[best][present[best]], rows[worst][present[worst]]

    both = present[best] & present[worst]
    difference = rows[best][both] - rows[worst][both]
    if not both.any():
        wilcoxon_p = float("nan")
    elif not difference.any():
        wilcoxon_p = 1.0
    else:
        wilcoxon_p = float(stats.wilcoxon(difference).pvalue)

    compared = rows[present.any(axis=1)]
    blocks = compared[:, np.isfinite(compared).all(axis=0)]
    friedman_chi2 = friedman_p = float("nan")
    with warnings.catch_warnings():
        # SciPy warns of constant groups and returns NaN or an infinite F, which is what is promised here.
        warnings.simplefilter("ignore", RuntimeWarning)
        if blocks.shape[0] > 2 and blocks.shape[1] > 1:
            friedman_chi2, friedman_p = map(float, stats.friedmanchisquare(*blocks))
        anova_f, anova_p = map(float, stats.f_oneway(of_best, of_worst))
        levene_p = float(stats.levene(of_best, of_worst, center="median").pvalue)

    connected = _row_inverse(np.isfinite(compared))[1] == compared.shape[0] - 1
    return BestAgainstWorst(
        axis=axis,
        best=best,
        worst=worst,
        best_mean=float(means[best]),
        worst_mean=float(means[worst]),
        anova_f=anova_f,
        anova_p=anova_p,
        wilcoxon_p=wilcoxon_p,
        wilcoxon_pairs=int(both.sum()),
        friedman_chi2=friedman_chi2,
        friedman_p=friedman_p,
        friedman_blocks=int(blocks.shape[1]),
        levene_p=levene_p,
        shapiro_best_p=_shapiro(of_best),
        shapiro_worst_p=_shapiro(of_worst),
        corrected=permutation_test(scores, axis, "within" if connected else "all", shuffles, seed),
    )


def _row_inverse(present: NDArray[np.bool_]) -> tuple[NDArray[np.float64] | None, int]:
    """What turns row sums, of scores less their column's mean, into row effects; and how many effects it can tell.

    None for a grid without gaps, where the sums need only be divided by the number of columns.
    """
    if present.all():
        return None, present.shape[0] - 1
    check_size(present.shape[0])
    shared = (present / present.sum(axis=0)) @ present.T
    return pseudo_inverse(np.diag(present.sum(axis=1).astype(float)) - shared)


def _satterthwaite(total: float, parts: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """Degrees of freedom of a sum of multiples of mean squares (Satterthwaite 1946); NaN where the sum is 0."""
    below = float(np.sum(parts**2 / degrees))
    return total**2 / below if below > 0 else float("nan")


def _shapiro(scores: NDArray[np.float64]) -> float:
    if scores.size < 3 or np.ptp(scores) == 0:
        return float("nan")
    return float(stats.shapiro(scores).pvalue)


def _rows(scores: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """The axis first and all others flattened into columns, without the columns that have no trial."""
    axes = AXES[: scores.ndim]
    if axis not in axes:
        raise ValueError(f"axis is {axis!r}; this grid has {', '.join(axes)}")
    rows = np.moveaxis(scores, axes.index(axis), 0).reshape(scores.shape[axes.index(axis)], -1)
    return rows[:, np.isfinite(rows).any(axis=0)]


def _without_single_dropout(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The grid as inits x orders if all its trials have the same dropout seed."""
    if scores.ndim == 3 and (there := np.isfinite(scores).any(axis=(0, 1))).sum() == 1:
        return scores[:, :, int(np.argmax(there))]
    return scores


def _checked(grid: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(grid, dtype=float)
    if scores.ndim not in (2, 3):
        raise ValueError(f"the grid has shape {scores.shape}; it must be inits x orders, or inits x orders x dropouts")
    if np.isinf(scores).any():
        raise ValueError("the grid has an infinite score; give NaN for a trial that is missing")
    if not np.isfinite(scores).any():
        raise ValueError(f"the grid of shape {scores.shape} has no trial: all its cells are NaN")
    return scores
