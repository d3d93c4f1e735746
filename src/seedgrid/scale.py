"""What a score is read on: its name, which of its ends is the better one, its limits, and how it is written.

A record holds scores as they were trained: an accuracy, a loss, a return. All that computes with them takes
*utilities*, of which the higher is better: ``analysis/`` as a whole, and a report's sections until they write something
down. :meth:`Scale.turned` is the one place where the sign is applied. It makes a utility of a score, and the score of a
utility again, and it stands at the gates alone:

- :class:`seedgrid.report.arrays.FinishedTrials` gives a sweep's utilities, by trial, as curves and as a grid;
- what leaves a section is turned back there: a sentence by ``FinishedTrials.short`` and ``long``, a table by
  :func:`seedgrid.report.section.in_scores`, a figure's values by ``turned``, and a comparison as soon as it is made;
- :func:`seedgrid.records.store.with_best` and the rungs of ``start_many`` take the best of recorded scores by it.

So a sweep of scores and one of their negatives, of which the lower is better, say the same with every sign and every
word such as "highest" turned round; where higher is better, nothing is changed at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from seedgrid.analysis.scores import metric_range
from seedgrid.wording import DECIMALS, number

Direction = Literal["max", "min"]
Values = TypeVar("Values")
# A range no wider than this is that of a share or a correlation, written with as many decimals whatever was found.
_NARROW = 2.0


@dataclass(frozen=True)
class Scale:
    """What a score is read on.

    Attributes:
        metric: name of the score.
        direction: ``max`` where higher is better, else ``min``.
        low, high: what a score can be at least and at most; infinite where that is open.
        decimals: with which scores are written.
    """

    metric: str
    direction: Direction = "max"
    low: float = -math.inf
    high: float = math.inf
    decimals: int = DECIMALS

    @classmethod
    def of(
        cls,
        metric: str,
        direction: Direction = "max",
        limits: tuple[float | None, float | None] | None = None,
    ) -> Scale:
        """The scale of a metric.

        Args:
            metric: its name.
            direction: which end is better.
            limits: lowest and highest value, None where it is open; None: those of the metric of this name.
        """
        low, high = metric_range(metric) if limits is None else limits
        return cls(metric, direction, -math.inf if low is None else low, math.inf if high is None else high)

    @property
    def lower_is_better(self) -> bool:
        return self.direction == "min"

    def turned(self, values: Values) -> Values:
        """Utilities of scores, or scores of utilities: numbers, arrays or series of them; None stays None."""
        if values is None or not self.lower_is_better:
            return values
        return 0.0 - values  # no -0.0

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest score."""
        return self.low, self.high

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest utility."""
        return (-self.high, -self.low) if self.lower_is_better else (self.low, self.high)

    @property
    def known_limits(self) -> tuple[float | None, float | None]:
        """Lowest and highest score, None where that is open: what a file says."""
        return tuple(limit if math.isfinite(limit) else None for limit in self.limits)

    def best(self, scores: Iterable[float]) -> float | None:
        """The best of the finite scores; None without any."""
        utilities = (self.turned(score) for score in scores if score is not None and math.isfinite(score))
        return self.turned(max(utilities, default=None))

    def fitted(self, scores: Iterable[float]) -> Scale:
        """The same, with as many decimals as tell such scores apart.

        Four digits of the better half of the scores, and two of their standard deviation, whichever is more; the worse
        half may be of any size, where trials diverged. Shares and correlations keep their four decimals.
        """
        if self.high - self.low <= _NARROW:
            return self
        utilities = self.turned(np.fromiter(scores, float))
        utilities = utilities[np.isfinite(utilities)]
        if not utilities.size:
            return self
        size = float(np.abs(utilities[utilities >= np.median(utilities)]).max())
        # Of two scores both, and never less than half.
        spread = float(utilities[utilities >= np.quantile(utilities, 0.5, method="lower")].std())
        decimals = [DECIMALS - math.ceil(math.log10(size))] if size > 0 else [DECIMALS]
        if spread > 1e-9 * size:
            decimals.append(1 - math.floor(math.log10(spread)))
        return replace(self, decimals=max(0, *decimals))

    def written(self, score: float, fewer: int = 0) -> str:
        """A score, or a difference between two, as text, with so many decimals fewer."""
        return number(score, max(0, self.decimals - fewer))

    def signed(self, difference: float) -> str:
        """A difference between scores, as text with its sign."""
        return f"{'-' if difference < 0 else '+'}{self.written(abs(difference))}"

    @property
    def better_word(self) -> str:
        return "lower" if self.lower_is_better else "higher"

    @property
    def best_word(self) -> str:
        return "lowest" if self.lower_is_better else "highest"

    @property
    def worst_word(self) -> str:
        return "highest" if self.lower_is_better else "lowest"

    @property
    def plugin_word(self) -> str:
        """The side to which an estimate errs that promises too little."""
        return "high" if self.lower_is_better else "low"

    @property
    def diverged_word(self) -> str:
        """Where a best found that counts as diverged lies to the threshold."""
        return "at or above" if self.lower_is_better else "at or below"


def shared_word(scales: Iterable[Scale], word: str, otherwise: str) -> str:
    """A word of several scales, such as ``best_word``, or what is said where they differ in it."""
    words = {getattr(scale, word) for scale in scales}
    return words.pop() if len(words) == 1 else otherwise
