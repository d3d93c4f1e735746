"""Start many, stop early: does it pay to use that trials share seeds? Gains over the paper's rule at the same cost.

    OMP_NUM_THREADS=1 python benchmarks/rank_by_seeds.py [--grids 500] [--picture docs/rank-by-seeds.png]
    OMP_NUM_THREADS=1 python benchmarks/rank_by_seeds.py --sweep runs/quickstart

Trials are started, stopped after a quarter of training, ranked, and some are continued. The rules, all of equal cost:

- ``trial``: the paper's. Ranked by their own partial score.
- ``seeds``: ranked by ``seedgrid.analysis.prediction.predict_pairs``, with the persistence of the residual known. Where
  seeds' effects last, as it assumes, that is its best case.
- ``extend``: a third of the trials is not started with the others, but afterwards: the pairs that
  ``promising_pairs`` names. Then all are ranked by their own partial score.
- ``extend, seeds``: the same, ranked as in ``seeds``.
- ``extend, est.``: as ``extend``, predicted with variances estimated by ``seedgrid.analysis.variance.grid_mean``.

For scale, ``20 % more`` is the paper's rule with a fifth more trials started and kept. Started pairs are spread evenly
over the seeds.

Final scores are an effect of the init seed, one of the order seed, and a residual, with the given shares of the
variance; everything is in units of the final scores' standard deviation. At the rung each part is correlated with its
final value, seeds' effects by one number and the residual by another. With ``collapse``, a quarter of the trials ends
at chance, 5 below the mean, and a fifth more is still there at the rung; that goes by a luck of their own, half of
whose variance is the order seed's. The unit is then the standard deviation of the trials that learn.

With ``--sweep`` the same rules run on the trials of a complete square grid on disk, in random draws of its trials,
with several fractions to stop at.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from seedgrid.analysis.prediction import predict_pairs, promising_pairs
from seedgrid.analysis.variance import grid_mean
from seedgrid.records.store import read_sweep

STOP_AT = 0.25
CHANCE = -5.0
# Share of init and order together on the quickstart's task, 10 x 10 seeds.
MEASURED = 0.10
SHARES = [(0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.0, 0.17), (0.0, 0.5)]  # init, order
# Correlation of the partial with the final value: of the seeds' effects, and of the residual.
PERSISTENCES = {"effects last": (1.0, 0.5), "all fade alike": (0.5, 0.5), "effects fade first": (0.3, 0.8)}
RULES = ("seeds", "extend", "extend, seeds", "extend, est.", "20 % more")


@dataclass(frozen=True)
class Assignment:
    size: int  # init seeds, and as many order seeds
    start: int
    keep: int

    @property
    def extend(self) -> int:
        return self.start // 3

    @property
    def cost(self) -> float:
        return self.start * STOP_AT + self.keep * (1 - STOP_AT)


ASSIGNMENTS = [Assignment(10, 30, 5), Assignment(25, 40, 10), Assignment(5, 15, 5)]


def grid_of_effects(generator: np.random.Generator, size: int, shares: tuple[float, float]) -> list[np.ndarray]:
    """Effects of init, of order, and residual: (size, 1), (1, size), (size, size)."""
    shapes = ((size, 1), (1, size), (size, size))
    return [
        np.sqrt(share) * generator.standard_normal(shape)
        for share, shape in zip((*shares, 1 - sum(shares)), shapes, strict=True)
    ]


def final_and_partial(
    generator: np.random.Generator,
    size: int,
    shares: tuple[float, float],
    persistence: tuple[float, float],
    collapse: bool,
) -> tuple[np.ndarray, np.ndarray]:
    final = grid_of_effects(generator, size, shares)
    fresh = grid_of_effects(generator, size, shares)
    lasting = (persistence[0], persistence[0], persistence[1])
    partial = [c * old + np.sqrt(1 - c**2) * new for c, old, new in zip(lasting, final, fresh, strict=True)]
    final, partial = sum(final), sum(partial)
    if collapse:
        luck = sum(grid_of_effects(generator, size, (0.0, 0.5)))
        final = np.where(luck < stats.norm.ppf(0.25), CHANCE, final)
        partial = np.where(luck < stats.norm.ppf(0.45), CHANCE, partial)
    return final, partial


def spread_evenly(generator: np.random.Generator, size: int) -> np.ndarray:
    """All pairs (flat indices), diagonal by diagonal: in any first n, no seed has two trials more than another."""
    rows = np.tile(np.arange(size), size)
    columns = (rows + np.repeat(generator.permutation(size), size)) % size
    return generator.permutation(size)[rows] * size + generator.permutation(size)[columns]


def best_found(
    generator: np.random.Generator, final: np.ndarray, ranked_by: np.ndarray, started: np.ndarray, keep: int
) -> float:
    """Best final score of the ``keep`` pairs that rank first among the flat indices ``started``; ties at random."""
    pairs = generator.permutation(started)
    kept = pairs[np.argsort(-ranked_by.flat[pairs], kind="stable")[:keep]]
    return float(final.flat[kept].max())


def seen_at(pairs: np.ndarray, partial: np.ndarray) -> np.ndarray:
    """The partial scores of these pairs (flat indices), NaN elsewhere."""
    seen = np.full(partial.shape, np.nan)
    seen.flat[pairs] = partial.flat[pairs]
    return seen


def predict_with_estimates(partial: np.ndarray) -> np.ndarray:
    """Mean + init effect + order effect of every pair, the variances taken for what they are estimated to be."""
    started = np.isfinite(partial)
    values = partial[started]
    try:
        variances = grid_mean(partial).variances
    except ValueError:  # not more trials than seeds: the design tells nothing
        return np.full(partial.shape, values.mean())
    init, order = (variances.get(name, 0.0) for name in ("init", "order"))
    rows, columns = np.nonzero(started)
    same_init, same_order = rows[:, None] == rows, columns[:, None] == columns
    covariance = init * same_init + order * same_order + max(variances["residual"], 1e-6) * np.eye(values.size)
    solved = np.linalg.solve(covariance, np.column_stack([values, np.ones(values.size)]))
    mean = solved[:, 0].sum() / solved[:, 1].sum()
    weights = solved[:, 0] - mean * solved[:, 1]
    size = len(partial)
    return (
        mean
        + init * np.bincount(rows, weights, size)[:, None]
        + order * np.bincount(columns, weights, partial.shape[1])
    )


def outcomes(
    generator: np.random.Generator, final: np.ndarray, partial: np.ndarray, plan: Assignment, persistence: float
) -> list[float]:
    """Best found on one grid by the paper's rule and by each of RULES."""
    keep, size = plan.keep, len(final)
    spread = spread_evenly(generator, size)
    started, first = spread[: plan.start], spread[: plan.start - plan.extend]
    seen = seen_at(first, partial)

    named = promising_pairs(seen, plan.extend, int(generator.integers(2**32)))
    extended = np.concatenate([first, np.ravel_multi_index(named.T, final.shape)])

    others = generator.permutation(spread[len(first) :])
    estimated = np.round(predict_with_estimates(seen).flat[others], 12)
    by_estimates = np.concatenate([first, others[np.argsort(-estimated, kind="stable")[: plan.extend]]])

    return [
        best_found(generator, final, ranked_by, pairs, kept)
        for ranked_by, pairs, kept in (
            (partial, started, keep),
            (predict_pairs(seen_at(started, partial), persistence), started, keep),
            (partial, extended, keep),
            (predict_pairs(seen_at(extended, partial), persistence), extended, keep),
            (partial, by_estimates, keep),
            (partial, spread[: round(1.2 * plan.start)], round(1.2 * keep)),
        )
    ]


