"""How much of the gain from picking a trial is real, and how much is the winner's curse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from seedgrid.analysis.expected import expected_max, expected_of_best_ranked
from seedgrid.analysis.scores import MISSING, ClassCounts, metric_range, predicted_classes, score, score_of_counts

_ROWS = 4096  # sets of predictions counted at a time


@dataclass(frozen=True)
class HonestBest:
    """The best of n trials as it looks, and as it is on examples that the choice did not see.

    Attributes:
        naive: length N; element n-1 is the expected best score of n trials where trial and evaluation are chosen and
            read on the same examples: what is usually reported.
        honest: length N; the same choice made on one half of the examples and read on the other. The first element is a
            trial taken unseen, its evaluation chosen; the last the best of all trials.
        honest_interval: limits of the last element of ``honest`` for other validation examples, these trials given.
        gain: what choosing among all N trials adds to a trial taken unseen: ``honest[-1] - honest[0]``.
        gain_interval: limits of ``gain``, likewise.
        naive_gain: what it seems to add: ``naive[-1] - naive[0]``.
    """

    naive: np.ndarray
    honest: np.ndarray
    honest_interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    naive_gain: float

    @property
    def real_share(self) -> float:
        """``gain / naive_gain``; NaN if nothing seems gained, as with one trial. Below 0 if choosing did harm."""
        return self.gain / self.naive_gain if self.naive_gain > 0 else float("nan")


def honest_best(
    outputs: np.ndarray,
    labels: np.ndarray,
    metric: str | Callable[[np.ndarray, np.ndarray], np.ndarray],
    splits: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> HonestBest:
    """Choose trial and evaluation on a random half of the validation examples and read the score on the other half.

    Averaged over many halvings, each used both ways round; trials or evaluations that tie on the choosing half count by
    their mean on the other, so their order does not matter. For fewer than all trials the average goes over all
    subsets, in closed form.

    The choice rests on half as many examples as a real one, so the honest score is a little low for trials that truly
    differ, and right where they do not.

    The intervals use the corrected resampled t of Nadeau and Bengio (2003): readings of overlapping halves are alike,
    and the variance of their mean is taken as (1/J + 1) times the variance over the J readings, which is the sampling
    variance of a fixed trial's score. In 200 simulations each of 2 to 100 trials that share the difficulty of 300 or
    1,000 examples, nominal 95 % intervals held the true score, and the true gain, of the trials chosen on halves 95 to
    100 % of the time. Limits are cut to what a named metric can be.

    Args:
        outputs: float logits, trials x evaluations x examples x classes, or integer predictions, trials x evaluations x
            examples. The evaluation before training belongs no more to them than to curves. An evaluation with a logit
            that is not finite, or with a prediction of -1, did not take place and is never chosen.
        labels: examples, integer classes from 0.
        metric: a name as ``scores.score`` takes, or a function from predictions (... x examples) and labels (examples)
            to scores (...); names are counted for all halves at once and are much faster.
        splits: random halvings.
        level: nominal coverage of the intervals.
        seed: draws the halvings.

    Returns:
        Naive and honest scores for 1 to N trials. With one trial or equal ones the gains are 0.

    Raises:
        ValueError: shapes do not fit; there are fewer than 4 examples; ``splits`` is below 2; ``level`` is not between
            0 and 1; a trial has no evaluation; the metric is unknown or does not fit the classes.
    """
    labels = np.asarray(labels)
    predictions = predicted_classes(outputs)
    if predictions.ndim != 3 or predictions.size == 0 or predictions.shape[2:] != labels.shape:
        raise ValueError(
            f"outputs have shape {np.shape(outputs)} and labels {labels.shape}; give trials x evaluations x examples"
            " (x classes for logits) and examples"
        )
    if len(labels) < 4:
        raise ValueError(f"{len(labels)} validation examples are too few to halve; give at least 4")
    if splits < 2:
        raise ValueError(f"splits is {splits}; give at least 2")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    missing = predictions[:, :, 0] == MISSING
    without = np.count_nonzero(missing.all(axis=1))
    if without:
        raise ValueError(
            f"{without} of {len(predictions)} trials have no evaluation with finite logits; leave them out"
        )

    first_half = _random_halves(len(labels), splits, seed)
    trials, evaluations, _ = predictions.shape
    best_found = np.empty(trials)
    chosen_on, read_on = np.empty((2, trials, 2 * splits))
    at_a_time = max(1, _ROWS // evaluations)
    for start in range(0, trials, at_a_time):
        block = slice(start, start + at_a_time)
        gone = missing[block, :, None]
        present = np.where(gone, 0, predictions[block])
        first, second, whole = _scores_on_halves(present, labels, metric, first_half)
        best_found[block] = np.where(gone[..., 0], -np.inf, whole).max(axis=1)
        # Both ways round: chosen on the first half and read on the second, and the reverse.
        choosing = np.where(gone, -np.inf, np.concatenate([first, second], axis=2))
        reading = np.concatenate([second, first], axis=2)
        chosen_on[block] = choosing.max(axis=1)
        best = choosing == chosen_on[block][:, None]
        read_on[block] = (reading * best).sum(axis=1) / best.sum(axis=1)

    naive = expected_max(best_found)
    by_rank = _read_by_rank(chosen_on, read_on)
    honest = expected_of_best_ranked(by_rank.mean(axis=1))
    gains = by_rank[0] - read_on.mean(axis=0)
    low, high = metric_range(metric) if isinstance(metric, str) else (-np.inf, np.inf)
    return HonestBest(
        naive=naive,
        honest=honest,
        honest_interval=_corrected_interval(by_rank[0], level, (low, high)),
        gain=float(honest[-1] - honest[0]),
        gain_interval=_corrected_interval(gains, level, (low - high, high - low)),
        naive_gain=float(naive[-1] - naive[0]),
    )


def _random_halves(examples: int, splits: int, seed: int) -> np.ndarray:
    """examples x splits, true in the first half, which is the smaller where the number is odd."""
    generator = np.random.default_rng(seed)
    return np.argsort(generator.random((examples, splits)), axis=0) < examples // 2


def _scores_on_halves(
    predictions: np.ndarray,
    labels: np.ndarray,
    metric: str | Callable[[np.ndarray, np.ndarray], np.ndarray],
    first_half: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores on first and on second halves (trials x evaluations x splits), and on all (trials x evaluations)."""
    if callable(metric):
        halves = first_half.T
        first = np.stack([metric(predictions[..., half], labels[half]) for half in halves], axis=-1)
        second = np.stack([metric(predictions[..., ~half], labels[~half]) for half in halves], axis=-1)
        return first, second, metric(predictions, labels)
    whole = score(predictions, labels, metric)
    weight = np.concatenate([first_half, ~first_half], axis=1).astype(np.float32)  # exact up to 2^24 examples
    rows = predictions.reshape(-1, len(labels))
    if metric == "accuracy":  # the same without telling the classes apart, in a third of the time
        scores = ((rows == labels).astype(np.float32) @ weight).astype(float) / weight.sum(axis=0).astype(float)
    else:
        scores = score_of_counts(_counts_on_halves(rows, labels, weight), metric)
    first, second = np.split(scores.reshape(*predictions.shape[:2], -1), 2, axis=-1)
    return first, second, whole


