"""How often a comparison of two methods errs: tests between methods that do not differ, and leaders that do not lead.

    python benchmarks/false_alarms.py [--simulations 2000] [--curves 300] [--only "10 x 10 unpaired"]

Scores are an effect of the init seed, one of the order seed, and a residual, with the given shares of variance. Paired
methods share the seeds and, at correlation 0.5, the effects.

The first table is of two methods that are the same. Shares of simulations in which

- ``plain``: a t test that takes trials for independent (paired: on the cell differences) rejects at 5 %;
- ``compare``: the test of ``seedgrid.analysis.comparison.compare`` rejects at 5 %;
- ``chance``: its test of the chance that a trial of one method beats one of the other rejects at 5 %;
- ``a lead``: its expected-best intervals show a leader at one budget or more, of all that have an interval;
- ``crossing``: they show different leaders at different budgets.

The second is of a method with many bad and some very good trials against a steady one that is better on average:
how often the interval of the difference in expected best covers the truth at the first, the middle and the last
budget that has one, how often a leader is named at a budget at which the other leads, how often a crossing, and the
median of the last budget.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from seedgrid.analysis.comparison import Comparison, LabelledGrid, compare
from seedgrid.analysis.expected import expected_max

CORRELATION = 0.5
SIZES = [(5, 5, 0.0), (10, 10, 0.0), (10, 10, 0.3), (4, 25, 0.0), (25, 25, 0.0)]  # inits, orders, share missing
SHARES = [(0.0, 0.0, 1.0), (0.05, 0.05, 0.9), (0.25, 0.25, 0.5), (0.6, 0.1, 0.3)]  # init, order, residual

Scores = Callable[[np.ndarray], np.ndarray]


def normal(latent: np.ndarray) -> np.ndarray:
    return latent


def steady(latent: np.ndarray) -> np.ndarray:
    return 0.3 + 0.4 * latent


def diverging(latent: np.ndarray) -> np.ndarray:
    """A fifth of the trials stays at the majority class."""
    return np.where(latent < stats.norm.ppf(0.2), 0.5, 0.9 + 0.01 * latent)


def two_grids(
    generator: np.random.Generator,
    size: tuple[int, int, float],
    shares: tuple[float, float, float],
    paired: bool,
    scores: tuple[Scores, Scores],
) -> list[np.ndarray]:
    inits, orders, missing = size
    shapes = [(inits, 1), (1, orders), (inits, orders)]
    common = [generator.standard_normal(shape) for shape in shapes]
    grids = []
    for method in scores:
        effects = [generator.standard_normal(shape) for shape in shapes]
        if paired:
            effects = [
                np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own
                for shared, own in zip(common, effects, strict=True)
            ]
        grid = method(sum(np.sqrt(share) * effect for share, effect in zip(shares, effects, strict=True)))
        grid[generator.random(grid.shape) < missing] = np.nan
        grids.append(grid)
    return grids


def compared(grids: list[np.ndarray], paired: bool, **options: int) -> Comparison:
    inits, orders = grids[0].shape
    other = 0 if paired else 1000  # seeds of its own
    return compare(
        LabelledGrid(grids[0], range(inits), range(orders)),
        LabelledGrid(grids[1], range(other, other + inits), range(other, other + orders)),
        **options,
    )


def plain_p(grids: list[np.ndarray], paired: bool) -> float:
    if paired:
        difference = (grids[0] - grids[1]).ravel()
        return stats.ttest_1samp(difference[np.isfinite(difference)], 0).pvalue
    return stats.ttest_ind(*(grid[np.isfinite(grid)] for grid in grids)).pvalue


def same_method(
    size: tuple[int, int, float],
    shares: tuple[float, float, float],
    paired: bool,
    scores: Scores,
    tests: int,
    curves: int,
) -> str:
    generator = np.random.default_rng(0)
    rejected = np.zeros(3)
    for _ in range(tests):
        grids = two_grids(generator, size, shares, paired, (scores, scores))
        result = compared(grids, paired, max_budget=0)
        rejected += np.array([plain_p(grids, paired), result.difference.p, result.chance.p]) < 0.05
    leads = np.zeros(2)
    for _ in range(curves):
        best = compared(two_grids(generator, size, shares, paired, (scores, scores)), paired, draws=500).expected_best
        leads += [bool(best.a_leads or best.b_leads), best.crossing]
    return "".join(f"{rate:10.3f}" for rate in (*rejected / max(tests, 1), *leads / max(curves, 1)))


def different_methods(
    size: tuple[int, int, float], shares: tuple[float, float, float], paired: bool, curves: int
) -> str:
    generator = np.random.default_rng(0)
    # Best of n independent trials: the truth, from 100,000 evenly spaced quantiles.
    quantiles = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    truth = expected_max(normal(quantiles))[:200] - expected_max(steady(quantiles))[:200]
    covered, wrong, named, reach = np.zeros(3), 0, 0, []
    for _ in range(curves):
        best = compared(two_grids(generator, size, shares, paired, (normal, steady)), paired, draws=500).expected_best
        last = best.trusted_up_to
        reach.append(last)
        for place, budget in enumerate((1, (last + 1) // 2, last)):  # at these sizes there always is one
            covered[place] += best.lower[budget - 1] <= truth[budget - 1] <= best.upper[budget - 1]
        wrong += any(truth[n - 1] < 0 for n in best.a_leads) or any(truth[n - 1] > 0 for n in best.b_leads)
        named += best.crossing
    rates = "".join(f"{rate:10.3f}" for rate in (*covered / curves, wrong / curves, named / curves))
    return f"{rates}{np.median(reach):10.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000, help="of the tests")
    parser.add_argument("--curves", type=int, default=300, help="of the expected-best intervals, which take longer")
    parser.add_argument("--only", default="", help="designs whose name has this in it")
    arguments = parser.parse_args()
    designs = []
    for paired in (True, False):
        for size in SIZES:
            name = f"{size[0]} x {size[1]} {'paired' if paired else 'unpaired'}"
            name += f", {size[2]:.0%} missing" if size[2] else ""
            if arguments.only in name:
                designs += [(name, paired, size, shares) for shares in SHARES]

    print(f"{'the same method':30}{'shares':>16}{'scores':>10}     plain   compare    chance    a lead  crossing")
    for scores in (normal, diverging):
        for name, paired, size, shares in designs:
            rates = same_method(size, shares, paired, scores, arguments.simulations, arguments.curves)
            print(f"{name:30}{shares!s:>16}{scores.__name__:>10}{rates}", flush=True)
    if arguments.curves:
        print(f"\n{'different methods':30}{'shares':>16}     first    middle      last     wrong  crossing     reach")
        for name, paired, size, shares in designs:
            print(f"{name:30}{shares!s:>16}{different_methods(size, shares, paired, arguments.curves)}", flush=True)


if __name__ == "__main__":
    main()
