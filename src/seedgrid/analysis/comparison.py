"""Is it the method or the seed? Two methods' grids of trials against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from seedgrid.analysis.expected import expected_max, expected_max_interval
from seedgrid.analysis.rounding import significant_decimals
from seedgrid.analysis.variance import AXES, Components, GridMean, grid_mean, shared_seeds

# Values that one block of redrawn seeds holds at once: 8 MB.
_BLOCK = 1_000_000
# Different scores that redrawn curves are summed over. Beyond so many, some are left out: the curves then err alike for
# all weights, equal ones included, and only their deviations from those are used.
_MOST_VALUES = 4_096
# More seeds than anyone runs: where a search for the number of trials gives up.
_MOST_SEEDS = 10_000_000


@dataclass(frozen=True)
class LabelledGrid:
    """Best-found scores of one method's trials, and which seed each row, column and layer has.

    Attributes:
        scores: (inits, orders) or (inits, orders, dropouts), NaN where a trial is missing.
        inits: init seed of each row.
        orders: order seed of each column.
        dropouts: dropout seed of each layer; empty for a grid without dropouts.
    """

    scores: NDArray[np.float64]
    inits: Sequence[int]
    orders: Sequence[int]
    dropouts: Sequence[int] = ()

    def __post_init__(self) -> None:
        seeds = self.seeds
        sizes = tuple(len(labels) for labels in seeds)
        if np.shape(self.scores) != sizes:
            raise ValueError(f"the grid has shape {np.shape(self.scores)}, its seeds {sizes}; they must be the same")
        for axis, labels in zip(AXES, seeds, strict=False):
            if len(set(labels)) != len(labels):
                raise ValueError(f"the grid's {axis} seeds {list(labels)} name one seed twice")

    @property
    def seeds(self) -> tuple[Sequence[int], ...]:
        """Seeds of each axis of the scores."""
        return (self.inits, self.orders, self.dropouts) if np.ndim(self.scores) == 3 else (self.inits, self.orders)


@dataclass(frozen=True)
class Difference:
    """A mean of a less the mean of b, with a t test and interval that allow for shared seeds."""

    value: float
    standard_error: float
    degrees: float
    lower: float
    upper: float
    t: float
    p: float


@dataclass(frozen=True)
class Chance:
    """Chance that a random trial of a beats a random trial of b, ties counting half; p is that of 0.5."""

    value: float
    lower: float
    upper: float
    p: float


@dataclass(frozen=True)
class ExpectedBest:
    """Expected best of n trials of a and of b, n = 1, 2, …, and who leads where.

    Attributes:
        budgets: (budgets,), in full trainings.
        a, b: (budgets,), expected best scores.
        difference, lower, upper: (budgets,), of a less b; the limits are NaN above ``trusted_up_to``.
        trusted_up_to: largest budget with limits: up to it, those of both methods' own expected best can be trusted.
        a_leads, b_leads: budgets at which the interval of the difference lies above, below 0.
        crossing: whether each method leads at some budget.
    """

    budgets: NDArray[np.int64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    difference: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    trusted_up_to: int
    a_leads: tuple[int, ...]
    b_leads: tuple[int, ...]
    crossing: bool


@dataclass(frozen=True)
class Diverged:
    """Trials at or below a threshold.

    Attributes:
        threshold: in units of the score.
        a, b: number of diverged trials.
        trials_a, trials_b: of how many.
        difference: share of a less share of b.
        lower, upper: Newcombe's (1998) interval of the difference.
        fisher_p: Fisher's exact test. It and the interval take trials for independent: where trials of one seed
            diverge together, they are too sure.
        p: t test of the difference that allows for shared seeds, rough where few trials diverged; 1 if the shares are
            equal, NaN where diverging does not vary.
    """

    threshold: float
    a: int
    b: int
    trials_a: int
    trials_b: int
    difference: float
    lower: float
    upper: float
    fisher_p: float
    p: float


@dataclass(frozen=True)
class Variances:
    """Variances of the difference between two methods' trials, by source; None where the design does not tell."""

    init: float | None
    order: float | None
    residual: float | None
    total: float


