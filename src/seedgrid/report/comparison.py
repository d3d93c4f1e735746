"""What two sweeps say about two methods: the comparison, and the sections that show it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from seedgrid.analysis.comparison import Comparison, Difference, Diverged, ExpectedBest, compare, trials_needed
from seedgrid.errors import InputError
from seedgrid.report.arrays import SEEDS, FinishedTrials, check_whole
from seedgrid.report.figures import MOST_MARKS, REFERENCE, panels, score_axis, set_title, shared_legend
from seedgrid.report.section import Section
from seedgrid.scale import Scale
from seedgrid.wording import DECIMALS, count, listed, p_value, percent

# Okabe and Ito's green and purple, which other figures use for validation schedules; no comparison shows those.
METHOD_A, METHOD_B = "#009E73", "#CC79A7"


@dataclass(frozen=True)
class Compared:
    """Two sweeps' trials against each other.

    Attributes:
        a, b: all finished trials.
        result: the comparison of their best found, in scores: "better" and "beats" follow the direction.
        diverged: of their trials that diverged, by the sweeps' own records.
        scores_a, scores_b: of the trials that were compared; where they are paired, in the same order.
        paired_as_asked: whether the user said to pair or not to.
    """

    a: FinishedTrials
    b: FinishedTrials
    result: Comparison
    diverged: Diverged
    scores_a: np.ndarray
    scores_b: np.ndarray
    paired_as_asked: bool

    @property
    def names(self) -> tuple[str, str]:
        return self.a.name, self.b.name

    @property
    def scale(self) -> Scale:
        """On what the scores of both are read."""
        return max((self.a.scale, self.b.scale), key=lambda scale: scale.decimals)

    @property
    def shown(self) -> bool:
        """Whether the interval of the difference of means leaves out 0: the one verdict on it."""
        return self.result.difference.lower > 0 or self.result.difference.upper < 0

    @property
    def differing(self) -> list[str] | None:
        """Settings that can change a trial's numbers and differ between the sweeps; None: not known of one of them."""
        first, second = self.a.sweep.identity, self.b.sweep.identity
        return _differing(first, second) if first and second else None

    @property
    def differing_versions(self) -> list[str]:
        """Packages that the sweeps ran with different versions of, with these, where both are known."""
        first, second = self.a.sweep.versions, self.b.sweep.versions
        if not first or not second:
            return []
        return [f"{name} ({first.get(name)} and {second.get(name)})" for name in _differing(first, second)]


def compare_trials(
    a: FinishedTrials, b: FinishedTrials, *, paired: bool | None, max_budget: int, level: float, draws: int, seed: int
) -> Compared:
    """Compare two sweeps of one task; the options are those of ``seedgrid.analysis.comparison.compare``.

    Raises:
        InputError: a sweep's finished trials are too few, too ragged, no random sample, or without the seeds to pair
            them by as asked.
    """
    for key, study in (("a", a), ("b", b)):
        check_whole(study, key)
        if len(study.trials) < 2:
            raise InputError(
                f"{key}={study.sweep.folder}: 1 finished trial; a comparison needs at least 2 of each sweep"
            )
    unseeded = [study.sweep.folder for study in (a, b) if not study.sweep.seeded]
    if unseeded and paired:
        raise InputError(f"paired=true: the trials of {unseeded[0]} have no seeds to pair them by; leave it out")
    as_asked = paired is not None
    paired = False if unseeded else paired
    # By the records, not by the score alone: a trial whose loss was no number diverged whatever it scored before.
    flags = [each.laid_out(1.0 - each.trials["diverged"].to_numpy(float)) for each in (a, b)]
    grids = a.grid, b.grid
    options = {"level": level, "draws": draws, "seed": seed, "bounds": a.scale.bounds}
    try:
        result = compare(*grids, paired=paired, max_budget=max_budget, **options)
        diverged = compare(*flags, paired=result.paired, max_budget=0, level=level, diverged_at=0.5).diverged
    except ValueError as error:
        raise InputError(f"a={a.sweep.folder}, b={b.sweep.folder}: {error}") from None
    if result.paired:
        varied = SEEDS[: len(a.grid.seeds)]
        pairs = a.trials.merge(b.trials, on=varied, suffixes=("_a", "_b"))
        scores = pairs["score_a"].to_numpy(float), pairs["score_b"].to_numpy(float)
    else:
        scores = a.scores, b.scores
    return Compared(a, b, _in_scores(result, a.scale), diverged, *scores, paired_as_asked=as_asked)


