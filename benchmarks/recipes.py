"""What recipes do to spread, divergence and the best score, at equal cost: the table of docs/recipes.md.

    python train.py -m task=mrpc data.root=GLUE recipe=default,mosbach2021 seed=paired seed.init='range(0,8)' \\
        sweep='runs/recipes-${recipe.name}'
    python benchmarks/recipes.py runs/recipes-default runs/recipes-mosbach2021

Trains nothing: reads sweeps of one task, from their folders or from files that ``report.py export=`` wrote. The first
is the one that the others are compared with. For each sweep:

- cost: training steps of a trial, over those of the cheapest sweep's.
- mean, std, lowest, best: of the best found scores, and how many trials diverged.
- at equal cost: the expected best of as many trials as the largest sum that all sweeps have spent pays for (unbiased,
  Tang et al. 2020; between two numbers of trials it is interpolated).
- difference: its mean less the first's, paired by seeds where they share them, with a 95 % interval and p
  (``seedgrid.analysis.comparison``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from seedgrid.analysis.comparison import compare
from seedgrid.analysis.expected import expected_max
from seedgrid.errors import plain_exit
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.trials.tidy import read_trials


def steps_of(study: FinishedTrials) -> int:
    """Training steps of a full trial."""
    return int(study.trials["steps"].max())


def table_of(studies: list[FinishedTrials]) -> pd.DataFrame:
    """A row per sweep."""
    steps = [steps_of(study) for study in studies]
    costs = [own / min(steps) for own in steps]
    budget = min(len(study.scores) * cost for study, cost in zip(studies, costs, strict=True))
    rows = []
    for study, cost in zip(studies, costs, strict=True):
        scores = study.scores
        best_of = expected_max(scores)
        row = {
            "sweep": study.name,
            "trials": len(scores),
            "cost": f"{cost:.1f}",
            "mean": f"{scores.mean():.3f}",
            "std": f"{scores.std(ddof=1):.3f}",
            "lowest": f"{scores.min():.3f}",
            "best": f"{scores.max():.3f}",
            "diverged": f"{int(study.trials['diverged'].sum())}",
            f"at a cost of {budget:.1f}": f"{np.interp(budget / cost, np.arange(1, len(scores) + 1), best_of):.3f}",
            "difference": "",
        }
        if study is not studies[0]:
            found = compare(study.grid, studies[0].grid, max_budget=0).difference
            row["difference"] = f"{found.value:+.3f} ({found.lower:+.3f} to {found.upper:+.3f}), p = {found.p:.2g}"
        rows.append(row)
    return pd.DataFrame(rows)


@plain_exit()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders or exported files; the first is the reference")
    studies = [finished_trials(read_trials(place)) for place in parser.parse_args().sweeps]
    print(table_of(studies).to_string(index=False))


if __name__ == "__main__":
    main()
