"""What recipes do to spread, divergence and the best score, at equal cost: the table of docs/recipes.md.

    seedgrid train -m task=mrpc data.root=GLUE recipe=default,mosbach2021 seed=paired seed.init='range(0,8)' \\
        sweep='runs/recipes-${recipe.name}'
    python benchmarks/recipes.py runs/recipes-default runs/recipes-mosbach2021

Trains nothing: reads sweeps of one task, from their folders or from files that ``seedgrid export`` wrote. The first
is the one that the others are compared with. For each sweep:

- cost: training steps of a trial, over those of the cheapest sweep's.
- mean, std, lowest, best: of the best found scores, and how many trials diverged.
- at equal cost: the expected best of as many trials as the cost of one trial of the dearest sweep pays for, and of two
  (unbiased, Tang et al. 2020; between two numbers of trials it is interpolated; nan: more than there are).
- difference: its mean less the first's, paired by seeds where they share them, with a 95 % interval
  (``seedgrid.analysis.comparison``) and p, corrected for the number of sweeps that are compared (Holm 1979).

Best found is a maximum over a trial's validations, so a recipe that validates more often finds more by that alone. A
second table has the scores of the last validation, which are free of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from seedgrid.analysis.expected import expected_max
from seedgrid.errors import plain_exit
from seedgrid.records.tidy import read_trials
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.report.comparing import check_comparable
from seedgrid.report.comparison import compare_trials
from seedgrid.wording import p_value


def steps_of(study: FinishedTrials) -> int:
    """Training steps of a full trial."""
    return int(study.trials["steps"].max())


def differences(studies: list[FinishedTrials]) -> list[dict[str, str]]:
    """Of each sweep's mean and the first's, paired where they share seeds; the first has none."""
    found = []
    for study in studies[1:]:
        check_comparable(study.sweep, studies[0].sweep)
        compared = compare_trials(study, studies[0], paired=None, max_budget=0, level=0.95, draws=2, seed=0)
        found.append(compared.result.difference)
    corrected = multipletests([each.p for each in found], method="holm")[1] if found else []
    return [
        {"difference": "", "p": ""},
        *(
            {
                "difference": f"{each.value:+.3f} ({each.lower:+.3f} to {each.upper:+.3f})",
                "p": p_value(p).removeprefix("p ").removeprefix("= "),
            }
            for each, p in zip(found, corrected, strict=True)
        ),
    ]


def table_of(studies: list[FinishedTrials]) -> pd.DataFrame:
    """A row per sweep, of the best found scores."""
    steps = [steps_of(study) for study in studies]
    costs = [own / min(steps) for own in steps]
    rows = []
    for study, cost, difference in zip(studies, costs, differences(studies), strict=True):
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
            **difference,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def table_of_last(studies: list[FinishedTrials]) -> pd.DataFrame:
    """A row per sweep, of the scores of the last validation."""
    ends = [study.at_the_end for study in studies]
    return pd.DataFrame(
        {
            "sweep": study.name,
            "validations": study.curves.shape[1],
            "mean": f"{study.scores.mean():.3f}",
            "std": f"{study.scores.std(ddof=1):.3f}",
            "lowest": f"{study.scores.min():.3f}",
            "best": f"{study.scores.max():.3f}",
            **difference,
        }
        for study, difference in zip(ends, differences(ends), strict=True)
    )


@plain_exit()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders or exported files; the first is the reference")
    studies = [finished_trials(read_trials(place)) for place in parser.parse_args().sweeps]
    print("Best found: each trial's highest validation\n")
    print(table_of(studies).to_string(index=False))
    print("\nAt the end: each trial's last validation\n")
    print(table_of_last(studies).to_string(index=False))


if __name__ == "__main__":
    main()