def _in_scores(result: Comparison, scale: Scale) -> Comparison:
    """A comparison of utilities as one of scores; what says who is better stays as it is."""
    if not scale.lower_is_better:
        return result
    turned, best = scale.turned, result.expected_best
    means = [replace(mean, value=turned(mean.value)) for mean in (result.mean_a, result.mean_b)]
    if best is not None:
        best = replace(best, a=turned(best.a), b=turned(best.b), **_turned_difference(best, "difference", scale))
    mean = result.difference
    return replace(
        result,
        mean_a=means[0],
        mean_b=means[1],
        difference=replace(mean, t=turned(mean.t), **_turned_difference(mean, "value", scale)),
        hedges_g=turned(result.hedges_g),
        expected_best=best,
    )


def _turned_difference(difference: Difference | ExpectedBest, name: str, scale: Scale) -> dict[str, Any]:
    """The fields of a difference of utilities, and of its limits, in scores."""
    turned = scale.turned
    return {
        name: turned(getattr(difference, name)),
        "lower": turned(difference.upper),
        "upper": turned(difference.lower),
    }


def build_sections(compared: Compared, power: float) -> list[Section]:
    """Everything that a comparison shows, in the order of the page."""
    return [
        difference(compared),
        scores(compared),
        expected_best(compared),
        seed_pairs_needed(compared, power),
        configuration(compared),
    ]


# ------------------------------------------------------------------------------------------------------ the difference


def difference(compared: Compared) -> Section:
    """The verdict, and the numbers behind it."""
    result, (a, b) = compared.result, compared.names
    mean, chance, diverged = result.difference, result.chance, compared.diverged
    rows = [
        ("difference of means", mean.value, mean.lower, mean.upper, mean.p),
        ("Hedges' g", result.hedges_g, np.nan, np.nan, np.nan),
        (f"chance that a trial of {a} beats one of {b}", chance.value, chance.lower, chance.upper, chance.p),
        ("difference in share diverged", diverged.difference, diverged.lower, diverged.upper, diverged.p),
    ]
    places = compared.scale.decimals
    of_rows = places, None, None, None
    decimals = {} if places == DECIMALS else dict.fromkeys(("value", "lower", "upper"), of_rows)
    return Section(
        key="difference",
        title="Is it the method or the seed?",
        reading=f"{verdict(compared)} {pairing(compared)}",
        caption=(
            f"{a} less {b}, best found {compared.scale.metric}{_lower(compared)}, {result.trials_a:,} and"
            f" {result.trials_b:,} trials;"
            f" limits are of {percent(result.level)} intervals. Mean and chance: t tests with init and order seeds as"
            " crossed random effects, for trials that share a seed are not independent. Hedges' g: the difference in"
            " standard deviations of a single trial. Chance: ties count half, 0.5 is none. Diverged: Newcombe's"
            " interval, which takes trials for independent; its p allows for shared seeds. A dash: not available, or"
            " without variation. All of it holds for other seeds on these validation examples, not for other examples."
        ),
        table=pd.DataFrame(rows, columns=[f"{a} less {b}", "value", "lower", "upper", "p"]),
        decimals=decimals,
    )


