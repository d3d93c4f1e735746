"""The predictions of a sweep's finished trials, read trial by trial from disk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from zipfile import BadZipFile

import numpy as np

from seedgrid.analysis.scores import METRICS, MISSING, predicted_classes
from seedgrid.errors import InputError
from seedgrid.records.store import trial_name
from seedgrid.report.arrays import FinishedTrials
from seedgrid.seeds import Seeds

# Numbers of one sweep that are held at once: 2 GB at most, where they are logits.
_MOST_HELD = 500_000_000


def is_recomputed(study: FinishedTrials) -> bool:
    """Whether its score is one that follows from predictions."""
    return study.sweep.metric in METRICS and not study.scale.lower_is_better


def check_recomputed(study: FinishedTrials) -> None:
    """Raise ValueError unless its trials have predictions, and its score is one that follows from them."""
    if study.sweep.has_predictions and not is_recomputed(study):
        raise ValueError(
            f"{study.sweep.metric} is no score that follows from predictions, so it cannot be had on half of them"
        )


def read_classes(study: FinishedTrials) -> tuple[np.ndarray, np.ndarray]:
    """Predicted classes of all evaluations after step 0.

    Returns:
        trials x evaluations x examples, integers, -1 for an evaluation that a trial does not have; and the labels.
        Trials without any such evaluation, for their loss was no number before it, are left out.

    Raises:
        InputError: there are no predictions, a file of them is missing or damaged, or there are too many to hold.
    """
    classes, _, labels = _read_all(study)
    return _held(classes), labels


def read_best_logits(study: FinishedTrials) -> tuple[np.ndarray, np.ndarray]:
    """Logits of each trial's best evaluation after step 0, the first of equals.

    Returns:
        trials x examples x classes, float32; and the labels. Trials as in :func:`read_classes`.

    Raises:
        InputError: as :func:`read_classes`.
    """
    _, best, labels = _read_all(study)
    return _held(best), labels


@lru_cache(maxsize=1)  # two sections of a report, one pass over the files
def _read_all(study: FinishedTrials) -> tuple[np.ndarray | InputError, np.ndarray | InputError, np.ndarray]:
    """What the functions above return, or why it is not held; and the labels."""
    evaluations = study.sweep.evaluations
    steps = np.unique(evaluations.loc[evaluations["step"] > 0, "step"])
    rows = study.trials["best_step"].notna().to_numpy()
    best_steps = study.trials["best_step"].to_numpy()[rows]
    classes = best = None
    labels = np.empty(0)
    for row, (recorded, logits, labels) in enumerate(_read(study, rows)):
        if classes is None:
            kind = np.int8 if logits.shape[2] <= np.iinfo(np.int8).max else np.int16
            classes = _room((len(best_steps), len(steps), len(labels)), MISSING, kind)
            best = _room((len(best_steps), *logits.shape[1:]), 0, np.float32)
        if isinstance(classes, np.ndarray):
            after_start = recorded > 0
            classes[row, np.searchsorted(steps, recorded[after_start])] = predicted_classes(logits[after_start])
        if isinstance(best, np.ndarray):
            best[row] = logits[np.flatnonzero(recorded == best_steps[row])[0]]
    return classes, best, labels


def _read(study: FinishedTrials, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Steps, logits and labels of the trials of these rows."""
    if not study.sweep.has_predictions:
        raise InputError("its trials have no predictions beside them")
    if not rows.any():
        raise InputError("no trial has an evaluation after step 0")
    for trial in study.trials.loc[rows, ["init", "order", "dropout"]].itertuples(index=False):
        seeds = Seeds(init=int(trial.init), order=int(trial.order), dropout=int(trial.dropout))
        try:
            found = study.sweep.predictions(seeds)
            steps, logits, labels = found["steps"], found["logits"], found["labels"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            path = study.sweep.folder / trial_name(seeds) / "predictions.npz"
            reason = "missing" if isinstance(error, FileNotFoundError) else "damaged"
            raise InputError(f"{path}: {reason}; redo=true runs the trial again") from None
        yield steps, logits, labels


def _room(shape: tuple[int, ...], fill: int, kind: type) -> np.ndarray | InputError:
    if np.prod(shape, dtype=float) > _MOST_HELD:
        sizes = " x ".join(f"{size:,}" for size in shape)
        return InputError(f"{sizes} predictions are too many to hold; at most {_MOST_HELD:,} are")
    return np.full(shape, fill, kind)


def _held(predictions: np.ndarray | InputError) -> np.ndarray:
    if isinstance(predictions, InputError):
        raise predictions
    return predictions