def gains(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean gain of each of RULES over the paper's rule and its standard error, from grids x (1 + rules)."""
    difference = found[:, 1:] - found[:, :1]
    return difference.mean(axis=0), difference.std(axis=0, ddof=1) / np.sqrt(len(found))


def print_header(unit: str) -> None:
    print(f"{'':38}best of    trial's   gain over trial, {unit} (standard error)")
    print(f"{'':20}  init order    all      best " + "".join(f"{rule:>17}" for rule in RULES))


def print_row(label: str, best: float, found: np.ndarray) -> None:
    mean, error = gains(found)
    cells = "".join(f"{gain:+10.3f} ({se:.3f})" for gain, se in zip(mean, error, strict=True))
    print(f"{label:34}{best:7.3f}{found[:, 0].mean():10.3f} {cells}", flush=True)


def simulate(grids: int, picture: Path) -> None:
    results = {}
    print_header("standard deviations")
    for plan in ASSIGNMENTS:
        print(
            f"\n{plan.size} x {plan.size}: start {plan.start}, of which extend {plan.extend}, stop at {STOP_AT}, "
            f"keep {plan.keep}: {plan.cost} full trainings"
        )
        scenarios = [(name, persistence, False) for name, persistence in PERSISTENCES.items()]
        scenarios.append(("collapse", PERSISTENCES["effects last"], True))
        for name, persistence, collapse in scenarios:
            for shares in SHARES:
                generator = np.random.default_rng(0)  # the same luck for all, so that rows differ by their shares
                found, best = np.empty((grids, 1 + len(RULES))), 0.0
                for number in range(grids):
                    final, partial = final_and_partial(generator, plan.size, shares, persistence, collapse)
                    found[number] = outcomes(generator, final, partial, plan, persistence[1])
                    best += final.max() / grids
                print_row(f"{name:20}{shares[0]:6.2f}{shares[1]:6.2f}", best, found)
                results[plan.size, name, shares] = gains(found)
    draw(results, grids).savefig(picture, dpi=150)


def draw(results: dict, grids: int) -> Figure:
    """Gain against the seeds' share of the variance, init and order alike."""
    titles = {
        "effects last": "Seeds' effects last,\nhalf of the residual does",
        "all fade alike": "Half of everything lasts",
        "effects fade first": "Seeds' effects fade (0.3 last),\nthe residual lasts (0.8)",
        "collapse": "As in the first, and a quarter\nof the trials stays at chance",
    }
    even = [shares for shares in SHARES if shares[0] == shares[1]]
    # Okabe and Ito's colours, as in the figures of a sweep.
    styles = {
        "extend": ("#0072B2", "o", "extended by seeds"),
        "seeds": ("#D55E00", "s", "ranked by seeds"),
        "20 % more": None,
    }
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True)
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        axes.axhline(0, color="#555555", linewidth=1)
        axes.axvline(MEASURED, color="#555555", linewidth=1, linestyle=":")
        for plan, line in zip(ASSIGNMENTS[:2], ("-", "--"), strict=True):
            for rule, style in styles.items():
                column = RULES.index(rule)
                mean, error = np.array([[part[column] for part in results[plan.size, name, s]] for s in even]).T
                share = [sum(shares) for shares in even]
                grid = f"{plan.size} x {plan.size}"
                if style is None:
                    axes.plot(share, mean, color="#555555", linestyle=line, label=f"20 % more budget, {grid}")
                    continue
                colour, marker, label = style
                axes.errorbar(
                    share,
                    mean,
                    2 * error,
                    color=colour,
                    marker=marker,
                    linestyle=line,
                    capsize=2,
                    markerfacecolor=colour if line == "-" else "white",
                    label=f"{label}, {grid}",
                )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("share of variance of init + order\n(half each)")
    panels[0].set_ylabel("gain in best found over the paper's rule\n(standard deviations of final scores)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.suptitle(
        f"Using shared seeds in start many, stop early, at equal cost: {grids:,} simulated grids a point, bars 2 s.e.; "
        f"dotted: share measured on a real grid, {MEASURED:.2f}",
        fontsize=11,
    )
    return figure


