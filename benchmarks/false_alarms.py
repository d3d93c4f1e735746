"""How often tests between two methods that do not differ reject at 5 %, by design of the seeds.

    python benchmarks/false_alarms.py [--simulations 10000] [--curves 300]

Scores are an effect of the init seed, one of the order seed, and a residual, with the given shares of variance. Paired
methods share the seeds and, at correlation 0.5, their effects. Printed are the shares of simulations in which

- ``plain``: a t test that takes trials for independent (paired: on the cell differences) rejects;
- ``compare``: the test of ``seedgrid.analysis.comparison.compare`` rejects, with the binomial standard error;
- ``chance``: that of its chance that a trial of one beats one of the other;
- ``a lead``: its expected-best intervals show a leader at any of the budgets 1, 2, … up to a fifth of the trials;
- ``crossing``: they show a different leader at different budgets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from seedgrid.analysis.comparison import LabelledGrid, compare

CORRELATION = 0.5
# inits, orders, share missing; shares of init, order and residual.
SIZES = [(5, 5, 0.0), (10, 10, 0.0), (10, 10, 0.3), (4, 25, 0.0), (25, 25, 0.0)]
SHARES = [(0.0, 0.0, 1.0), (0.05, 0.05, 0.9), (0.25, 0.25, 0.5), (0.6, 0.1, 0.3)]


def normal(latent: np.ndarray) -> np.ndarray:
    return latent


def diverging(latent: np.ndarray) -> np.ndarray:
    """A fifth of the trials stays at the majority class."""
    return np.where(latent < stats.norm.ppf(0.2), 0.5, 0.9 + 0.01 * latent)


def two_grids(
    generator: np.random.Generator,
    size: tuple[int, int, float],
    shares: tuple[float, float, float],
    paired: bool,
    scores: Callable[[np.ndarray], np.ndarray],
) -> list[np.ndarray]:
    inits, orders, missing = size
    shapes = [(inits, 1), (1, orders), (inits, orders)]
    common = [generator.standard_normal(shape) for shape in shapes]
    grids = []
    for _ in range(2):
        own = [generator.standard_normal(shape) for shape in shapes]
        if paired:
            own = [np.sqrt(CORRELATION) * x + np.sqrt(1 - CORRELATION) * y for x, y in zip(common, own, strict=True)]
        grid = scores(sum(np.sqrt(share) * effect for share, effect in zip(shares, own, strict=True)))
        grid[generator.random(grid.shape) < missing] = np.nan
        grids.append(grid)
    return grids


def labelled(grids: list[np.ndarray], paired: bool) -> list[LabelledGrid]:
    inits, orders = grids[0].shape
    shift = 0 if paired else 1000
    return [
        LabelledGrid(grid, range(k * shift, k * shift + inits), range(k * shift, k * shift + orders))
        for k, grid in enumerate(grids)
    ]


def plain_p(grids: list[np.ndarray], paired: bool) -> float:
    if paired:
        difference = (grids[0] - grids[1]).ravel()
        return stats.ttest_1samp(difference[np.isfinite(difference)], 0).pvalue
    return stats.ttest_ind(*(grid[np.isfinite(grid)] for grid in grids)).pvalue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000, help="of the tests")
    parser.add_argument("--curves", type=int, default=300, help="of the expected-best intervals, which take longer")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    print(f"{'design':30}{'init':>6}{'order':>6}  {'scores':10}{'plain':>7}{'compare':>16}{'chance':>8}{'a lead':>8}{'crossing':>9}")
    for scores in (normal, diverging):
        for paired in (True, False):
            for size in SIZES:
                for shares in SHARES:
                    generator = np.random.default_rng(arguments.seed)
                    found = np.zeros(3)
                    for _ in range(arguments.simulations):
                        grids = two_grids(generator, size, shares, paired, scores)
                        result = compare(*labelled(grids, paired), max_budget=1, draws=2)
                        found += np.array([plain_p(grids, paired), result.difference.p, result.chance.p]) < 0.05
                    plain, rate, chance = found / max(arguments.simulations, 1)
                    error = np.sqrt(rate * (1 - rate) / max(arguments.simulations, 1))
                    leads = np.zeros(2)
                    for _ in range(arguments.curves):
                        grids = two_grids(generator, size, shares, paired, scores)
                        best = compare(*labelled(grids, paired), draws=500).expected_best
                        leads += [bool(best.a_leads or best.b_leads), best.crossing]
                    lead, crossing = leads / max(arguments.curves, 1)
                    name = f"{size[0]} x {size[1]} {'paired' if paired else 'unpaired'}"
                    name += f", {size[2]:.0%} missing" if size[2] else ""
                    print(
                        f"{name:30}{shares[0]:6.2f}{shares[1]:6.2f}  {scores.__name__:10}{plain:7.3f}"
                        f"{rate:9.3f} ±{error:.3f}{chance:8.3f}{lead:8.3f}{crossing:9.3f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
