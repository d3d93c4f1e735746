"""The paper's Table 4 and Figure 3: the best seed against the worst, with tests and densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from seedgrid.analysis.rounding import significant_decimals
from seedgrid.analysis.variance import AXES, Axis, BestAgainstWorst, best_against_worst
from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.figures import BEST, WORST, panel_each, score_axis, set_title
from seedgrid.report.section import Section, in_scores, of_each, rows
from seedgrid.report.sections.available import grid_scores
from seedgrid.report.sections.variance import shuffles_of
from seedgrid.scale import shared_word
from seedgrid.wording import listed, p_value, percent

# A density of fewer different scores says more about the kernel than about the trials.
_LEAST_FOR_DENSITY = 5
_LEVEL = 0.05


@dataclass(frozen=True)
class _Extremes:
    """Best and worst seed of one axis of one sweep, by utilities."""

    study: FinishedTrials
    axis: Axis
    tests: BestAgainstWorst

    def seed(self, index: int) -> int:
        return int(self.study.grid.seeds[AXES.index(self.axis)][index])

    def utilities(self, index: int) -> np.ndarray:
        """Of the trials of one seed."""
        utilities = np.take(self.study.grid.scores, index, axis=AXES.index(self.axis))
        return utilities[np.isfinite(utilities)]

    @property
    def equal(self) -> bool:
        means = self.tests.best_mean, self.tests.worst_mean
        return means[0] - means[1] < 10.0 ** -significant_decimals(means)


def best_and_worst_seeds(
    studies: Sequence[FinishedTrials], shuffles: int = 10_000, seed: int = 0
) -> tuple[Section, Section]:
    """The paper's Table 4 and Figure 3, which rest on the same choice of seeds."""
    grids, missing = of_each(studies, grid_scores)
    found = []
    for study, scores in grids:
        for axis, seeds in zip(AXES, scores.shape, strict=False):
            try:
                if seeds > 1:
                    tests = best_against_worst(scores, axis, shuffles=min(shuffles, shuffles_of(study)), seed=seed)
                    found.append((study, _Extremes(study, axis, tests)))
            except ValueError as error:
                missing.append(f"{study.name}: {axis} seeds are not compared: {error}")
    numbers = sorted({result.tests.corrected.shuffles for _, result in found}, reverse=True)
    tests = "table-4", "Best against worst seed"
    densities = "figure-3", "Scores of the best and the worst seed"
    if not found:
        return Section(*tests, missing=missing), Section(*densities, missing=missing)
    best = shared_word([study.scale for study, _ in found], "best_word", "best")
    worst = shared_word([study.scale for study, _ in found], "worst_word", "worst")
    table, decimals = in_scores(rows(found, _row), studies, ["its mean", "its mean "], amounts=["difference"])
    caption = (
        f"The seed with the {best} and the one with the {worst} mean score (Dodge et al. 2020, Table 4). Quote p "
        f"(permutation): it compares the range of all seeds' means with that of "
        f"{listed([f'{number:,}' for number in numbers])} shuffled grids, each of "
        "which has a best and a worst seed of its own, so it allows for these two having been picked after seeing the "
        "scores; shuffled within the other seeds, or over all trials where those do not link all rows. p (ANOVA) is "
        "the paper's: one-way, between the trials of the two seeds as if picked beforehand, so it is too small. "
        "Wilcoxon's signed ranks pair the two seeds' trials by the seeds that both share, and are picked likewise; "
        "Friedman's test ranks all seeds within each of the others. p (Levene) and p (Shapiro) check what ANOVA "
        "assumes: a small one speaks against equal spread and against normal scores."
    )
    if any(study.grid.scores.ndim == 3 for study, _ in found):
        caption += (
            " Where the dropout seed varies, a small p (permutation) says that the best seed is better with the other "
            "seeds that were run; whether it is with new ones too is told by the F tests of the variance components."
        )
    figure = panel_each(found, 3.6, 3.0, lambda axes, _, result: _draw(axes, result), 2 if len(found) == 4 else 3)
    return (
        Section(*tests, _read_tests(found), caption, table=table, missing=missing, decimals=decimals),
        Section(
            *densities,
            "\n".join(_read_overlap(result) for _, result in found),
            "Distribution of the best found scores of the trials of the best and of the worst seed, each picked by its "
            "mean (Dodge et al. 2020, Figure 3). Upright marks are single trials; curves are Gaussian kernel density "
            f"estimates (Scott's rule), drawn where there are at least {_LEAST_FOR_DENSITY} different scores. A curve "
            "is smooth beyond the lowest and highest score, where no trial need lie, and ends where the metric does.",
            figure,
            missing=missing,
        ),
    )