def verdict(compared: Compared) -> str:
    """Whether the means differ by more than seeds explain: a sentence or two that claim no more than the interval."""
    mean, (a, b), scale = compared.result.difference, compared.names, compared.scale
    if scale.turned(mean.value) < 0:
        a, b = b, a
    size, level = scale.written(abs(mean.value)), percent(compared.result.level)
    limits = [scale.written(limit) for limit in sorted((abs(mean.lower), abs(mean.upper)))]
    better = f"{scale.better_word} (better)" if scale.lower_is_better else scale.better_word
    if np.isnan(mean.lower):
        what = "The differences between paired trials do not" if compared.result.paired else "The scores do not"
        if mean.p == 1:
            return f"No difference: {a} and {b} have the same mean. {what} vary, so there is no error to judge it by."
        return (
            f"{a} scores {size} {better} than {b}. {what} vary, so there is no error to judge it by: nothing is"
            " claimed beyond these trials."
        )
    if compared.shown:
        return (
            f"More than the seeds explain: {a} scores {better} than {b}, by {size} on average ({level} interval"
            f" {limits[0]} to {limits[1]}, {p_value(mean.p)})."
        )
    lead = f"{a}'s mean is {size} {better}" if mean.value else "the means are equal"
    return (
        f"The seeds alone may explain it: {lead}, and the {level} interval of {compared.a.name} less"
        f" {compared.b.name} reaches from {scale.signed(mean.lower)} to {scale.signed(mean.upper)}"
        f" ({p_value(mean.p)}). That does not"
        " show that they are equal: any difference in that interval remains possible."
    )


def pairing(compared: Compared) -> str:
    """How the trials were set against each other, and for which seeds the answer holds."""
    result, (a, b) = compared.result, compared.names
    totals = len(compared.a.trials), len(compared.b.trials)
    if result.paired:
        said = f"Paired by seeds: {count(result.shared, 'pair')} of trials that share init and order seed"
        left = [
            f"{total - result.shared:,} of {name}"
            for name, total in zip((a, b), totals, strict=True)
            if total > result.shared
        ]
        said += f"; left out for want of a partner: {listed(left)}." if left else "."
    else:
        said = f"Unpaired{', as asked' if compared.paired_as_asked else ''}: all {totals[0]:,} and {totals[1]:,} trials"
        unseeded = [study.name for study in (compared.a, compared.b) if not study.sweep.seeded]
        if unseeded:
            said += f", as those of {listed(unseeded)} have no seeds."
        elif len(compared.a.grid.seeds) != len(compared.b.grid.seeds):
            said += ", as only one sweep varies the dropout seed."
        elif compared.paired_as_asked:
            said += "."
        else:
            said += f", of which {result.shared:,} have a partner with the same seeds, too few to leave the others out."
    return " ".join([said, *_single_seeds(compared)])


def _single_seeds(compared: Compared) -> Iterator[str]:
    for name, study in zip(compared.names, (compared.a, compared.b), strict=True):
        if not study.sweep.seeded:
            continue
        for axis, seeds in zip(SEEDS[:2], study.grid.seeds, strict=False):
            if len(seeds) == 1:
                yield f"All trials of {name} have {axis} seed {seeds[0]}: about other {axis} seeds nothing is said."


# ---------------------------------------------------------------------------------------------------------- the scores


def scores(compared: Compared) -> Section:
    """Both methods' trials: where they lie, and how many diverged."""
    result, diverged, names = compared.result, compared.diverged, compared.names
    turned = compared.scale.turned
    sides = (
        (result.mean_a, compared.scores_a, diverged.a),
        (result.mean_b, compared.scores_b, diverged.b),
    )
    table = pd.DataFrame(
        [
            {
                "sweep": name,
                "trials": mean.trials,
                "mean": mean.value,
                "standard error": mean.standard_error,
                "std of a trial": np.sqrt(mean.total_variance),
                compared.scale.worst_word: turned(turned(values).min()),
                "median": np.median(values),
                "best": turned(turned(values).max()),
                "diverged": bad,
                "share diverged": bad / mean.trials,
            }
            for name, (mean, values, bad) in zip(names, sides, strict=True)
        ]
    )
    shares = [f"{bad} of {mean.trials} ({name})" for name, (mean, _, bad) in zip(names, sides, strict=True)]
    reading = f"Diverged: {' and '.join(shares)}{_diverged_verdict(compared)}."
    if result.paired:
        utilities = turned(compared.scores_a), turned(compared.scores_b)
        wins = int((utilities[0] > utilities[1]).sum()), int((utilities[0] < utilities[1]).sum())
        equal = result.shared - sum(wins)
        reading += f" With the same seeds, {names[0]} is better in {count(wins[0], 'pair')}, {names[1]} in {wins[1]:,}"
        reading += f", and {equal} are equal." if equal else "."
    caption = (
        "Each dot is a trial's best found score, moved up or down at random to be seen; black: mean with"
        f" {percent(result.level)} interval, which allows for shared seeds. Std of a trial: of one with new seeds."
    )
    if result.paired:
        side = "below" if compared.scale.lower_is_better else "above"
        caption += f" Right: each pair of trials with the same seeds; {side} the line {names[0]} is better."
    decimals = _decimals(compared, table, ("mean", "standard error", "std of a trial", "median", "best"))
    decimals |= _decimals(compared, table, (compared.scale.worst_word,))
    return Section("scores", "The scores", reading, caption, _scores_figure(compared), table, decimals=decimals)


