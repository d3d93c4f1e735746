"""The expected best score of n trials, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

# The k best of N trials all escape a draw of n with probability at most (1 - n/N)^k <= exp(-nk/N). Ranks beyond
# k = 40 N/n so weigh less than exp(-40) = 4e-18, far below float64's rounding of 1.1e-16.
_NEGLIGIBLE = 40

# In the limits, whose redrawing leaves far more noise, single precision and its rounding do.
_NEGLIGIBLE_IN_LIMITS = 1e-8

# Beyond a fifth of the (effective) trials the upper limit rests on the tail that was not seen: measured, see
# expected_max_interval.
_TRIALS_PER_DRAW = 5


def expected_max(scores: np.ndarray, estimator: Literal["unbiased", "plugin"] = "unbiased") -> np.ndarray:
    """Expected best score of n trials, for every n.

    ``unbiased`` averages the maximum over all subsets of n different trials: with the scores sorted ascending,
    P(best of n <= i-th score) = C(i, n) / C(N, n) (Tang et al. 2020, "Showing Your Work Doesn't Always Work").
    ``plugin`` draws with replacement, (i/N)^n, as Dodge et al. (2019, "Show Your Work") and the paper's figures do; it
    is biased low. Both are sums over the sorted scores, exact to rounding, with ties; nothing is simulated.

    Time grows as N log N, memory as N.

    Args:
        scores: N best-found scores, of any sign.
        estimator: ``unbiased`` or ``plugin``.

    Returns:
        Length N; element n-1 is the expected best of n. One trial, or constant scores, give that score.

    Raises:
        ValueError: the estimator is unknown; ``scores`` is not one-dimensional, is empty, or holds a NaN or an
            infinity. Trials without a score are not left out silently, because that overstates the rest.
    """
    if estimator not in ("unbiased", "plugin"):
        raise ValueError(f"estimator '{estimator}' is unknown; use 'unbiased' or 'plugin'")
    ranked = np.sort(_checked(scores))[::-1]
    return _expected_by_rank(ranked, replace=estimator == "plugin")


def expected_of_best_ranked(values: np.ndarray) -> np.ndarray:
    """Expected value of the best-ranked of n trials drawn without replacement, for every n.

    As ``expected_max``, but the value need not be what the trials were ranked by.

    Args:
        values: N values, that of the best-ranked trial first.

    Returns:
        Length N; element n-1 is for n trials: the mean of all values first, the best-ranked trial's last.

    Raises:
        ValueError: as ``expected_max``.
    """
    return _expected_by_rank(_checked(values), replace=False)


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"scores have shape {scores.shape}; give one score a trial, in one dimension")
    bad = np.count_nonzero(~np.isfinite(scores))
    if bad:
        raise ValueError(
            f"{bad} of {scores.size} scores are NaN or infinite; give such a trial a score, e.g. the majority class's"
        )
    return scores


def _expected_by_rank(values: np.ndarray, replace: bool) -> np.ndarray:
    """Sum by parts over ranks: the first value, less each step down weighted by P(no draw is above the step)."""
    trials = len(values)
    steps = values[:-1] - values[1:]
    below = np.arange(trials - 1, 0, -1, dtype=np.float64)  # trials ranked below each step
    expected = np.empty(trials)
    all_below = below / trials
    for n in range(1, trials + 1):
        expected[n - 1] = values[0] - all_below @ steps[: len(all_below)]
        if n == trials:
            break
        kept = min(len(all_below), trials if replace else trials - n - 1, -(-_NEGLIGIBLE * trials // (n + 1)))
        chance = below[:kept] / trials if replace else (below[:kept] - n) / (trials - n)
        all_below = all_below[:kept] * chance
    return expected


@dataclass(frozen=True)
class ExpectedMaxInterval:
    """Limits of the expected best score of n trials.

    Attributes:
        lower: length N; element n-1 is the lower limit for n trials, NaN where n > ``trusted_up_to``.
        upper: length N, likewise.
        trusted_up_to: the largest n with limits; 0 if there are too few trials for any.
        level: the nominal coverage of each single interval.
    """

    lower: np.ndarray
    upper: np.ndarray
    trusted_up_to: int
    level: float


def expected_max_interval(
    scores: np.ndarray,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> ExpectedMaxInterval:
    """Interval for the expected best of n trials, for trials to come from the same population.

    A list of scores counts as independent trials. A grid does not, as trials that share a seed are alike: its seeds
    are redrawn, all trials of a seed together.

    The method is the Bayesian bootstrap (Rubin 1981) with bounds: a draw gives each trial an exponential weight, and
    one unseen trial another one; so weighted, the shares of the population between neighbouring scores of independent
    trials have their exact distribution. For the lower limit the unseen trial sits at the lowest score;
    for the upper limit it sits above the highest, by the mean excess of the best tenth, which no tail lighter than an
    exponential exceeds on average (scores have a maximum). In a grid a trial's weight is the product of its seeds'
    weights (Owen and Eckles 2012), and the unseen trial weighs as much as one of N_eff: the number of independent
    trials that would give the variance that the grid gives, by the two-way cluster variance of the jackknife (Cameron,
    Gelbach and Miller 2011).

    Plain bootstrap percentiles fail as n nears N, since no resample shows anything above the highest score. Here limits
    are given while n <= N_eff(n) / 5, and NaN beyond. For independent trials N_eff is N. In a grid it is at least the
    number of seeds on the shorter axis, and its lower 80 % limit counts, since so few seeds leave it uncertain.

    Coverage of nominal 95 % limits for the best of n independent seed pairs, at n = 1 and at each simulation's largest
    n (``python tests/analysis/test_expected.py 1000``), for normal, left-skewed and stepped scores and for mixtures
    with a quarter or four fifths diverged: 10 independent trials, 88 to 94 % and 89 to 96 %; 25 to 100, 94 to 98 % and
    92 to 98 % (88 % for 50 in steps of half a standard deviation); grids of 5 x 5 and 10 x 10 without any effect of the
    seeds, 99 to 100 %; with 60 to 80 % of the variance from the seeds, 92 to 99 %. For log-normal scores, whose tail is
    heavier than an exponential, 86 to 89 % at the largest n for independent trials and 95 to 99 % for grids.

    Limits are computed at every n up to 16 and at 8 sizes an octave from there, and are linear in log n between.

    On one core, 625 trials take a second, 100,000 a minute; memory stays below 100 MB.

    Args:
        scores: N scores, or a grid of them with one axis a kind of seed (inits x orders, or inits x orders x
            dropouts), NaN where a trial is missing. An axis with a single seed counts as fixed.
        level: nominal coverage, between 0 and 1.
        draws: redrawn weights; the limits' own noise falls with its square root.
        seed: of the redrawing: same scores, same limits.
        bounds: lowest and highest value that a score can have, to which limits are cut.

    Returns:
        Limits of length N, the number of trials present.

    Raises:
        ValueError: ``level`` is not between 0 and 1, ``draws`` is below 2, there is no score, or one is infinite, or
            one in a list is NaN.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    if draws < 2:
        raise ValueError(f"draws is {draws}; give at least 2")
    scores = np.asarray(scores, dtype=np.float64)
    present = ~np.isnan(scores) if scores.ndim > 1 else np.ones(scores.shape, dtype=bool)
    flat = _checked(scores[present])
    order = np.argsort(-flat, kind="stable")
    ranked = flat[order]
    seeds = [axis[order] for axis in np.nonzero(present)]
    seeds = [axis for axis in seeds if axis.min() < axis.max()]

    sizes, effective = _trusted_sizes(ranked, seeds)
    trials = len(ranked)
    trusted = int(sizes[-1]) if len(sizes) else 0
    lower, upper = np.full((2, trials), np.nan)
    if trusted:
        low, high = _redrawn_limits(ranked, seeds, sizes, effective, level, draws, seed)
        every = np.arange(1, trusted + 1)
        lower[:trusted] = np.interp(np.log(every), np.log(sizes), low)
        upper[:trusted] = np.interp(np.log(every), np.log(sizes), high)
    return ExpectedMaxInterval(*np.clip((lower, upper), *bounds), trusted, level)