def _row(study: FinishedTrials, result: _Extremes) -> list[dict[str, object]]:
    tests = result.tests
    row = {
        "seeds": result.axis,
        "best": result.seed(tests.best),
        "its mean": tests.best_mean,
        "worst": result.seed(tests.worst),
        "its mean ": tests.worst_mean,
        "difference": tests.best_mean - tests.worst_mean,
        "p (permutation)": tests.corrected.p,
        "shuffled": {"within": f"within {_others(result)}", "all": "all trials"}[tests.corrected.scheme],
        "p (ANOVA)": tests.anova_p,
        "p (Wilcoxon)": tests.wilcoxon_p,
        "pairs": tests.wilcoxon_pairs,
        "p (Friedman)": tests.friedman_p,
        "p (Levene)": tests.levene_p,
        "p (Shapiro, best)": tests.shapiro_best_p,
        "p (Shapiro, worst)": tests.shapiro_worst_p,
    }
    return [row]


def _others(result: _Extremes) -> str:
    return " x ".join(axis for axis in AXES[: result.study.grid.scores.ndim] if axis != result.axis)


def _read_tests(found: list[tuple[FinishedTrials, _Extremes]]) -> str:
    parts: dict[str, list[str]] = {}
    for study, result in found:
        parts.setdefault(study.name, []).append(_read_test(result))
    return "\n".join(
        [
            *(f"{name}: {'; '.join(said)}." for name, said in parts.items()),
            "Quote the permutation p: it allows for the two seeds having been picked after seeing the scores, and the "
            "paper's ANOVA does not.",
        ]
    )


def _read_test(result: _Extremes) -> str:
    tests, axis = result.tests, result.axis
    if result.equal:
        return f"all {axis} seeds have the same mean, {result.study.short(tests.best_mean)}"
    p = tests.corrected.p
    anova = f"; ANOVA {p_value(tests.anova_p)}" if np.isfinite(tests.anova_p) else ""
    study, scale = result.study, result.study.scale
    return (
        f"{axis} seed {result.seed(tests.best)} has the {scale.best_word} mean, {study.short(tests.best_mean)}, and "
        f"{result.seed(tests.worst)} the {scale.worst_word}, {study.short(tests.worst_mean)}, "
        f"{'more' if p < _LEVEL else 'no more'} than chance brings (permutation {p_value(p)}{anova})"
    )


def _read_overlap(result: _Extremes) -> str:
    """How often a trial of the best seed beats one of the worst."""
    best, worst = result.utilities(result.tests.best), result.utilities(result.tests.worst)
    name = f"{result.study.name}, {result.axis}"
    if result.equal:
        return f"{name}: no seed is better than another in its mean."
    wins = stats.mannwhitneyu(best, worst).statistic / (best.size * worst.size)
    return (
        f"{name}: a random trial of seed {result.seed(result.tests.best)} beats one of seed "
        f"{result.seed(result.tests.worst)} {percent(wins)} of the time (ties count half)."
    )


def _draw(axes: Axes, result: _Extremes) -> None:
    tests, scale = result.tests, result.study.scale
    groups = [
        ("best seed", scale.turned(result.utilities(tests.best)), BEST, "-"),
        ("worst seed", scale.turned(result.utilities(tests.worst)), WORST, "--"),
    ]
    densities = {}
    together = np.concatenate([scores for _, scores, _, _ in groups])
    margin = 0.25 * np.ptp(together) or 0.01 * max(1.0, abs(together[0]))
    ends = np.clip((together.min() - margin, together.max() + margin), *scale.limits)
    x = np.linspace(*ends, 300)
    for label, scores, _, _ in groups:
        if np.unique(scores).size >= _LEAST_FOR_DENSITY:
            densities[label] = stats.gaussian_kde(scores)(x)
    top = max((float(density.max()) for density in densities.values()), default=1.0)
    for row, (label, scores, colour, line) in enumerate(groups):
        if label in densities:
            axes.plot(x, densities[label], color=colour, linestyle=line, linewidth=1.5)
            axes.fill_between(x, densities[label], color=colour, alpha=0.15, linewidth=0)
        height = np.full(scores.size, -((0.08 + 0.11 * row) if densities else (0.35 + 0.3 * row)) * top)
        axes.plot(
            scores, height, "|", color=colour, markersize=8, alpha=0.8, label=label, rasterized=scores.size > 2000
        )
    axes.set_xlim(x[0] - 0.05 * margin, x[-1] + 0.05 * margin)
    axes.set_ylim(*((-0.27 * top, 1.08 * top) if densities else (-1, 0)))
    axes.axhline(0, color="black", linewidth=0.6)
    ticks = [tick for tick in axes.get_yticks() if 0 <= tick <= top] if densities else []
    axes.set_yticks(ticks)
    score_axis(axes, "x", f"best found {scale.metric}", scale, most_ticks=5)
    axes.set_ylabel("density" if densities else "")
    trials = f"{result.axis} seed {result.seed(tests.best)} ({groups[0][1].size} trials) against"
    set_title(axes, result.study.name, more=f"{trials} {result.seed(tests.worst)} ({groups[1][1].size})")