def _decimals(compared: Compared, table: pd.DataFrame, columns: Sequence[str]) -> dict[str, list[int]]:
    """Those of columns of scores, where they are not the ones of any number."""
    decimals = compared.scale.decimals
    return {} if decimals == DECIMALS else dict.fromkeys(columns, [decimals] * len(table))


def _lower(compared: Compared) -> str:
    return " (lower is better)" if compared.scale.lower_is_better else ""


def _diverged_verdict(compared: Compared) -> str:
    diverged = compared.diverged
    if not diverged.a and not diverged.b:
        return ""
    if np.isnan(diverged.p):
        return ", without variation to judge it by"
    known = diverged.p < risk_of(compared.result.level)
    shown = "a difference that seeds do not explain" if known else "no difference shown"
    return f", {shown} ({p_value(diverged.p)})"


def _scores_figure(compared: Compared) -> Figure:
    result, names, scale = compared.result, compared.names, compared.scale
    figure, (axes, *others) = panels(1 + result.paired, 5.5, 3.8)
    generator = np.random.default_rng(0)
    rows = (
        (1, compared.scores_a, result.mean_a, METHOD_A),
        (0, compared.scores_b, result.mean_b, METHOD_B),
    )
    for height, values, mean, colour in rows:
        places = height + generator.uniform(-0.25, 0.25, len(values))
        _dots(axes, values, places, colour)
        half = float(stats.t.ppf((1 + result.level) / 2, mean.degrees)) * mean.standard_error
        low, high = np.clip((mean.value - half, mean.value + half), *scale.limits)
        bar = np.maximum([[mean.value - low], [high - mean.value]], 0)  # a mean of ones may be more by a rounding
        axes.errorbar(mean.value, height, xerr=bar, fmt="D", color="black", markersize=5, capsize=4, zorder=3)
    threshold = compared.a.sweep.diverged_at
    if threshold is not None and threshold == compared.b.sweep.diverged_at:
        axes.axvline(threshold, color=REFERENCE, linestyle="--", linewidth=1, zorder=0)
        axes.text(threshold, 1.48, f" diverged {scale.diverged_word}", color=REFERENCE, fontsize=7, va="top")
    trials = (result.trials_a, result.trials_b)
    labels = ["\n".join((*textwrap.wrap(name, 20), count(n))) for name, n in zip(names, trials, strict=True)]
    axes.set_yticks((1, 0), labels)
    axes.set_ylim(-0.5, 1.5)
    score_axis(axes, "x", f"best found {scale.metric}", scale)
    set_title(axes, "all trials compared", more=f"mean with {percent(result.level)} interval")
    for pairs in others:
        _dots(pairs, compared.scores_b, compared.scores_a, REFERENCE)
        low, high = (edge(np.concatenate((compared.scores_a, compared.scores_b))) for edge in (np.min, np.max))
        pairs.axline((low, low), slope=1, color=REFERENCE, linestyle="--", linewidth=1, zorder=0)
        margin = 0.05 * (high - low) or 0.01 * max(1.0, abs(low))
        pairs.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
        for which, name in zip("yx", names, strict=True):
            score_axis(pairs, which, textwrap.fill(f"best found of {name}", 40), scale.limits)
        set_title(pairs, "trials with the same seeds", more=count(result.shared, "pair"))
    return figure


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    many = len(x) > MOST_MARKS
    axes.scatter(x, y, color=colour, s=4 if many else 18, alpha=0.3 if many else 0.7, linewidth=0, rasterized=many)