def replay(folder: Path, draws: int) -> None:
    """The rules on a sweep's own curves. Standard errors are of the draws; that it is a single grid is not in them."""
    sweep = read_sweep(folder)
    curves = sweep.evaluations.pivot_table(index=["init", "order"], columns="step", values="score")
    best_so_far = np.fmax.accumulate(curves.loc[:, curves.columns > 0].to_numpy(), axis=1)
    size, orders = (len(level) for level in curves.index.levels)
    if size != orders or len(curves) != size**2 or not np.isfinite(best_so_far[:, -1]).all():
        raise SystemExit(f"error: {folder} holds {len(curves)} trials with scores; give a complete square grid of them")
    final = best_so_far[:, -1].reshape(size, size)
    plan = Assignment(size, 3 * size, 5)
    print(
        f"{folder}: standard deviation {final.std(ddof=1):.3f}; start {plan.start}, of which extend {plan.extend}, "
        f"keep {plan.keep}"
    )
    print_header("score")
    for stop_at in (STOP_AT, 1 / 3, 1 / 2, 2 / 3):
        partial = best_so_far[:, round(stop_at * best_so_far.shape[1]) - 1].reshape(size, size)
        generator = np.random.default_rng(0)
        found = np.empty((draws, 1 + len(RULES)))
        for number in range(draws):
            shuffled = np.ix_(generator.permutation(size), generator.permutation(size))
            found[number] = outcomes(generator, final[shuffled], partial[shuffled], plan, 0.5)
        print_row(f"stop at {stop_at:.2f}", final.max(), found)
        lasting = [
            stats.pearsonr(of(partial), of(final)).statistic
            for of in (lambda grid: grid.mean(axis=1), lambda grid: grid.mean(axis=0), np.ravel)
        ]
        print("  correlation with the end: init means {:.2f}, order means {:.2f}, trials {:.2f}".format(*lasting))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=500, help="simulated grids a row; draws with --sweep")
    parser.add_argument("--picture", type=Path, default=Path("docs/rank-by-seeds.png"))
    parser.add_argument("--sweep", type=Path, help="a sweep folder with a complete square grid")
    options = parser.parse_args()
    began = time.perf_counter()
    if options.sweep is None:
        simulate(options.grids, options.picture)
    else:
        replay(options.sweep, options.grids)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
