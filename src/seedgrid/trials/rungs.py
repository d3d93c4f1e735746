"""Rungs: where the trials of a sweep stop, and which of them go on.

The sweeper ``start_many`` plans and decides, and keeps both in ``<sweep>/start_many.json``. A trial that reaches a rung
reads there whether its checkpoint can still be needed. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from seedgrid.errors import InputError
from seedgrid.files import write_json
from seedgrid.records.store import FINISHED, read_trial, scale_of, trial_lock
from seedgrid.scale import Scale
from seedgrid.trials import checkpoint

FILE = "start_many.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rung(_Part):
    """Where trials are compared.

    Attributes:
        at: fraction of training that was asked for.
        step: the first evaluation at or after it.
        keep: how many trials go on.
    """

    at: float
    step: int
    keep: int


class Decision(_Part):
    """What happened at a rung.

    Attributes:
        step: the rung's.
        scores: of each trial that came to it, by name: best so far; None if it ended before, by ``ended``.
        ended: status of those that ended before the rung: ``nonfinite`` or ``failed``.
        kept: names of those that go on, the best first.
        cost: of the way from the rung before, in full trainings.
        found: the part of it that earlier commands had trained.
    """

    step: int
    scores: dict[str, float | None]
    ended: dict[str, str]
    kept: tuple[str, ...]
    cost: float
    found: float


class Outcome(_Part):
    """What came out at the end.

    Attributes:
        best_found: best score of all that the plan trained; None without any.
        trial: its name.
        cost: in full trainings.
        found: the part of it that earlier commands had trained.
    """

    best_found: float | None
    trial: str | None
    cost: float
    found: float


class Expected(_Part):
    """What full trainings were expected to reach, by an earlier sweep of them.

    Attributes:
        by: its folder.
        trials: how many finished there.
        best_of: expected best of 1, 2, ... of them, as far as the plan's cost.
    """

    by: str
    trials: int
    best_of: tuple[float, ...]


class StartMany(_Part):
    """What ``<sweep>/start_many.json`` holds: a plan, and what was decided so far.

    Attributes:
        version: of the file.
        fingerprint: of the sweep's configuration.
        asked: the sweeper's options, as they were given.
        steps: of a full training.
        resume_by: whether stopped trials keep a checkpoint or are trained again.
        rungs: ascending.
        trials: names of those that are started, in the order in which they were drawn; equal scores go to the earlier.
        extended: names of those that the first rung's scores made promising, and that are started then.
        found: steps that were recorded when a trial was planned, of those that had any of use.
        restarts: of these, names of those without a checkpoint: beyond that step they are trained from the start.
        expected: None without an earlier sweep.
        decisions: one a rung, as far as they are made.
        outcome: None until all is done.
    """

    version: Literal[1] = 1
    fingerprint: str
    asked: dict[str, Any]
    steps: int
    resume_by: Literal["checkpoint", "retrain"]
    rungs: tuple[Rung, ...]
    trials: tuple[str, ...]
    extended: tuple[str, ...] = ()
    found: dict[str, int]
    restarts: tuple[str, ...] = ()
    expected: Expected | None = None
    decisions: tuple[Decision, ...] = ()
    outcome: Outcome | None = None

    def entrants(self, rung: int) -> tuple[str, ...]:
        """Names of the trials that run to a rung; to the end, for the number after the last rung's."""
        return (*self.trials, *self.extended) if rung == 0 else self.decisions[rung - 1].kept

    def write(self, sweep: Path) -> None:
        write_json(sweep / FILE, self.model_dump(mode="json"))


def read_start_many(sweep: Path) -> StartMany | None:
    """The plan in a sweep's folder, None without one.

    Raises:
        InputError: the file is damaged.
    """
    path = sweep / FILE
    try:
        return StartMany.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path}: damaged ({type(error).__name__}); move it away to plan anew, the trials' records are used"
        ) from None


def rank(scores: np.ndarray, scale: Scale) -> np.ndarray:
    """Positions of the trials that have a score, the most promising first; equal scores in the order given.

    Args:
        scores: (trials,), best score so far; NaN for a trial that has not come to the rung or has dropped out.
        scale: of the scores.
    """
    order = np.argsort(-scale.turned(scores), kind="stable")  # NaN last
    return order[np.isfinite(scores[order])]