# ---------------------------------------------------------------------------------------------------- the expected best


def expected_best(compared: Compared) -> Section:
    """Which method's best of n is better, for each n."""
    title, best, (a, b) = "The best of several trials", compared.result.expected_best, compared.names
    if best is None:
        return Section("expected_best", title, missing=("max_budget=0 leaves the expected best out",))
    table = pd.DataFrame(
        {
            "trials of each": best.budgets,
            a: best.a,
            b: best.b,
            f"{a} less {b}": best.difference,
            "lower": best.lower,
            "upper": best.upper,
        }
    )
    return Section(
        key="expected-best",
        title=title,
        reading=_leaders(best, compared.names, percent(compared.result.level)),
        caption=(
            "Expected best of n trials (unbiased, without replacement; Tang et al. 2020) of both sweeps, and its"
            f" difference with a {percent(compared.result.level)} interval for each n of its own, by redrawing seeds;"
            f" a leader is named only where it excludes 0. Intervals end at n = {best.trusted_up_to}: from"
            f" {compared.result.trials_a} and {compared.result.trials_b} trials no more can be trusted."
        ),
        figure=_expected_best_figure(best, compared),
        table=table,
        decimals=_decimals(compared, table, (a, b, f"{a} less {b}", "lower", "upper")),
    )


def _leaders(best: ExpectedBest, names: tuple[str, str], level: str) -> str:
    if not best.trusted_up_to:
        return "The trials are too few for an interval at any n, so neither sweep is said to lead."
    if np.isnan(best.lower[: best.trusted_up_to]).all():
        return "The scores do not vary, so there is no error to go by, and neither sweep is said to lead."
    leads = [
        f"{name} leads at n = {_ranges(budgets)}"
        for name, budgets in zip(names, (best.a_leads, best.b_leads), strict=True)
        if budgets
    ]
    reach = f"({level} intervals, which reach to n = {best.trusted_up_to})"
    if best.crossing:
        return f"Which is better depends on how many trials one runs: {listed(leads)} {reach}."
    if leads:
        return f"{leads[0]} {reach}."
    known = _ranges(best.budgets[np.isfinite(best.lower)].tolist())
    return f"Neither leads: the {level} interval of the difference contains 0 at n = {known}, as far as there is one."


def _expected_best_figure(best: ExpectedBest, compared: Compared) -> Figure:
    (a, b), result = compared.names, compared.result
    figure, (curves, gap) = panels(2, 5.5, 3.8)
    for name, values, colour in ((a, best.a, METHOD_A), (b, best.b, METHOD_B)):
        curves.plot(best.budgets, values, color=colour, marker=".", markersize=4, label=name)
    low, high = compared.scale.limits
    score_axis(curves, "y", f"expected best {compared.scale.metric}", compared.scale)
    set_title(curves, "expected best of n trials", more=f"{result.trials_a:,} and {result.trials_b:,} trials")
    gap.axhline(0, color=REFERENCE, linestyle="--", linewidth=1)
    gap.plot(best.budgets, best.difference, color="black", marker=".", markersize=4, label="difference")
    known = np.isfinite(best.lower)
    if known.any():
        middle = best.difference[known]
        limits = middle - best.lower[known], best.upper[known] - middle
        label = f"{percent(result.level)} interval"
        gap.errorbar(best.budgets[known], middle, limits, fmt="none", color="black", elinewidth=1, label=label)
    for name, budgets, colour in ((a, best.a_leads, METHOD_A), (b, best.b_leads, METHOD_B)):
        if budgets:
            led = np.array(budgets)
            gap.plot(led, best.difference[led - 1], "D", color=colour, markersize=5, label=f"{name} leads")
    score_axis(gap, "y", "difference", (low - high, high - low))
    set_title(gap, f"{a} less {b}", more=f"{result.trials_a:,} and {result.trials_b:,} trials")
    for axes in (curves, gap):
        axes.set_xlabel("n, trials of each")
        axes.xaxis.get_major_locator().set_params(integer=True)
        end = best.budgets[-1] + 0.5
        axes.set_xlim(0.5, end)
        if best.trusted_up_to < best.budgets[-1]:
            axes.axvspan(
                best.trusted_up_to + 0.5, end, color="#eeeeee", zorder=0, label="too few trials to tell who leads"
            )
    shared_legend(figure)
    return figure


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as a person says them: 1 to 4, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)


