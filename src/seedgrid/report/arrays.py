"""A sweep's finished trials as the arrays that ``seedgrid.analysis`` takes: of utilities, whose higher is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from seedgrid.analysis.comparison import LabelledGrid
from seedgrid.errors import InputError
from seedgrid.records.store import FINISHED, Sweep
from seedgrid.scale import Scale
from seedgrid.wording import count, listed

SEEDS = ["init", "order", "dropout"]
# Beyond it, trials without a common design would fill memory with empty cells.
_MOST_CELLS = 10_000_000


@dataclass(frozen=True, eq=False)
class FinishedTrials:
    """The finished trials of a sweep, in the order of their seeds.

    Scores are in ``sweep``, ``trials`` and ``scores``; all else here is utilities, to compute with (see
    :mod:`seedgrid.scale`), and ``short``, ``long`` and ``scale`` make scores of those again.

    Attributes:
        sweep: where they come from.
        trials: a row per finished trial, as ``Sweep.trials``, and ``score``: best found; for a trial whose loss was no
            number before its first evaluation, the divergence threshold, or without one the worst score of the sweep.
        curves: (trials, evaluations), utility at each evaluation after step 0; NaN where a trial has none.
        epochs: (evaluations,), the fraction of an epoch at which they took place; NaN if not known.
    """

    sweep: Sweep
    trials: pd.DataFrame
    curves: np.ndarray
    epochs: np.ndarray

    @property
    def name(self) -> str:
        return self.sweep.name

    @property
    def own(self) -> bool:
        """Whether it is a training of the user's own, which has neither task nor model nor recipe."""
        return bool(self.sweep.config.get("training", {}).get("module"))

    @property
    def scale(self) -> Scale:
        """On what its scores are read."""
        return self.sweep.scale

    @property
    def scores(self) -> np.ndarray:
        """(trials,), the best found score."""
        return self.trials["score"].to_numpy(float)

    @property
    def utilities(self) -> np.ndarray:
        """(trials,), of the best found scores."""
        return self.scale.turned(self.scores)

    @property
    def threshold(self) -> float | None:
        """The utility at or below which a trial counts as diverged; None: not known."""
        return self.scale.turned(self.sweep.diverged_at)

    @property
    def best_possible(self) -> float | None:
        """The highest utility there can be; None: not known, or no limit.

        Where no limit is known, scores of which the best lies between 0 and 1 are taken for shares, or errors, of 1.
        """
        highest, found = self.scale.bounds[1], self.utilities.max()
        if np.isfinite(self.scale.limits).any():
            return highest if found <= highest < np.inf else None
        best = self.scale.turned(found)
        if self.scale.lower_is_better:
            return 0.0 if 0 <= best < 1 else None
        return 1.0 if 0 < best <= 1 else None

    def short(self, utility: float) -> str:
        """The score of a utility, as text, with three decimals where a score's size does not ask for others."""
        return self.scale.written(self.scale.turned(utility), fewer=1)

    def long(self, utility: float) -> str:
        """The same with one decimal more."""
        return self.scale.written(self.scale.turned(utility))

    def limits(self, lower: float, upper: float) -> tuple[float, float]:
        """Limits of a score, the lower one first, of those of its utility."""
        low, high = self.scale.turned(lower), self.scale.turned(upper)
        return (high, low) if self.scale.lower_is_better else (low, high)

    def short_limits(self, lower: float, upper: float) -> str:
        """The same as text, such as "0.712 to 0.934"."""
        low, high = self.limits(lower, upper)
        return f"{self.scale.written(low, fewer=1)} to {self.scale.written(high, fewer=1)}"

    @property
    def unfinished(self) -> int:
        """Trials that are recorded and not finished."""
        return len(self.sweep.trials) - len(self.trials)

    @property
    def selected(self) -> bool:
        """Whether some trials were stopped for their scores, so that the finished ones are no random sample."""
        return bool((self.sweep.trials["status"] == "stopped").any())

    @property
    def description(self) -> str:
        """One line: what the sweep is of, its seeds, how many trials count, and what became of the others."""
        sweep, trials = self.sweep, self.trials
        of = " of ".join(filter(None, (count(len(trials), "finished trial"), model_in_words(sweep.config))))
        lower = ", lower is better" if self.scale.lower_is_better else ""
        parts = [f"{self.name}: {of}{f' on {sweep.task}' if sweep.task else ''} ({sweep.metric}{lower})"]
        if sweep.seeded:
            seeds = f"{trials['init'].nunique()} init and {count(trials['order'].nunique(), 'order seed')}"
            if trials["dropout"].nunique() > 1:
                seeds += f", {trials['dropout'].nunique()} dropout seeds"
            parts.append(seeds)
        counts = sweep.trials["status"].value_counts()
        for status in ("running", "interrupted", "stopped", "failed"):
            if counts.get(status):
                said = "stopped early" if status == "stopped" else status
                parts.append(f"{counts[status]} more {said}, not counted")
        return "; ".join(filter(None, [*parts, sweep.read_as]))

    @property
    def versions_warning(self) -> str:
        """A sentence where trials ran with different versions of a package; else empty."""
        mixed = [f"{name} ({versions})" for name, versions in self.sweep.mixed_versions.items()]
        if not mixed:
            return ""
        return (
            f"The trials of {self.name} ran with different versions of {listed(mixed)}; numbers may differ for that"
            " reason alone."
        )

    @property
    def crossed(self) -> bool:
        """Whether some init seed and some order seed occur in several trials."""
        repeats = self.trials["init"].duplicated().any() and self.trials["order"].duplicated().any()
        return self.sweep.seeded and bool(repeats)

    @property
    def at_the_end(self) -> FinishedTrials:
        """The same trials, with the score of the last evaluation in place of the best found.

        It is no best of evaluations. Where a trial has none there, its loss was no number: the worst best found.
        """
        last = self.curves[:, -1]
        last = np.where(np.isnan(last), self.utilities.min(), last)
        return replace(self, trials=self.trials.assign(score=self.scale.turned(last)))

    @property
    def even_curves(self) -> np.ndarray:
        """(trials, evaluations): the curves at even distances, for what counts an evaluation as a share of training.

        The same as ``curves`` unless trials were validated more densely at times, as the paper's in their first epoch:
        then the best since the last multiple of 1 / ``per_epoch`` of an epoch.
        """
        even = np.full((len(self.curves), self._slots.max() + 1), np.nan)
        for column, scores in zip(self._slots, self.curves.T, strict=True):
            even[:, column] = np.fmax(even[:, column], scores)
        return even

    @property
    def even_epochs(self) -> np.ndarray:
        """(evaluations,), the fraction of an epoch of each column of ``even_curves``; NaN if not known."""
        even = np.full(self._slots.max() + 1, np.nan)
        even[self._slots] = self.epochs  # of several the last
        return even

    @cached_property
    def _slots(self) -> np.ndarray:
        """(evaluations,), the column of ``even_curves`` that each counts for."""
        per_epoch = self.sweep.config.get("evaluation", {}).get("per_epoch")
        if per_epoch is not None and not np.isnan(self.epochs).any():
            position = self.epochs * per_epoch
            if len(np.unique(position.round())) < len(position):
                multiples = np.arange(1, position[-1].round() + 1)
                # Steps are whole: a multiple's evaluation is the nearest, before or after it.
                nearest = np.unique(np.abs(position - multiples[:, None]).argmin(axis=1))
                return np.searchsorted(nearest, np.arange(len(position)))
        return np.arange(len(self.epochs))

    @cached_property
    def grid(self) -> LabelledGrid:
        """Utilities by their seeds; without seeds, one row a trial.

        Raises:
            InputError: the seeds span far more pairs than there are trials of.
        """
        return self.laid_out(self.utilities)

    def laid_out(self, values: np.ndarray) -> LabelledGrid:
        """Values of the trials by their seeds, as ``grid``."""
        if not self.sweep.seeded:
            return LabelledGrid(values[:, None], tuple(range(len(self.trials))), (0,))
        varied = SEEDS if self.trials["dropout"].nunique() > 1 else SEEDS[:2]
        places = [np.unique(self.trials[name], return_inverse=True) for name in varied]
        shape = tuple(len(seeds) for seeds, _ in places)
        if np.prod(shape, dtype=float) > _MOST_CELLS:
            raise InputError(
                f"{self.sweep.folder}: {len(self.trials)} trials over {' x '.join(map(str, shape))} seeds;"
                f" at most {_MOST_CELLS:,} pairs can be laid out"
            )
        cells = np.full(shape, np.nan)
        cells[tuple(place for _, place in places)] = values
        return LabelledGrid(cells, *(tuple(seeds.tolist()) for seeds, _ in places))


