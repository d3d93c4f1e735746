"""A sweep's finished trials as the arrays that ``seedgrid.analysis`` takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from seedgrid.analysis.comparison import LabelledGrid
from seedgrid.analysis.scores import metric_range
from seedgrid.errors import InputError
from seedgrid.records.store import FINISHED, Sweep
from seedgrid.wording import count, listed

SEEDS = ["init", "order", "dropout"]
# Beyond it, trials without a common design would fill memory with empty cells.
_MOST_CELLS = 10_000_000


@dataclass(frozen=True, eq=False)
class FinishedTrials:
    """The finished trials of a sweep, in the order of their seeds.

    Attributes:
        sweep: where they come from.
        trials: a row per finished trial, as ``Sweep.trials``, and ``score``: best found; for a trial whose loss was no
            number before its first evaluation, the divergence threshold, or without one the lowest score of the sweep.
        curves: (trials, evaluations), score at each evaluation after step 0; NaN where a trial has none.
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
    def scores(self) -> np.ndarray:
        """(trials,), the best found score."""
        return self.trials["score"].to_numpy(float)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that a score can have; infinite for a metric that is not known."""
        return metric_range(self.sweep.metric)

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
        of = " of ".join(
            filter(None, (count(len(trials), "finished trial"), sweep.config.get("model", {}).get("name")))
        )
        parts = [f"{self.name}: {of}{f' on {sweep.task}' if sweep.task else ''} ({sweep.metric})"]
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

        It is no maximum over evaluations. Where a trial has none there, its loss was no number: the lowest best found.
        """
        last = self.curves[:, -1]
        return replace(self, trials=self.trials.assign(score=np.where(np.isnan(last), self.scores.min(), last)))

    @property
    def even_curves(self) -> np.ndarray:
        """(trials, evaluations): the curves at even distances, for what counts an evaluation as a share of training.

        The same as ``curves`` unless trials were validated more densely at times, as the paper's in their first epoch:
        then the best score since the last multiple of 1 / ``per_epoch`` of an epoch.
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
        """Scores by their seeds; without seeds, one row a trial.

        Raises:
            InputError: the seeds span far more pairs than there are trials of.
        """
        if not self.sweep.seeded:
            return LabelledGrid(self.scores[:, None], tuple(range(len(self.trials))), (0,))
        varied = SEEDS if self.trials["dropout"].nunique() > 1 else SEEDS[:2]
        places = [np.unique(self.trials[name], return_inverse=True) for name in varied]
        shape = tuple(len(seeds) for seeds, _ in places)
        if np.prod(shape, dtype=float) > _MOST_CELLS:
            raise InputError(
                f"{self.sweep.folder}: {len(self.trials)} trials over {' x '.join(map(str, shape))} seeds;"
                f" at most {_MOST_CELLS:,} pairs can be laid out"
            )
        scores = np.full(shape, np.nan)
        scores[tuple(place for _, place in places)] = self.scores
        return LabelledGrid(scores, *(tuple(seeds.tolist()) for seeds, _ in places))


def check_whole(study: FinishedTrials, key: str) -> None:
    """Raise InputError if trials of the sweep that ``key`` names were stopped for their scores."""
    if study.selected:
        stopped = int((study.sweep.trials["status"] == "stopped").sum())
        raise InputError(
            f"{key}={study.sweep.folder}: {count(stopped)} stopped early for low scores, so the finished ones are no"
            " random sample; give a sweep whose trials all ran in full"
        )


def _why_none(sweep: Sweep) -> str:
    """What became of a sweep's trials where none has a score, and what to do about it."""
    if sweep.trials.empty:
        return "it holds no trials; name a sweep's folder"
    counts = sweep.trials["status"].value_counts()
    if len(sweep.trials) == counts.get("nonfinite", -1):
        rate = sweep.config.get("recipe", {}).get("learning_rate")
        was = "" if rate is None else f" (it was {rate:g})"
        return (
            f"the losses of all {len(sweep.trials)} were no numbers before a validation; lower"
            f" recipe.learning_rate{was}, in another sweep=FOLDER"
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
    lowest = trials["best_found"].min()
    worst = lowest if sweep.diverged_at is None else min(sweep.diverged_at, lowest)
    trials = trials.assign(score=trials["best_found"].fillna(worst))

    after_start = sweep.evaluations[sweep.evaluations["step"] > 0]
    steps, column = np.unique(after_start["step"], return_inverse=True)
    row = pd.MultiIndex.from_frame(trials[SEEDS]).get_indexer(pd.MultiIndex.from_frame(after_start[SEEDS]))
    of_finished = row >= 0
    curves = np.full((len(trials), len(steps)), np.nan)
    curves[row[of_finished], column[of_finished]] = after_start["score"].to_numpy(float)[of_finished]
    taken = np.isfinite(curves).any(axis=0)
    # Without any evaluation there is nothing to draw; the score above stands for the whole trial.
    never = ~np.isfinite(curves[:, taken]).any(axis=1)
    curves = curves[:, taken]
    curves[never] = trials.loc[never, "score"].to_numpy()[:, None]
    epoch = np.full(len(steps), np.nan)
    epoch[column] = after_start["epoch"].to_numpy(float)
    return FinishedTrials(sweep, trials, curves, epoch[taken])