# ----------------------------------------------------------------------------------------------------- how many more


def seed_pairs_needed(compared: Compared, power: float) -> Section:
    """How many seed pairs would show a difference of the size that was seen."""
    key, title, result = "seed_pairs_needed", "How many seed pairs would settle it", compared.result
    size = abs(result.difference.value)
    reason = _why_not(compared)
    if reason is None:
        try:
            have = _full_grid(compared)
            needed = trials_needed(size, result.variances, power=power, level=risk_of(result.level), have=have)
        except ValueError as error:
            reason = str(error)
    if reason is not None:
        return Section(key, title, missing=(f"{' and '.join(compared.names)}: {reason}",))
    independent = _independent_pairs(compared)
    more_pairs = max(0, needed.pairs - independent) if independent else needed.more_pairs
    rows = [("independent pairs, each with seeds of its own", needed.pairs, more_pairs)]
    ways = [f"{needed.pairs:,} independent seed pairs"]
    missing = ()
    if needed.trials_in_grid is None:
        missing = (
            f"{' and '.join(compared.names)}: for how large a grid is not known, as independent pairs do not tell what"
            " each seed contributes",
        )
    else:
        grid = f"{needed.inits:,} x {needed.orders:,}"
        rows.append((f"grid of {grid} (init x order seeds)", needed.trials_in_grid, needed.more_in_grid))
        ways.append(f"a grid of {grid} ({needed.trials_in_grid:,})")
    return Section(
        key=key,
        title=title,
        reading=(
            f"A difference of {compared.scale.written(size)}, as seen here, is shown with a chance of"
            f" {percent(power)} by {' or by '.join(ways)}, with each method."
            + (" It is shown already." if compared.shown else "")
            + " The true difference may be smaller, and then needs more."
        ),
        caption=(
            f"Trials of each method with which a test at {percent(risk_of(result.level))} rejects with this"
            " chance, and those of them still to be run. On a grid the mean's variance is var(init) / inits +"
            " var(order) / orders + var(residual) / trials, over independent pairs var(total) / pairs; the variances"
            f" are estimates from these {result.trials_a} and {result.trials_b} trials, taken for known."
        ),
        table=pd.DataFrame(rows, columns=["design", "trials of each", "more than now"]),
        missing=missing,
    )


def _why_not(compared: Compared) -> str | None:
    result = compared.result
    single = list(_single_seeds(compared))
    if np.isnan(result.difference.lower):
        return "there is no variation to reckon with"
    if result.difference.value == 0:
        return "the means are equal, and no number of trials shows a difference of 0"
    return f"not known. {single[0]}" if single else None


def risk_of(level: float) -> float:
    """The level of the test that an interval of this level makes; 1 - 0.9 is not quite 0.1."""
    return round(1 - level, 12)


def _full_grid(compared: Compared) -> tuple[int, int]:
    """Inits and orders of the full grid that both methods have; (0, 0) if they do not."""
    grids = [each.grid.scores for each in (compared.a, compared.b)]
    if any(grid.ndim != 2 for grid in grids):
        return 0, 0
    if compared.result.paired:
        pairs = compared.a.trials.merge(compared.b.trials, on=SEEDS[:2])
        shape = pairs["init"].nunique(), pairs["order"].nunique()
        return shape if np.prod(shape) == len(pairs) else (0, 0)
    full = all(np.isfinite(grid).all() for grid in grids)
    return grids[0].shape if grids[0].shape == grids[1].shape and full else (0, 0)