def model_in_words(config: Mapping[str, Any]) -> str | None:
    """Name of the model that a configuration has trained; of a training of one's own, the class of its module."""
    module = config.get("training", {}).get("module", {})
    return config.get("model", {}).get("name") or module.get("_target_")


def check_whole(study: FinishedTrials, key: str) -> None:
    """Raise InputError if trials of the sweep that ``key`` names were stopped for their scores."""
    if study.selected:
        stopped = int((study.sweep.trials["status"] == "stopped").sum())
        worse = "high" if study.scale.lower_is_better else "low"
        raise InputError(
            f"{key}={study.sweep.folder}: {count(stopped)} stopped early for {worse} scores, so the finished ones are"
            " no random sample; give a sweep whose trials all ran in full"
        )


def _why_none(sweep: Sweep) -> str:
    """What became of a sweep's trials where none has a score, and what to do about it."""
    if sweep.trials.empty:
        return "it holds no trials; name a sweep's folder"
    counts = sweep.trials["status"].value_counts()
    if len(sweep.trials) == counts.get("nonfinite", -1):
        rate = sweep.config.get("recipe", {}).get("learning_rate")
        was = "" if rate is None else f" (it was {rate:g})"
        key = "its learning rate" if sweep.config.get("training", {}).get("module") else "recipe.learning_rate"
        return (
            f"the losses of all {len(sweep.trials)} were no numbers before a validation; lower {key}{was}, in another"
            " sweep=FOLDER"
        )
    if len(sweep.trials) == counts.get("failed", -1):
        return f"all {len(sweep.trials)} failed, the first with {sweep.trials['error'].iloc[0]}"
    return "let the sweep run first"