def scale_of_trials(sweep: Path, names: Iterable[str]) -> Scale:
    """On what the scores of trials are read, by the first of their records that says."""
    for name in names:
        with suppress(InputError, KeyError, TypeError):
            return scale_of(read_trial(sweep / name))
    return Scale("")


def score_at(trial: Path, step: int) -> float | None:
    """Best score of a trial's evaluations after the start up to ``step``; None before it gets there.

    NaN if its loss was no number before, or no score was one. A running trial never is there: what it has recorded may
    be written again.

    Raises:
        InputError: the record is damaged.
    """
    if not (trial / "trial.json").exists():
        return None
    recorded = read_trial(trial)
    status = recorded["status"]
    if status not in ("stopped", *FINISHED):
        return None
    try:
        table = pq.read_table(trial / "evaluations.parquet", columns=["step", "score"])
    except (OSError, pa.ArrowException):
        raise InputError(f"{trial / 'evaluations.parquet'}: damaged; redo=true runs the trial again") from None
    steps, scores = table["step"].to_numpy(), table["score"].to_numpy()
    if steps.max(initial=0) >= step:
        best = scale_of(recorded).best(scores[(steps > 0) & (steps <= step)].tolist())
        return math.nan if best is None else best
    return math.nan if status == "nonfinite" else None


@contextmanager
def leaving_at_rung(trial: Path, step: int, score: float) -> Iterator[bool]:
    """End a trial's work at a rung: its checkpoint is kept only while it is among the best of those that came so far.

    So are the others'. While a rung runs, there are no more checkpoints than it keeps trials and workers run.

    Args:
        trial: its folder; this process holds its lock.
        step: the rung's.
        score: the trial's best so far.

    Yields:
        Whether the trial's checkpoint is kept. Within, it is to be there if so; then the record, with status
        ``stopped``, is to be written.
    """
    sweep = trial.parent
    with FileLock(sweep / ".cache" / "locks" / "rung.lock"):
        plan, rung = _locate(sweep, step)
        continued = _continued(plan, rung, sweep, {trial.name: score})
        yield trial.name in continued
        if trial.name not in continued:
            checkpoint.remove(trial)
        _give_up(plan, rung, sweep, continued | {trial.name})


def give_up_checkpoints(plan: StartMany, rung: int, sweep: Path) -> None:
    """Remove the checkpoints of the trials that a rung's decision leaves behind."""
    decision = plan.decisions[rung]
    failed = {name for name, how in decision.ended.items() if how == "failed"}
    with FileLock(sweep / ".cache" / "locks" / "rung.lock"):
        _give_up(plan, rung, sweep, set(decision.kept) if plan.resume_by == "checkpoint" else set(), failed)


def check_rung(sweep: Path, step: int) -> None:
    """Raise InputError unless the sweep's plan has a rung at this step."""
    _locate(sweep, step)


def _locate(sweep: Path, step: int) -> tuple[StartMany, int]:
    plan = read_start_many(sweep)
    steps = [] if plan is None else [rung.step for rung in plan.rungs]
    if step not in steps:
        raise InputError(f"rung={step}: {sweep / FILE} has no rung at this step; leave this key to the sweeper")
    return plan, steps.index(step)


def _continued(plan: StartMany, rung: int, sweep: Path, known: dict[str, float]) -> set[str]:
    """Those that would go on from checkpoints if no other trial came to the rung."""
    if plan.resume_by == "retrain":
        return set()
    names, step = plan.entrants(rung), plan.rungs[rung].step
    scores = [known[name] if name in known else _score_if_readable(sweep / name, step) for name in names]
    scores = np.array([math.nan if score is None else score for score in scores])
    best = rank(scores, scale_of_trials(sweep, names))
    return {names[position] for position in best[: plan.rungs[rung].keep]}


def _give_up(plan: StartMany, rung: int, sweep: Path, spared: set[str], failed: Set[str] = frozenset()) -> None:
    step = plan.rungs[rung].step
    for name in plan.entrants(rung):
        trial = sweep / name
        if name in spared or not (trial / "checkpoint").exists():
            continue
        # Whoever holds the lock is training it: not a stopped trial then.
        with suppress(Timeout), trial_lock(trial):
            if _score_if_readable(trial, step) is not None or (
                name in failed and read_trial(trial)["status"] == "failed"
            ):
                checkpoint.remove(trial)


def _score_if_readable(trial: Path, step: int) -> float | None:
    try:
        return score_at(trial, step)
    except InputError:
        return None  # said where that trial is run