def _independent_pairs(compared: Compared) -> int:
    """Trials of each method, if each has seeds of its own, or none are known; else 0."""
    trials = [each.trials for each in (compared.a, compared.b) if each.sweep.seeded]
    shared = any(each[name].duplicated().any() for each in trials for name in SEEDS[:2])
    return 0 if shared else min(compared.result.trials_a, compared.result.trials_b)


# ------------------------------------------------------------------------------------------------------- what differs


def configuration(compared: Compared) -> Section:
    """What differs between the two sweeps' settings."""
    settings = [
        {
            **dict(_flat(sweep.config)),
            **sweep.identity,
            **{f"version of {name}": version for name, version in sweep.versions.items()},
        }
        for sweep in (compared.a.sweep, compared.b.sweep)
    ]
    differing = _differing(*settings)
    keys = compared.differing
    if keys is None:
        unknown = [each.name for each in (compared.a, compared.b) if not each.sweep.identity]
        reading = f"What differs is not known: {listed(unknown)} came without settings."
    elif keys:
        reading = (
            f"The sweeps differ in {count(len(keys), 'setting')} that can change a trial's numbers: {listed(keys)}."
        )
        if len(keys) > 1:
            reading += " A difference in scores cannot be laid to one of them."
    else:
        reading = "No setting that can change a trial's numbers differs"
        reading += (
            f", but package versions do, which may change them too: {listed(compared.differing_versions)}."
            if compared.differing_versions
            else ": these are two sweeps of one method."
        )
    table = pd.DataFrame(
        {
            "setting": differing,
            **{
                name: [_written(each[key]) if key in each else None for key in differing]
                for name, each in zip(compared.names, settings, strict=True)
            },
        }
    )
    return Section(
        key="configuration",
        title="What differs between them",
        reading=reading,
        caption=(
            "Of each sweep's first trial: settings, digests of its data and weights; of all trials: package versions."
            " Names and places change no number; versions may."
        ),
        table=table if differing and keys is not None else None,
    )


def cautions(compared: Compared) -> list[str]:
    """What a comparison of these two sweeps has to be read with."""
    said = []
    unknown = [each.name for each in (compared.a, compared.b) if each.sweep.validation_digest is None]
    if unknown:
        said.append(
            f"On which validation examples {listed(unknown)} scored is not known; they are taken for the same on both"
            " sides."
        )
    (a, b), (first, second) = compared.names, (each.curves.shape[1] for each in (compared.a, compared.b))
    if first != second:
        ends = (each.at_the_end.grid for each in (compared.a, compared.b))
        scale = compared.scale
        options = {"paired": compared.result.paired, "level": compared.result.level, "bounds": scale.bounds}
        result = _in_scores(compare(*ends, max_budget=0, **options), scale)
        last, signed = result.difference, scale.signed
        limits = f"{percent(result.level)} interval {signed(last.lower)} to {signed(last.upper)}, "
        extreme, change = ("minimum", "lower") if scale.lower_is_better else ("maximum", "raise")
        said.append(
            f"Best found is a {extreme} over {count(first, 'evaluation')} of {a} and {second} of {b}: more of them"
            f" alone {change} it. By the last evaluation {a} less {b} is {signed(last.value)} on average"
            f" ({'' if np.isnan(last.lower) else limits}{p_value(last.p)})."
        )
    said += filter(None, (compared.a.versions_warning, compared.b.versions_warning))
    if compared.differing_versions:
        said.append(
            f"{a} and {b} ran with different versions of {listed(compared.differing_versions)}; numbers may differ for"
            " that reason alone."
        )
    elif compared.differing == []:
        said.append(f"{a} and {b} are two sweeps of one method: no setting that can change a trial's numbers differs.")
    return said


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
