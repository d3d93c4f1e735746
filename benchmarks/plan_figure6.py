"""The paper's whole Figure 6 on one core: the best start, stop_at and keep for each budget of 1 to 30 full trainings.

    OMP_NUM_THREADS=1 python benchmarks/plan_figure6.py [--trials 625] [--decimals 16] [--splits 0]

625 simulated trials with 30 evaluations, at most 200 started, as many as in the paper; the paper's own analysis draws
50,000 times for each assignment. A trial in five diverges, in the others ability, learning and noise add up, so that
early scores tell something but not all, as in the paper's Figure 5. Scores are as fine as float64 by default, which is
the slowest case: time grows with the number of distinct scores, and a metric on some hundred examples has few.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from seedgrid.analysis.stopping import best_plans


def simulate_curves(trials: int, evaluations: int, seed: int = 0) -> np.ndarray:
    """trials x evaluations scores that look like the paper's MRPC: 0.75 where nothing is learnt, up to 0.91."""
    generator = np.random.default_rng(seed)
    done = np.linspace(1 / evaluations, 1, evaluations)
    ability = 0.885 + 0.010 * generator.standard_normal((trials, 1))
    onset = 0.12 * np.exp(0.2 * generator.standard_normal((trials, 1)))
    noise = 0.004 * generator.standard_normal((trials, evaluations))
    learnt = 0.75 + (ability - 0.75) / (1 + np.exp((onset - done) / 0.03)) + noise
    diverged = generator.random((trials, 1)) < 0.2
    return np.where(diverged, 0.75 + noise, learnt)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=625)
    parser.add_argument("--decimals", type=int, default=16, help="round scores to so many decimals")
    parser.add_argument("--splits", type=int, default=0, help="halvings for the honest value")
    options = parser.parse_args()
    curves = simulate_curves(options.trials, evaluations=30).round(options.decimals)

    began = time.perf_counter()
    plans = best_plans(curves, range(1, min(30, options.trials) + 1), max_start=200, splits=options.splits)
    seconds = time.perf_counter() - began

    print("budget  start  stop_at  keep  expected  full training  error reduction  honest")
    for plan in plans:
        honest = "" if plan.honest is None else f"{plan.honest:.4f}"
        print(
            f"{plan.budget:6.0f}{plan.start:7d}{plan.stop_at:6d}/{plan.evaluations}{plan.keep:6d}{plan.expected:10.4f}"
            f"{plan.full_training:15.4f}{plan.error_reduction:17.1%}  {honest}"
        )
    print(f"{seconds:.1f} s for {options.trials} trials, {len(np.unique(curves))} distinct scores")


if __name__ == "__main__":
    main()