def finished_trials(sweep: Sweep) -> FinishedTrials:
    """The finished trials of a sweep that may still run.

    Raises:
        InputError: none has finished with a score.
    """
    trials = sweep.trials[sweep.trials["status"].isin(FINISHED)].sort_values(SEEDS, ignore_index=True)
    if not trials["best_found"].notna().any():
        raise InputError(f"{sweep.folder}: no finished trial with a score; {_why_none(sweep)}")
    turned = sweep.scale.turned
    lowest = turned(trials["best_found"]).min()
    worst = lowest if sweep.diverged_at is None else min(turned(sweep.diverged_at), lowest)
    trials = trials.assign(score=trials["best_found"].fillna(turned(worst)))

    after_start = sweep.evaluations[sweep.evaluations["step"] > 0]
    steps, column = np.unique(after_start["step"], return_inverse=True)
    row = pd.MultiIndex.from_frame(trials[SEEDS]).get_indexer(pd.MultiIndex.from_frame(after_start[SEEDS]))
    of_finished = row >= 0
    curves = np.full((len(trials), len(steps)), np.nan)
    curves[row[of_finished], column[of_finished]] = turned(after_start["score"].to_numpy(float))[of_finished]
    curves[~np.isfinite(curves)] = np.nan
    taken = np.isfinite(curves).any(axis=0)
    # Without any evaluation there is nothing to draw; the score above stands for the whole trial.
    never = ~np.isfinite(curves[:, taken]).any(axis=1)
    curves = curves[:, taken]
    curves[never] = turned(trials.loc[never, "score"].to_numpy())[:, None]
    epoch = np.full(len(steps), np.nan)
    epoch[column] = after_start["epoch"].to_numpy(float)
    return FinishedTrials(sweep, trials, curves, epoch[taken])