def _trusted_sizes(ranked: np.ndarray, seeds: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes n at which limits are computed, and the effective number of trials at each."""
    trials = len(ranked)
    largest = trials // _TRIALS_PER_DRAW
    octaves = np.arange(0, np.log2(max(largest, 16) / 16), 1 / 8)
    spread = np.unique(np.concatenate([np.arange(1, 17), 16 * 2**octaves, [largest]]).astype(int))
    spread = spread[(spread >= 1) & (spread <= largest)]
    if len(seeds) < 2:
        return spread, np.full(len(spread), float(trials))
    fewest = min(len(np.unique(axis)) for axis in seeds)
    surely = stats.chi2.ppf(0.2, fewest - 1) / (fewest - 1)  # N_eff comes from a variance between so few seeds
    effective = []
    for n in spread:
        count = max(fewest, _effective_trials(ranked, seeds, n))
        if n > max(fewest, surely * count) / _TRIALS_PER_DRAW:
            break
        effective.append(count)
    return spread[: len(effective)], np.array(effective)


def _effective_trials(ranked: np.ndarray, seeds: list[np.ndarray], n: int) -> float:
    """Independent trials that would leave the expected best of n as uncertain as this grid leaves it."""
    trials = len(ranked)
    last = min(trials - 1 - n, -(-_NEGLIGIBLE * trials // n)) + 1
    rank = np.arange(last)
    # Without one trial, n draws all come from below the k best with this probability, k = 0 ... last.
    all_below = np.append(1.0, np.cumprod((trials - 1 - n - rank) / (trials - 1 - rank)))
    # What leaving out the trial of each rank adds to the estimate for n, against leaving out the best.
    added = np.append(0.0, np.cumsum((all_below[:-1] - all_below[1:]) * (ranked[:last] - ranked[1 : last + 1])))
    influence = np.append(added, np.full(trials - len(added), added[-1]))
    influence -= influence.mean()

    variance = 0.0
    for shared in range(1, len(seeds) + 1):
        for axes in combinations(seeds, shared):
            group = np.zeros(trials, dtype=np.int64)
            for axis in axes:
                group = group * (axis.max() + 1) + axis
            sums = np.bincount(np.unique(group, return_inverse=True)[1], weights=influence)
            variance -= (-1) ** shared * (sums @ sums) * len(sums) / (len(sums) - 1)
    independent = influence @ influence * trials / (trials - 1)
    if independent == 0:
        return float(trials)
    return float(trials * independent / max(variance, independent))


def _redrawn_limits(
    ranked: np.ndarray,
    seeds: list[np.ndarray],
    sizes: np.ndarray,
    effective: np.ndarray,
    level: float,
    draws: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limit at each of ``sizes``."""
    generator = np.random.default_rng(seed)
    trials = len(ranked)
    best_tenth = -(-trials // 10)
    excess = ranked[:best_tenth].mean() - ranked[best_tenth]
    steps = (ranked[:-1] - ranked[1:]).astype(np.float32)
    falls = np.flatnonzero(steps)  # between equal scores nothing is added: large sweeps have few different ones
    steps = steps[falls]
    low, high = np.empty((2, draws, len(sizes)))
    block = max(1, 4_000_000 // trials)  # draws at a time: 16 MB an array
    for start in range(0, draws, block):
        now = slice(start, min(start + block, draws))
        drawn = now.stop - now.start
        weight = np.ones((drawn, trials))
        for axis in seeds or [np.arange(trials)]:
            weight *= generator.standard_exponential((drawn, axis.max() + 1))[:, axis]
        unseen = generator.standard_exponential((drawn, 1)) * trials / weight.sum(axis=1, keepdims=True)
        weight /= weight.sum(axis=1, keepdims=True)
        below = np.maximum(1 - np.cumsum(weight, axis=1)[:, falls], 0).astype(np.float32)
        highest_below = below.max(axis=0)
        for column, (n, count) in enumerate(zip(sizes, effective, strict=True)):
            extra = (unseen / count).astype(np.float32)
            most = extra.max()
            used = np.count_nonzero(((highest_below + most) / (1 + most)) ** n > _NEGLIGIBLE_IN_LIMITS)
            shares = below[:, :used]
            low[now, column] = ranked[0] - ((shares + extra) / (1 + extra)) ** n @ steps[:used]
            seen = (1 / (1 + extra[:, 0])) ** n
            high[now, column] = ranked[0] + excess * (1 - seen) - (shares / (1 + extra)) ** n @ steps[:used]
    tail = (1 - level) / 2
    return np.quantile(low, tail, axis=0), np.quantile(high, 1 - tail, axis=0)
