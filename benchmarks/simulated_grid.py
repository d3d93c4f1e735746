"""A grid of trials with known variance shares, for the report to find again.

    python benchmarks/simulated_grid.py grid.csv
    seedgrid report source=csv path=grid.csv metric=accuracy output=simulated

Scores are a mean plus normal effects of the init seed and of the order seed plus a normal residual, whose variances
have the given shares. The seeds drawn are a sample, so what the report finds differs from them, within its intervals.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd


def simulate(
    inits: int, orders: int, shares: tuple[float, float], std: float, evaluations: int, seed: int
) -> pd.DataFrame:
    """Trials whose best found scores have these shares of variance from init and from order.

    Returns:
        ``init``, ``order``, ``step``, ``epoch``, ``score``: a row per evaluation. Scores rise towards the best found,
        each trial at its own pace, and reach it at the last evaluation.
    """
    generator = np.random.default_rng(seed)
    effects = [np.sqrt(share) * generator.standard_normal(n) for share, n in zip(shares, (inits, orders), strict=True)]
    residual = np.sqrt(1 - sum(shares)) * generator.standard_normal((inits, orders))
    best = 0.88 + std * (effects[0][:, None] + effects[1] + residual)
    pace = generator.uniform(0.24, 0.26, (inits, orders))
    when = np.arange(1, evaluations + 1) / evaluations
    rise = np.expm1(-when / pace[..., None]) / np.expm1(-1 / pace[..., None])
    dip = 0.3 * std * np.abs(generator.standard_normal((inits, orders, evaluations))) * (when < 1)
    curves = 0.5 + (best[..., None] - 0.5) * rise - dip
    init, order, step = np.indices(curves.shape)
    return pd.DataFrame(
        {
            "init": init.ravel(),
            "order": order.ravel(),
            "step": 23 * (step.ravel() + 1),
            "epoch": 3 * when[step.ravel()],
            "score": curves.ravel(),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="CSV file to write")
    parser.add_argument("--seeds", type=int, nargs=2, default=(25, 25), metavar=("INIT", "ORDER"))
    parser.add_argument("--shares", type=float, nargs=2, default=(0.2, 0.3), metavar=("INIT", "ORDER"))
    parser.add_argument("--std", type=float, default=0.01, help="of all trials' best found")
    parser.add_argument("--evaluations", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    trials = simulate(*given.seeds, tuple(given.shares), given.std, given.evaluations, given.seed)
    trials.to_csv(given.file, index=False)
    shares = (*given.shares, 1 - sum(given.shares))
    print(
        f"{given.file}: {trials.groupby(['init', 'order']).ngroups} trials; shares of init {shares[0]:g}, order "
        f"{shares[1]:g}, residual {shares[2]:g}"
    )


if __name__ == "__main__":
    main()