@dataclass(frozen=True)
class TrialsNeeded:
    """Trials of each method that show a difference with the given power.

    Attributes:
        inits, orders: the grid's sides; None if the variances by source are not known.
        trials_in_grid: inits x orders, likewise.
        more_in_grid: of those, the ones that do not exist yet.
        pairs: independent pairs, each with an init and an order seed of its own.
        more_pairs: of those, the ones that do not exist yet.
    """

    difference: float
    power: float
    level: float
    inits: int | None
    orders: int | None
    trials_in_grid: int | None
    more_in_grid: int | None
    pairs: int
    more_pairs: int


@dataclass(frozen=True)
class Comparison:
    """Method a against method b.

    Attributes:
        paired: whether trials were compared seed pair by seed pair. If so, all figures are of these trials alone.
        shared: seed pairs that both methods have a trial of.
        trials_a, trials_b: trials that were used.
        mean_a, mean_b: with standard errors that allow for shared seeds.
        difference: a less b.
        hedges_g: the difference in standard deviations of a single trial.
        variances: of the difference, for ``trials_needed``.
        chance, expected_best: see there; the latter is None for a largest budget of 0.
        diverged: None if no threshold was given.
        level: of all intervals.
    """

    paired: bool
    shared: int
    trials_a: int
    trials_b: int
    mean_a: GridMean
    mean_b: GridMean
    difference: Difference
    hedges_g: float
    variances: Variances
    chance: Chance
    expected_best: ExpectedBest | None
    diverged: Diverged | None
    level: float


