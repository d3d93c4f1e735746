"""What recipes do to spread, divergence and the best score, at equal cost: the table of docs/recipes.md.

    python train.py -m task=mrpc data.root=GLUE recipe=default,mosbach2021 seed=paired seed.init='range(0,8)' \\
        sweep='runs/recipes-${recipe.name}'
    python benchmarks/recipes.py runs/recipes-default runs/recipes-mosbach2021

Trains nothing: reads sweeps of one task, from their folders or from files that ``report.py export=`` wrote. The first
is the one that the others are compared with. For each sweep:

- cost: training steps of a trial, over those of the cheapest sweep's.
- mean, std, lowest, best: of the best found scores, and how many trials diverged.
- at equal cost: the expected best of as many trials as the cost of one trial of the dearest sweep pays for, and of two
  (unbiased, Tang et al. 2020; between two numbers of trials it is interpolated; nan: more than there are).
- difference: its mean less the first's, paired by seeds where they share them, with a 95 % interval
  (``seedgrid.analysis.comparison``) and p, corrected for the number of sweeps that are compared (Holm 1979).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from seedgrid.analysis.comparison import Difference
from seedgrid.analysis.expected import expected_max
from seedgrid.errors import plain_exit
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.report.comparing import check_comparable
from seedgrid.report.comparison import compare_trials
from seedgrid.report.wording import p_value
from seedgrid.trials.tidy import read_trials


def steps_of(study: FinishedTrials) -> int:
    """Training steps of a full trial."""
    return int(study.trials["steps"].max())


def difference(study: FinishedTrials, reference: FinishedTrials) -> Difference:
    """Of the means, paired where they share seeds."""
    check_comparable(study.sweep, reference.sweep)
    return compare_trials(study, reference, paired=None, max_budget=0, level=0.95, draws=2, seed=0).result.difference


def table_of(studies: list[FinishedTrials]) -> pd.DataFrame:
    """A row per sweep."""
    steps = [steps_of(study) for study in studies]
    costs = [own / min(steps) for own in steps]
    differences = [difference(study, studies[0]) for study in studies[1:]]
    corrected = (
        [np.nan, *multipletests([found.p for found in differences], method="holm")[1]] if differences else [np.nan]
    )
    rows = []
    for study, cost, found, p in zip(studies, costs, [None, *differences], corrected, strict=True):
        scores = study.scores
        numbers, best_of = np.arange(1, 1 + len(scores)), expected_max(scores)
        at_cost = {
            f"at a cost of {budget:.1f}": f"{np.interp(budget / cost, numbers, best_of, right=np.nan):.3f}"
            for budget in (max(costs), 2 * max(costs))
        }
        row = {
            "sweep": study.name,
            "trials": len(scores),
            "cost": f"{cost:.1f}",
            "mean": f"{scores.mean():.3f}",
            "std": f"{scores.std(ddof=1):.3f}",
            "lowest": f"{scores.min():.3f}",
            "best": f"{scores.max():.3f}",
            "diverged": f"{int(study.trials['diverged'].sum())}",
            **at_cost,
            "difference": f"{found.value:+.3f} ({found.lower:+.3f} to {found.upper:+.3f})" if found else "",
            "p": p_value(p).removeprefix("p ").removeprefix("= ") if found else "",
        }
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
