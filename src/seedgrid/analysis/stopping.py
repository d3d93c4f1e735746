"""Start many trials, stop early, continue some: what an assignment reaches, and which is best for a budget.

All of it is exact, by the paper's rules (Figures 6 and 7). Stopped trials never matter to the outcome as
long as one trial goes on: a continued trial was ahead of every stopped one when they stopped, and its best so far only
rises. So the outcome is the best found among the continued trials, and these are described by one number: the place, in
the ranking of all N trials, of the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.special import gammaln

from seedgrid.analysis.expected import expected_max

# exp(-40) = 4e-18 of a score's range is below float64's rounding.
_NEGLIGIBLE = 4e-18
_LOG_NEGLIGIBLE = -60.0  # of one chance among as many as there are trials, times those kept
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Plan:
    """An assignment of a budget, and what it should reach.

    Attributes:
        budget: in full trainings.
        start: trials started (the paper's t).
        stop_at: evaluations after which all are stopped and ranked (the paper's f is ``stop_at / evaluations``).
        keep: trials continued to the end (the paper's p).
        evaluations: evaluations of a full training.
        cost: what the assignment spends, in full trainings; below the budget only if nothing spends it exactly.
        expected: expected best score; None if no trials were given to say.
        full_training: expected best of as many full trainings as the budget pays for; None likewise.
        best_possible: highest score there can be; None: there is no limit.
        honest: what the plan chosen on one half of the trials reaches on the other half, averaged over splits; None if
            no splits were asked for or the halves are smaller than the budget. ``expected`` is the best of many
            assignments valued on the trials that chose it, so it promises too much; this does not.
    """

    budget: float
    start: int
    stop_at: int
    keep: int
    evaluations: int
    cost: float
    expected: float | None = None
    full_training: float | None = None
    honest: float | None = None
    best_possible: float | None = 1.0

    @property
    def in_full(self) -> bool:
        """Whether all that is started is trained to the end."""
        return self.keep == self.start

    @property
    def reached(self) -> float | None:
        """The value to go by: the honest one where there is one."""
        return self.expected if self.honest is None else self.honest

    @property
    def error_reduction(self) -> float | None:
        """Share of full training's error that the plan removes (the paper's Figure 6); 0 if it has none.

        The error is what lies between a score and the best possible one, 1 - score in the paper; None without a limit.
        """
        if self.expected is None or self.full_training is None or self.best_possible is None:
            return None
        error = self.best_possible - self.full_training
        return max(0.0, (self.expected - self.full_training) / error) if abs(error) > _ROUNDING else 0.0


def expected_best(curves: np.ndarray, start: int, stop_at: int, keep: int) -> float:
    """Exact expected outcome of one assignment.

    ``start`` of the N trials are drawn without replacement, ranked by their best score of the first ``stop_at``
    evaluations, and the ``keep`` best are continued. Ties at the cut are resolved at random, in expectation, so the
    order in which trials are listed does not matter. The outcome is the best score of continued trials' whole curves
    and stopped trials' first parts. ``keep = start`` or ``stop_at = evaluations`` is full training.

    A NaN evaluation never counts; a trial without any finite evaluation up to ``stop_at`` ranks last. Leave out trials
    that are still running: they would count as ended.

    Time grows as the number of different partial scores times that of different final scores, at most N squared.

    Args:
        curves: trials x evaluations, scores of any sign.
        start: trials started, from 1 to N.
        stop_at: evaluations before the ranking, from 1 to all.
        keep: trials continued, from 1 to ``start``.

    Returns:
        The expected best score.

    Raises:
        ValueError: a number is out of range; ``curves`` is not two-dimensional, is empty, holds an infinity, or has a
            trial without any finite evaluation.
    """
    best_so_far = _best_so_far(curves)
    trials, evaluations = best_so_far.shape
    for name, value, lowest, highest in (
        ("start", start, 1, trials),
        ("stop_at", stop_at, 1, evaluations),
        ("keep", keep, 1, start),
    ):
        if int(value) != value or not lowest <= value <= highest:
            raise ValueError(f"{name} is {value}; give a whole number from {lowest} to {highest}")
    return float(_expected_outcomes(best_so_far, int(stop_at), np.array([[start, keep]], dtype=int))[0])


def best_plan(curves: np.ndarray, budget: float, max_start: int = 200, splits: int = 0, seed: int = 0) -> Plan:
    """The assignment with the highest expected outcome for a budget, and full training's.

    See ``best_plans``, which shares the work between several budgets.
    """
    return best_plans(curves, [budget], max_start, splits, seed)[0]


def best_plans(
    curves: np.ndarray, budgets: Sequence[float], max_start: int = 200, splits: int = 0, seed: int = 0
) -> list[Plan]:
    """The best assignment for each of several budgets: the paper's Figures 6 and 7.

    Starting t trials, stopping after a fraction f and continuing p costs t f + p (1 - f) full trainings. Searched are
    all assignments with at least one continued trial that spend the budget exactly, in rational arithmetic; where none
    does, for every f and p the largest t that the budget pays for. Full training wins ties.

    Trials are drawn without replacement, unlike in the paper, so no more than N can be started, and no more than N/2 in
    the halves: with few trials the best plan may be one that the population was too small to contain.

    Budgets 1 to 30 on 30 evaluations take some 4 s of a core for 625 trials whose scores all differ, and 3 s for
    100,000 with 200 different scores (``benchmarks/plan_figure6.py``): time grows with the number of different scores,
    squared. A metric on some hundred examples has few; round the scores of very many trials on many examples.

    Args:
        curves: trials x evaluations, scores of any sign; NaN as in ``expected_best``.
        budgets: in full trainings, each from 1 to N and to ``max_start``; a float means its decimal digits.
        max_start: most trials started.
        splits: random halvings of the trials for the honest value, used both ways round; 0 for none.
        seed: draws the halvings.

    Returns:
        A plan for each budget.

    Raises:
        ValueError: a budget is out of range, or ``curves`` is as ``expected_best`` refuses.
    """
    best_so_far = _best_so_far(curves)
    trials, evaluations = best_so_far.shape
    amounts = [_exact(budget) for budget in budgets]
    for amount, budget in zip(amounts, budgets, strict=True):
        if not 1 <= amount <= min(trials, max_start):
            raise ValueError(
                f"budget is {budget}; give 1 to {min(trials, max_start)} full trainings"
                f" ({trials} trials, max_start {max_start})"
            )
    if splits < 0:
        raise ValueError(f"splits is {splits}; give 0 or more")

    choices = [_assignments(amount, evaluations, min(trials, max_start)) for amount in amounts]
    values = _value_all(best_so_far, choices)
    honest = _honest_values(best_so_far, amounts, max_start, splits, seed)
    full_training = expected_max(best_so_far[:, -1])
    plans = []
    for amount, assignments, value, reached in zip(amounts, choices, values, honest, strict=True):
        chosen = _best_of(value)
        start, stop_at, keep = (int(number) for number in assignments[chosen])
        plans.append(
            Plan(
                budget=float(amount),
                start=start,
                stop_at=stop_at,
                keep=keep,
                evaluations=evaluations,
                cost=_cost(start, stop_at, keep, evaluations),
                expected=float(value[chosen]),
                full_training=float(full_training[int(amount) - 1]),
                honest=reached,
            )
        )
    return plans


def rule_of_thumb(budget: float, evaluations: int = 20) -> Plan:
    """A plan without any trials to choose it from, after the trends that the paper reports.

    Continue about half as many trials as the budget would train in full, stop after 20 to 30 % of training (here as
    near 25 % as spending the budget allows), and start as many as that pays for: t far above p. The trends held on
    three of the paper's four tasks.

    Args:
        budget: in full trainings, at least 1.
        evaluations: evaluations of a full training.

    Returns:
        A plan without expected scores.

    Raises:
        ValueError: the budget is below 1 or there is no evaluation.
    """
    amount = _exact(budget)
    if amount < 1:
        raise ValueError(f"budget is {budget}; give at least 1 full training")
    if evaluations < 1:
        raise ValueError(f"evaluations is {evaluations}; give at least 1")
    quarter = Fraction(evaluations, 4)
    stops = [k for k in range(1, evaluations + 1) if Fraction(1, 5) <= Fraction(k, evaluations) <= Fraction(3, 10)]
    candidates = []
    for stop_at in stops or [max(1, round(quarter))]:
        for keep in {max(1, int(amount / 2)), max(1, -int(-amount // 2))}:
            start = int((amount * evaluations - keep * (evaluations - stop_at)) / stop_at)
            left = amount * evaluations - start * stop_at - keep * (evaluations - stop_at)
            candidates.append((left, abs(stop_at - quarter), -keep, start, stop_at, keep))
    *_, start, stop_at, keep = min(candidates)
    return Plan(float(amount), start, stop_at, keep, evaluations, _cost(start, stop_at, keep, evaluations))


def _exact(budget: float) -> Fraction:
    """The number that a budget's decimal digits mean."""
    if not np.isfinite(budget):
        raise ValueError(f"budget is {budget}; give a number of full trainings")
    return Fraction(str(budget))


def _cost(start: int, stop_at: int, keep: int, evaluations: int) -> float:
    return float(Fraction(start * stop_at + keep * (evaluations - stop_at), evaluations))


def _best_so_far(curves: np.ndarray) -> np.ndarray:
    """Running maximum of each curve, NaN before the first finite evaluation."""
    curves = np.asarray(curves, dtype=np.float64)
    if curves.ndim != 2 or curves.size == 0:
        raise ValueError(f"curves have shape {curves.shape}; give trials x evaluations, at least one of each")
    if np.isinf(curves).any():
        raise ValueError("curves hold an infinite score; scores are finite, or NaN where an evaluation has none")
    best_so_far = np.fmax.accumulate(curves, axis=1)
    without = np.count_nonzero(np.isnan(best_so_far[:, -1]))
    if without:
        raise ValueError(
            f"{without} of {len(curves)} trials have no finite evaluation; give such a trial a score, e.g. the majority"
            " class's"
        )
    return best_so_far


def _assignments(budget: Fraction, evaluations: int, max_start: int) -> np.ndarray:
    """Candidates for a budget, a row (start, stop_at, keep) each, full training first."""
    exact, nearest = [], []
    full = int(budget)
    (exact if budget == full else nearest).append((full, evaluations, full))
    for stop_at in range(1, evaluations):
        for keep in range(1, full + 1):
            start = (budget * evaluations - keep * (evaluations - stop_at)) / stop_at
            if keep < start <= max_start and start.denominator == 1:
                exact.append((int(start), stop_at, keep))
            if keep < int(start) <= max_start:
                nearest.append((int(start), stop_at, keep))
    return np.array(exact or nearest, dtype=int)


def _best_of(values: np.ndarray) -> int:
    """Index of the highest value, the first among those equal to it up to rounding."""
    return int(np.argmax(values >= values.max() - 1e-12 * np.abs(values).max()))


def _value_all(best_so_far: np.ndarray, choices: list[np.ndarray]) -> list[np.ndarray]:
    """Expected outcome of every candidate of every budget; each different assignment is computed once."""
    every, place = np.unique(np.concatenate(choices), axis=0, return_inverse=True)
    value = np.empty(len(every))
    for stop_at in np.unique(every[:, 1]):
        rows = every[:, 1] == stop_at
        value[rows] = _expected_outcomes(best_so_far, int(stop_at), every[rows][:, [0, 2]])
    ends = np.cumsum([len(assignments) for assignments in choices])[:-1]
    return np.split(value[place.ravel()], ends)


def _honest_values(
    best_so_far: np.ndarray, budgets: list[Fraction], max_start: int, splits: int, seed: int
) -> list[float | None]:
    trials, evaluations = best_so_far.shape
    half = trials // 2
    honest: list[float | None] = [None] * len(budgets)
    payable = [i for i, budget in enumerate(budgets) if budget <= min(half, max_start)]
    if not splits or not payable:
        return honest
    choices = [_assignments(budgets[i], evaluations, min(half, max_start)) for i in payable]
    generator = np.random.default_rng(seed)
    total = np.zeros(len(payable))
    for _ in range(splits):
        order = generator.permutation(trials)
        first, second = _value_all(best_so_far[order[:half]], choices), _value_all(best_so_far[order[half:]], choices)
        for column, (one, other) in enumerate(zip(first, second, strict=True)):
            total[column] += (other[_best_of(one)] + one[_best_of(other)]) / 2
    for i, value in zip(payable, total / splits, strict=True):
        honest[i] = float(value)
    return honest


def _expected_outcomes(best_so_far: np.ndarray, stop_at: int, start_keep: np.ndarray) -> np.ndarray:
    """Expected outcome for each row (start, keep).

    Trials with the same partial score are a group, ranked among themselves at random. The last of the kept lies in one
    group: then all x that were drawn of the ``above`` trials before it are kept, and y = keep - x of the at least y
    that were drawn of its ``size`` trials. Which trials these are is left to chance, so that the outcome is the best of
    x random trials of those above and of y random ones of the group; it is summed over groups and x, with the chance of
    each. The chance is that of x among ``start`` draws, times that of drawing y of the group, by then, before more than
    start - keep of the trials behind it (a negative hypergeometric distribution).
    """
    partial, final = best_so_far[:, stop_at - 1], best_so_far[:, -1]
    partial = np.where(np.isnan(partial), -np.inf, partial)
    trials = len(final)
    start, keep = start_keep.T
    most_kept, most_left = int(keep.max()), int((start - keep).max())

    # Log of n (n - 1) ... (n - k + 1), k = 0, 1, ...: more exact than differences of log-factorials of many trials.
    # Where k is above n it is far below any chance, but finite, as one is taken from another.
    most_drawn = most_kept + most_left
    logs = np.log(np.maximum(np.arange(-most_drawn, trials + 1), 1e-300))

    def log_falling(n: int, most: int) -> np.ndarray:
        return np.append(0.0, np.cumsum(logs[n + most_drawn : n + most_drawn - most : -1]))

    # A pair for each row and each x < keep, by y: those that a small group can have come first.
    row = np.repeat(np.arange(len(keep)), keep)
    x = np.arange(len(row)) - np.repeat(np.cumsum(keep) - keep, keep)
    by_y = np.argsort(keep[row] - x, kind="stable")
    row, x = row[by_y], x[by_y]
    y, left = keep[row] - x, (start - keep)[row]
    log_factorial = gammaln(np.arange(most_drawn + 1) + 1.0)
    drawn_behind = y + left  # not above the group
    log_orders = log_factorial[start[row]] - log_factorial[x] - log_factorial[drawn_behind]
    log_orders -= log_falling(trials, most_drawn)[start[row]]
    # Ways to have y - 1 of the group and any number of others before the y-th of the group.
    others = np.arange(most_left + 1)
    before = np.arange(most_kept)[:, None]
    log_mixed = log_factorial[before + others] - log_factorial[before] - log_factorial[others]

    values, level = np.unique(-final, return_inverse=True)  # level 0 is the highest score
    steps = np.diff(values)
    highest = -values[0]
    by_rank = np.argsort(-partial, kind="stable")
    level = level[by_rank]
    _, first, sizes = np.unique(-partial[by_rank], return_index=True, return_counts=True)

    expected, total = np.zeros((2, len(keep)))
    lower_above = np.zeros(len(steps))  # trials above the group with a final score below each step
    for above, size in zip(first.tolist(), sizes.tolist(), strict=True):
        members = level[above : above + size]
        lower_here = size - np.cumsum(np.bincount(members, minlength=len(values)))[:-1].astype(np.float64)
        behind = trials - above
        log_behind = log_falling(behind, most_drawn)
        few = np.searchsorted(y, size, side="right")
        log_chance = log_orders[:few] + log_falling(above, most_kept)[x[:few]] + log_behind[drawn_behind[:few]]
        pairs = np.flatnonzero(log_chance > _LOG_NEGLIGIBLE)
        if len(pairs):
            most_here = min(size, most_kept)
            log_others = log_mixed[:most_here] + log_falling(size, most_here)[1:, None]
            log_others += log_falling(behind - size, most_left)
            log_others -= log_behind[before[:most_here] + 1 + others]
            reached = np.cumsum(np.exp(log_others), axis=1)  # y - 1, others at most
            chance = np.exp(log_chance[pairs]) * reached[y[pairs] - 1, left[pairs]]
            fewest, most = int(x[pairs].min()), int(x[pairs].max())
            # P(x kept from above all lie below the step), for x = fewest ... most, then the same for y of the group.
            used = np.count_nonzero((lower_above / max(above, 1)) ** fewest > _NEGLIGIBLE)
            lower = lower_above[:used]
            drawn = np.arange(most)[:, None]
            none_above = np.empty((most - fewest + 1, used))
            none_above[0] = np.prod(np.maximum(lower - drawn[:fewest], 0) / (above - drawn[:fewest]), axis=0)
            none_above[1:] = (lower - drawn[fewest:]) / (above - drawn[fewest:])
            np.cumprod(none_above, axis=0, out=none_above)
            drawn = np.arange(int(y[pairs].max()))[:, None]
            none_here = np.cumprod((lower_here[:used] - drawn) / (size - drawn), axis=0)
            best = highest - (none_above * steps[:used]) @ none_here.T  # x - fewest, y - 1
            expected += np.bincount(row[pairs], chance * best[x[pairs] - fewest, y[pairs] - 1], len(keep))
            total += np.bincount(row[pairs], chance, len(keep))
        lower_above += lower_here
    return expected / total