def compare(
    a: LabelledGrid | ArrayLike,
    b: LabelledGrid | ArrayLike,
    *,
    paired: bool | None = None,
    diverged_at: float | None = None,
    max_budget: int = 100,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Comparison:
    """Compare two methods from the scores of their trials, some of which share seeds.

    Trials are paired by seed pair where both methods have it, if that keeps at least half of the trials of the method
    that has fewer; otherwise all trials are used, unpaired. Unpaired, the methods are taken for independent; if they do
    share some seeds and these act alike on both, the interval is wider than need be.

    **Difference of means.** The cell differences (paired), or each method's scores (unpaired), are crossed random
    effects of their seeds; see ``seedgrid.analysis.variance.grid_mean`` for the standard error. Degrees of freedom are
    Satterthwaite's, for unpaired grids combined as Welch's. Trials whose seeds each occur once get the ordinary t test;
    where an axis has a single seed, the answer is about that seed.
    Rejections at 5 % between methods that do not differ, in 2,000 simulations each (``benchmarks/false_alarms.py``,
    standard error 0.5 points), by the shares of variance of init and order:

    =============================  =======  ==========  ==========  =========
    shares                         none     0.05, 0.05  0.25, 0.25  0.6, 0.1
    =============================  =======  ==========  ==========  =========
    10 x 10 unpaired, plain t      4.6 %    15.0 %      40.3 %      48.5 %
    10 x 10 unpaired               1.8 %    3.7 %       4.6 %       4.9 %
    10 x 10 unpaired, 30 % gaps    1.5 %    3.1 %       4.3 %       5.0 %
    10 x 10 paired                 1.8 %    3.8 %       4.7 %       4.8 %
    5 x 5 unpaired                 1.3 %    1.9 %       4.0 %       5.1 %
    4 x 25 unpaired                1.5 %    3.1 %       3.7 %       3.8 %
    25 x 25 unpaired               2.3 %    5.3 %       5.8 %       6.0 %
    =============================  =======  ==========  ==========  =========

    Where seeds do little, allowing for them costs power; with two seeds on an axis, most of it.

    **Effect size.** Hedges' g: the difference over the standard deviation of a single trial with new seeds (square
    root of the two methods' average total variance, paired or not), times the correction for small samples. NaN
    where scores do not vary, or with no more than one degree of freedom.

    **Chance.** Share of all (trial of a, trial of b) that a wins, ties half. The interval is symmetric in log odds,
    with the standard error of the placement values (DeLong, DeLong and Clarke-Pearson 1988), these again as crossed
    random effects. Where one method wins all, the limit is that of an exact test on as many trials as there are
    independent seeds.

    **Expected best.** Interval of the difference by redrawing seeds: each seed gets an exponential weight, a trial the
    product of its seeds' (Owen and Eckles 2012), paired methods the same; percentiles are moved by what the weights
    leave out of the unbiased estimate and widened for the number of seeds (Hesterberg 2015). Each budget has an
    interval of its own. In 200 simulations each of two 10 x 10 grids as above it covered the truth at the last budget
    that has one in 92 % or more. Over all budgets together, methods that do not differ got some leader in 1 to 6 % and
    a crossing in none of 3,200; of methods that differ the wrong one was named somewhere in 4.5 % at most.

    Args:
        a, b: the methods' best-found scores, higher better: arrays (inits, orders) or (inits, orders, dropouts) over
            the same seeds in the same order, or ``LabelledGrid`` where seeds differ. NaN is a trial that is missing,
            never one that diverged: leaving those out flatters the method that has more of them.
        paired: True demands pairs, False forbids them.
        diverged_at: score at or below which a trial counts as diverged; None leaves this part out.
        max_budget: largest budget of the expected best; 0 leaves this part out, which takes most of the time.
        level: of all intervals.
        draws, seed: of the redrawn seeds.
        bounds: lowest and highest value that a score can have; limits of differences are cut to what is possible.

    Returns:
        Comparison. Where scores (paired: differences) do not vary at all there is no error to go by: limits are NaN,
        and p is 1 if the methods are equal, else NaN.

    Raises:
        ValueError: a method has fewer than two trials or an infinite score; arrays differ in shape; pairs are demanded
            and fewer than two exist; too many cells are missing; or an option is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    if max_budget < 0 or draws < 2:
        raise ValueError(f"max_budget is {max_budget} and draws {draws}; at least 0 and 2 are needed")
    first, second = _labelled(a, b)
    trials = [int(np.isfinite(grid.scores).sum()) for grid in (first, second)]
    for name, grid, count in zip("ab", (first, second), trials, strict=True):
        if np.isinf(grid.scores).any():
            raise ValueError(f"method {name} has an infinite score; give NaN for a trial that is missing")
        if count < 2:
            raise ValueError(f"method {name} has {count} trials; a comparison needs at least 2 of each")
    of_a, of_b = _aligned(first, second)
    shared = int(np.isfinite(of_a).sum())
    if paired and shared < 2:
        raise ValueError(f"the methods share {shared} seed pairs; a paired comparison needs at least 2")
    if paired is None:
        paired = shared >= 2 and 2 * shared >= min(trials)
    if not paired:
        of_a, of_b = (np.asarray(grid.scores, dtype=float) for grid in (first, second))

    difference, variances = _difference(of_a, of_b, paired, level)
    mean_a, mean_b = grid_mean(of_a), grid_mean(of_b)
    expected = _expected_best(of_a, of_b, paired, max_budget, level, draws, seed) if max_budget else None
    farthest = bounds[1] - bounds[0]
    difference, expected = (
        None
        if each is None
        else replace(each, lower=np.maximum(each.lower, -farthest), upper=np.minimum(each.upper, farthest))
        for each in (difference, expected)
    )
    return Comparison(
        paired=paired,
        shared=shared,
        trials_a=mean_a.trials,
        trials_b=mean_b.trials,
        mean_a=mean_a,
        mean_b=mean_b,
        difference=difference,
        hedges_g=_hedges_g(difference.value, mean_a, mean_b),
        variances=variances,
        chance=_chance(of_a, of_b, paired, level),
        expected_best=expected,
        diverged=None if diverged_at is None else _diverged(of_a, of_b, paired, diverged_at, level),
        level=level,
    )


def trials_needed(
    difference: float,
    variances: Variances | Components | ArrayLike,
    *,
    power: float = 0.8,
    level: float = 0.05,
    have: tuple[int, int] = (0, 0),
) -> TrialsNeeded:
    """Seed pairs that settle whether two methods differ by ``difference``, on a grid and as independent pairs.

    The mean difference has variance var_init / a + var_order / b + var_residual / (a b) on a grid of a inits and b
    orders, and total / n over n independent pairs: a trial in a grid costs as much and says less. The answer is the
    smallest square-ish grid, and the smallest n, whose t test (degrees of freedom as in ``compare``) rejects at
    ``level`` with chance ``power``.

    The variances are taken for known. Estimated from few seeds they are rough, and so is the answer; a difference that
    was picked for being large needs more trials than this says.

    Args:
        difference: to be shown, in units of the score; its sign does not matter.
        variances: of the difference between the methods' trials: ``Comparison.variances``; or the components, or the
            grid itself, of one method's scores less the other's at the same seeds. For methods that are not paired,
            each source is the sum of the two methods' variances.
        power: chance to show the difference.
        level: of the test, two-sided.
        have: (inits, orders) of a full grid that both methods already have. The grid asked for extends it, and
            its diagonal counts as pairs.

    Raises:
        ValueError: the difference is 0 or not finite; power or level are not between 0 and 1 (power above level);
            the grid's variances cannot be told apart; or even 10 million seeds are too few.
    """
    if difference == 0 or not np.isfinite(difference):
        raise ValueError(f"difference is {difference}; give the size to be shown, other than 0")
    if not 0 < level < power < 1:
        raise ValueError(f"level is {level} and power {power}; they must be between 0 and 1, and power above level")
    if isinstance(variances, Components):
        variances = _by_source({component.name: max(component.variance, 0.0) for component in variances.every})
    elif not isinstance(variances, Variances):
        variances = _by_source(grid_mean(variances).variances)
    size = abs(difference)

    def power_of_pairs(pairs: int) -> float:
        return _power(size, variances.total / pairs, pairs - 1, level)

    pairs = _smallest(power_of_pairs, power, 2)
    inits = orders = trials_in_grid = more_in_grid = None
    if variances.init is not None and variances.order is not None and variances.residual is not None:
        sides = max(2, have[0]), max(2, have[1])

        def power_of_grid(steps: int) -> float:
            rows, columns = _grown(sides, steps)
            residual = variances.residual / (rows * columns)
            # The multiples of the three mean squares that add up to the variance of the mean.
            parts = np.array([variances.init / rows + residual, variances.order / columns + residual, -residual])
            degrees = np.array([rows - 1, columns - 1, (rows - 1) * (columns - 1)])
            variance = float(parts.sum())
            if variance == 0:
                return 1.0
            return _power(size, variance, variance**2 / float(np.sum(parts**2 / degrees)), level)

        inits, orders = _grown(sides, _smallest(power_of_grid, power, 0))
        trials_in_grid = inits * orders
        more_in_grid = trials_in_grid - have[0] * have[1]
    return TrialsNeeded(
        difference=float(difference),
        power=power,
        level=level,
        inits=inits,
        orders=orders,
        trials_in_grid=trials_in_grid,
        more_in_grid=more_in_grid,
        pairs=pairs,
        more_pairs=max(0, pairs - min(have)),
    )


def _labelled(a: LabelledGrid | ArrayLike, b: LabelledGrid | ArrayLike) -> tuple[LabelledGrid, LabelledGrid]:
    if isinstance(a, LabelledGrid) and isinstance(b, LabelledGrid):
        return a, b
    if isinstance(a, LabelledGrid) or isinstance(b, LabelledGrid):
        raise ValueError("one method is an array and the other a LabelledGrid; give both the same way")
    grids = [np.asarray(grid, dtype=float) for grid in (a, b)]
    if grids[0].shape != grids[1].shape:
        raise ValueError(
            f"the arrays have shapes {grids[0].shape} and {grids[1].shape}; without the same seeds in the same order "
            "say which seeds they have, as LabelledGrid"
        )
    if grids[0].ndim not in (2, 3):
        raise ValueError(f"the grids have shape {grids[0].shape}; they must be inits x orders (x dropouts)")
    labels = [range(size) for size in grids[0].shape]
    return LabelledGrid(grids[0], *labels), LabelledGrid(grids[1], *labels)


def _aligned(a: LabelledGrid, b: LabelledGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both methods' scores over the seeds that they share, NaN where either has no trial."""
    if np.ndim(a.scores) != np.ndim(b.scores):
        return np.full((1, 1), np.nan), np.full((1, 1), np.nan)
    rows_a, rows_b = [], []
    for seeds_a, seeds_b in zip(a.seeds, b.seeds, strict=True):
        place = {seed: index for index, seed in enumerate(seeds_b)}
        shared = [(index, place[seed]) for index, seed in enumerate(seeds_a) if seed in place]
        rows_a.append([pair[0] for pair in shared])
        rows_b.append([pair[1] for pair in shared])
    of_a = np.asarray(a.scores, dtype=float)[np.ix_(*rows_a)] if all(rows_a) else np.full((1, 1), np.nan)
    of_b = np.asarray(b.scores, dtype=float)[np.ix_(*rows_b)] if all(rows_b) else np.full((1, 1), np.nan)
    both = np.isfinite(of_a) & np.isfinite(of_b)
    return np.where(both, of_a, np.nan), np.where(both, of_b, np.nan)


def _difference(
    of_a: NDArray[np.float64], of_b: NDArray[np.float64], paired: bool, level: float
) -> tuple[Difference, Variances]:
    decimals = significant_decimals(np.concatenate([of_a.ravel(), of_b.ravel()]))
    if paired:
        mean = grid_mean(np.round(of_a - of_b, decimals))
        value, error, degrees, variances = mean.value, mean.standard_error, mean.degrees, _by_source(mean.variances)
    else:
        means = grid_mean(of_a), grid_mean(of_b)
        value = means[0].value - means[1].value
        squares = np.array([mean.standard_error**2 for mean in means])
        error = float(np.sqrt(squares.sum()))
        below = float(np.sum(squares**2 / [mean.degrees for mean in means]))
        degrees = float(squares.sum() ** 2 / below) if below > 0 else float(sum(mean.degrees for mean in means))
        each = [_by_source(mean.variances) for mean in means]
        variances = Variances(
            init=_sum(each[0].init, each[1].init),
            order=_sum(each[0].order, each[1].order),
            residual=_sum(each[0].residual, each[1].residual),
            total=each[0].total + each[1].total,
        )
    if error > 0:
        t = value / error
        half = float(stats.t.ppf((1 + level) / 2, degrees)) * error
        limits, p = (value - half, value + half), 2 * float(stats.t.sf(abs(t), degrees))
    else:
        equal = abs(value) < 10.0**-decimals
        t, limits, p = float("nan"), (float("nan"), float("nan")), 1.0 if equal else float("nan")
    return Difference(value, error, degrees, *limits, t, p), variances


def _by_source(variances: dict[str, float]) -> Variances:
    """Init and order as they are; whatever else varies between their cells, dropout too, is residual."""
    total = sum(variances.values())
    if "init" not in variances or "order" not in variances:
        return Variances(None, None, None, total)
    return Variances(variances["init"], variances["order"], total - variances["init"] - variances["order"], total)


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _hedges_g(difference: float, a: GridMean, b: GridMean) -> float:
    totals = np.array([a.total_variance, b.total_variance])
    if not totals.any():
        return float("nan")
    degrees = totals.sum() ** 2 / np.sum(totals**2 / [a.total_degrees, b.total_degrees])
    if degrees <= 1:
        return float("nan")
    # Hedges (1981): the exact factor, by logarithms since the gamma function overflows at 172.
    factor = np.exp(special.gammaln(degrees / 2) - special.gammaln((degrees - 1) / 2)) / np.sqrt(degrees / 2)
    return float(difference / np.sqrt(totals.mean()) * factor)


def _chance(of_a: NDArray[np.float64], of_b: NDArray[np.float64], paired: bool, level: float) -> Chance:
    wins_a, wins_b = _wins(of_a, of_b), _wins(of_b, of_a)
    value = float(np.nanmean(wins_a))
    if value in (0.0, 1.0):
        # The scores say no more about the chance than as many trials as there are seeds on the shorter axis.
        independent = min(_independent(of_a), _independent(of_b))
        limit = ((1 - level) / 2) ** (1 / independent)
        limits = (limit, 1.0) if value == 1 else (0.0, 1 - limit)
        return Chance(value, *limits, 0.5 ** (independent - 1))
    error = _difference(wins_a, wins_b, paired, level)[0]
    if error.standard_error == 0:
        return Chance(value, float("nan"), float("nan"), 1.0 if abs(value - 0.5) < 1e-12 else float("nan"))
    odds = special.logit(value)
    spread = error.standard_error / (value * (1 - value))
    half = float(stats.t.ppf((1 + level) / 2, error.degrees)) * spread
    p = 2 * float(stats.t.sf(abs(odds) / spread, error.degrees))
    return Chance(value, float(special.expit(odds - half)), float(special.expit(odds + half)), p)


def _wins(scores: NDArray[np.float64], against: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the other method's trials that each trial beats, ties half; NaN where a trial is missing."""
    ranked = np.sort(against[np.isfinite(against)])
    below = (np.searchsorted(ranked, scores, "left") + np.searchsorted(ranked, scores, "right")) / 2
    return np.where(np.isfinite(scores), below / ranked.size, np.nan)


def _independent(scores: NDArray[np.float64]) -> int:
    """Seeds on the axis that has the fewest, of those that trials share; all trials if they share none."""
    return min((int(ids.max()) + 1 for ids in shared_seeds(scores).values()), default=int(np.isfinite(scores).sum()))


def _expected_best(
    of_a: NDArray[np.float64],
    of_b: NDArray[np.float64],
    paired: bool,
    max_budget: int,
    level: float,
    draws: int,
    seed: int,
) -> ExpectedBest:
    scores = [grid[np.isfinite(grid)] for grid in (of_a, of_b)]
    fewest = min(each.size for each in scores)
    budgets = np.arange(1, min(fewest, max_budget) + 1)
    best_a, best_b = (expected_max(each, estimator="unbiased")[: budgets.size] for each in scores)
    difference = best_a - best_b
    lower, upper = np.full((2, budgets.size), np.nan)
    # Of these intervals only their reach is wanted, which takes no draws.
    reach = [expected_max_interval(grid, level, draws=2).trusted_up_to for grid in (of_a, of_b)]
    trusted = min(*reach, budgets.size)
    if trusted:
        shift = (
            difference[:trusted]
            - _weighted_difference(scores, [np.ones((1, each.size)) for each in scores], trusted)[0]
        )
        generator = np.random.default_rng(seed)
        redrawn = np.empty((draws, trusted))
        block = max(1, _BLOCK // sum(each.size for each in scores))
        for start in range(0, draws, block):
            size = min(block, draws - start)
            weights_a = _redrawn(of_a, size, generator)
            weights_b = weights_a if paired else _redrawn(of_b, size, generator)
            redrawn[start : start + size] = _weighted_difference(scores, [weights_a, weights_b], trusted)
        # Exponential weights of m seeds give (m - 1) / (m + 1) of the variance that new seeds would.
        seeds = min(_independent(of_a), _independent(of_b))
        tail = float(stats.norm.sf(stats.norm.ppf((1 + level) / 2) * np.sqrt((seeds + 1) / (seeds - 1))))
        lower[:trusted], upper[:trusted] = np.quantile(redrawn, [tail, 1 - tail], axis=0) + shift
        # Where nothing was redrawn but equal scores, there is no error to go by.
        still = np.ptp(redrawn, axis=0) <= 10.0 ** -significant_decimals(np.concatenate(scores))
        lower[:trusted][still] = upper[:trusted][still] = np.nan
    a_leads = tuple(int(budget) for budget in budgets[lower > 0])
    b_leads = tuple(int(budget) for budget in budgets[upper < 0])
    return ExpectedBest(
        budgets=budgets,
        a=best_a,
        b=best_b,
        difference=difference,
        lower=lower,
        upper=upper,
        trusted_up_to=trusted,
        a_leads=a_leads,
        b_leads=b_leads,
        crossing=bool(a_leads and b_leads),
    )


def _redrawn(scores: NDArray[np.float64], size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(size, trials): weights of the trials in ``size`` redrawings of the seeds."""
    trials = int(np.isfinite(scores).sum())
    axes = list(shared_seeds(scores).values()) or [np.arange(trials)]
    weights = np.ones((size, trials))
    for ids in axes:
        weights *= generator.standard_exponential((size, int(ids.max()) + 1))[:, ids]
    return weights


def _weighted_difference(
    scores: Sequence[NDArray[np.float64]], weights: Sequence[NDArray[np.float64]], largest: int
) -> NDArray[np.float64]:
    """(draws, largest): expected best of n of a less that of b, n draws with replacement from the weighted trials."""
    values = np.unique(np.concatenate(scores))
    if values.size > _MOST_VALUES:
        values = values[np.linspace(0, values.size - 1, _MOST_VALUES).astype(int)]
    steps = np.diff(values)
    below = []  # weighted share of trials at or below each value but the last
    for each, weight in zip(scores, weights, strict=True):
        order = np.argsort(each)
        total = np.cumsum(weight[:, order], axis=1)
        total = np.concatenate((np.zeros((total.shape[0], 1)), total / total[:, -1:]), axis=1)
        below.append(total[:, np.searchsorted(each[order], values[:-1], "right")])
    # E[best of n] is the largest value less the sum of steps times P(all n at or below the step).
    powers = [np.ones_like(share) for share in below]
    result = np.empty((below[0].shape[0], largest))
    for budget in range(largest):
        for power, share in zip(powers, below, strict=True):
            power *= share
        result[:, budget] = (powers[1] - powers[0]) @ steps
    return result


def _diverged(
    of_a: NDArray[np.float64], of_b: NDArray[np.float64], paired: bool, threshold: float, level: float
) -> Diverged:
    below_a, below_b = (np.where(np.isfinite(grid), grid <= threshold, np.nan) for grid in (of_a, of_b))
    count_a, count_b = int(np.nansum(below_a)), int(np.nansum(below_b))
    trials_a, trials_b = int(np.isfinite(of_a).sum()), int(np.isfinite(of_b).sum())
    lower, upper = confint_proportions_2indep(
        count_a, trials_a, count_b, trials_b, method="newcomb", compare="diff", alpha=1 - level
    )
    table = [[count_a, trials_a - count_a], [count_b, trials_b - count_b]]
    return Diverged(
        threshold=threshold,
        a=count_a,
        b=count_b,
        trials_a=trials_a,
        trials_b=trials_b,
        difference=count_a / trials_a - count_b / trials_b,
        lower=float(lower),
        upper=float(upper),
        fisher_p=float(stats.fisher_exact(table).pvalue),
        p=_difference(below_a, below_b, paired, level)[0].p,
    )


def _power(size: float, variance: float, degrees: float, level: float) -> float:
    """Chance that a two-sided t test rejects."""
    if variance == 0:
        return 1.0
    away = size / np.sqrt(variance)
    critical = stats.t.ppf(1 - level / 2, degrees)
    # Five standard errors off, a rejection on the wrong side has a chance below 3e-7, for which SciPy may give NaN.
    wrong_side = stats.nct.cdf(-critical, degrees, away) if away < 5 else 0.0
    return float(stats.nct.sf(critical, degrees, away) + wrong_side)


def _smallest(power_of: Callable[[int], float], power: float, least: int) -> int:
    """Smallest number from ``least`` on that reaches the power, which grows with it."""
    if power_of(least) >= power:
        return least
    below, above = least, max(2 * least, 1)
    while power_of(above) < power:
        if above > _MOST_SEEDS:
            raise ValueError(f"even {_MOST_SEEDS:,} seeds do not show so small a difference; ask for a larger one")
        below, above = above, 2 * above
    while above - below > 1:
        middle = (below + above) // 2
        if power_of(middle) >= power:
            above = middle
        else:
            below = middle
    return above


def _grown(sides: tuple[int, int], steps: int) -> tuple[int, int]:
    """The grid after adding one seed at a time to the side that has fewer, the inits first."""
    small, large = sorted(sides)
    filling = min(steps, large - small)
    small, rest = small + filling, steps - filling
    small, large = small + (rest + 1) // 2, large + rest // 2
    if rest == 0:
        return (small, large) if sides[0] <= sides[1] else (large, small)
    return small, large