def _counts_on_halves(rows: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> ClassCounts:
    """Counts of each row's examples by class, in each of the sets that the columns of ``weight`` stand for."""
    classes = max(2, int(rows.max()) + 1, int(labels.max()) + 1)
    right = np.stack([(rows[:, labels == c] == c).astype(np.float32) @ weight[labels == c] for c in range(classes)], -1)
    predicted = np.stack([(rows == c).astype(np.float32) @ weight for c in range(classes)], axis=-1)
    true = np.stack([weight[labels == c].sum(axis=0) for c in range(classes)], axis=-1)
    return ClassCounts(right.astype(float), predicted.astype(float), true.astype(float))


def _read_by_rank(chosen_on: np.ndarray, read_on: np.ndarray) -> np.ndarray:
    """Ranks x readings: what the trial of each rank scores on the other half, tied trials by their mean."""
    by_rank = np.empty_like(read_on)
    for column in range(chosen_on.shape[1]):
        _, place, tied = np.unique(-chosen_on[:, column], return_inverse=True, return_counts=True)
        by_rank[:, column] = np.repeat(np.bincount(place, weights=read_on[:, column]) / tied, tied)
    return by_rank


def _corrected_interval(readings: np.ndarray, level: float, bounds: tuple[float, float]) -> tuple[float, float]:
    half_width = stats.t.ppf((1 + level) / 2, len(readings) - 1) * np.sqrt(
        (1 / len(readings) + 1) * readings.var(ddof=1)
    )
    lower, upper = np.clip((readings.mean() - half_width, readings.mean() + half_width), *bounds)
    return float(lower), float(upper)
