"""What a sweep is doing: read from its records, the locks of running trials, and what its latest command asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pyarrow as pa

from seedgrid.errors import InputError
from seedgrid.records.index import Index, index_of
from seedgrid.records.store import (
    ENDED,
    FINISHED,
    check_complete,
    is_running,
    locked_trials,
    read_table,
    read_trial,
    scale_of,
    trial_folders,
)
from seedgrid.scale import Scale
from seedgrid.seeds import Seeds
from seedgrid.trials.asked import read_grid
from seedgrid.trials.rungs import StartMany, read_start_many

OF_LATE = 10  # ended trials whose pace is taken for that of the next ones


@dataclass(frozen=True)
class RunningTrial:
    """A trial whose lock some process holds, and that has a record.

    Attributes:
        name: of its folder.
        step: of its last recorded evaluation.
        goal: the step it is on its way to: a rung's, or its last.
        best: best score so far; None before the first evaluation after the start.
        seconds_left: until the goal; None: no evaluation says yet.
    """

    name: str
    step: int
    goal: int
    best: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class SweepStatus:
    """What a sweep is doing at one moment.

    Attributes:
        folder: the sweep's.
        counts: trials by status. Besides those of a record: ``interrupted``, recorded as running by a process that is
            gone; ``starting``, without a record yet; ``damaged``; ``not started``, though asked for.
        scale: on what the scores are read; its metric is empty without a readable record.
        best: best score so far, running trials included, and the seeds that have it (the smaller ones of equals).
        mean: of the best found scores of finished trials; None also where trials were stopped for their scores.
        running: in the order of their seeds.
        workers: processes that run a trial.
        trials_per_hour: full trainings at the pace of the latest trials and with these workers; None: not known.
        seconds_left: until the end; None if nothing runs or no pace is known.
        planned: whether that is the end of all that was asked for, or only of the trials that run now.
        damaged: a line for each record that cannot be read.
    """

    folder: Path
    counts: dict[str, int]
    scale: Scale
    best: tuple[float, Seeds] | None
    mean: float | None
    running: tuple[RunningTrial, ...]
    workers: int
    trials_per_hour: float | None
    seconds_left: float | None
    planned: bool
    damaged: tuple[str, ...]


class SweepWatch:
    """Looks at a sweep again and again, and reads anew only what has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, tuple[int, _Record]] = {}

    def look(self) -> SweepStatus:
        """The sweep as it is now.

        Raises:
            InputError: there is no such folder, or it holds no trial and none is asked for.
        """
        if not self.folder.is_dir():
            raise InputError(f"sweep={self.folder}: no such folder; run a sweep first, or name another one")
        records, damaged = self._records()
        running = {name for name, record in records.items() if record.status == "running" and self._held(name)}
        starting = self._starting()
        try:
            plan = read_start_many(self.folder)
        except InputError as error:
            plan = None
            damaged["plan"] = str(error)
        grid = read_grid(self.folder)
        if not (records or damaged or starting or grid or plan):
            raise InputError(f"sweep={self.folder}: no trial there yet; start a sweep, or name another folder")
        planned = records
        if grid is not None:
            plan, asked_at = grid
            # A trial that had failed before is tried again.
            planned = {
                name: record
                for name, record in records.items()
                if not (record.status == "failed" and name in plan.trials and record.written < asked_at)
            }
        if plan is not None and (plan.outcome is not None or not {*running, *starting} <= {*plan.entrants(0)}):
            plan = None  # whatever runs there now is not of it
        pace = _seconds_a_step(records, running)
        active = tuple(_running(name, records[name], plan, pace) for name in records if name in running)
        workers = len(active) + len(starting)
        finished = [record.best for record in records.values() if record.status in FINISHED and record.best is not None]
        stopped = any(record.status == "stopped" for record in records.values())
        scored = [record for record in records.values() if record.best is not None]
        scale = next((record.scale for record in records.values()), Scale(""))
        top = max(scored, key=lambda record: scale.turned(record.best), default=None)  # the first of equals
        steps = next((record.steps for record in records.values()), None)
        return SweepStatus(
            folder=self.folder,
            counts=_counts(records, running, starting, damaged, plan),
            scale=scale.fitted(record.best for record in scored),
            best=None if top is None else (top.best, top.seeds),
            mean=fmean(finished) if finished and not stopped else None,
            running=active,
            workers=workers,
            trials_per_hour=3600 * workers / (pace * steps) if pace and workers else None,
            seconds_left=_seconds_left(planned, active, workers, plan, pace),
            planned=plan is not None,
            damaged=tuple(damaged.values()),
        )

    def _records(self) -> tuple[dict[str, _Record], dict[str, str]]:
        """Records by name, in the order of their seeds; and what is wrong with those that cannot be read."""
        records, damaged = {}, {}
        index = index_of(self.folder)
        for seeds, trial in trial_folders(self.folder):
            try:
                written = (trial / "trial.json").stat().st_mtime_ns
                if self.seen.get(trial.name, (None,))[0] != written:
                    self.seen[trial.name] = written, _read(seeds, trial, written, index)
                records[trial.name] = self.seen[trial.name][1]
            except FileNotFoundError:
                continue  # moved aside just now
            except InputError as error:
                damaged[trial.name] = str(error)
        return records, damaged

    def _starting(self) -> list[str]:
        """Names of the trials that run and have no record yet."""
        return [
            name
            for name in locked_trials(self.folder)
            if not (self.folder / name / "trial.json").exists() and self._held(name)
        ]

    def _held(self, name: str) -> bool:
        return is_running(self.folder / name)


@dataclass(frozen=True)
class _Record:
    """What is needed of a trial's record.

    Attributes:
        written: when, in seconds of :func:`time.time`.
    """

    seeds: Seeds
    status: str
    scale: Scale
    steps: int
    step: int
    best: float | None
    seconds: float
    written: float


def _read(seeds: Seeds, folder: Path, written: int, index: Index) -> _Record:
    known = index.find(folder)
    trial = read_trial(folder) if known is None else known.trial
    path = folder / "evaluations.parquet"
    try:
        curve = read_table(path) if known is None else known.evaluations
    except (OSError, pa.ArrowException) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise InputError(f"{path}: {reason}; redo=true runs the trial again") from None
    pairs = list(zip(curve["step"].to_pylist(), curve["score"].to_pylist(), strict=True))
    if known is None:
        check_complete(folder, trial, [step for step, _ in pairs])
        if trial["status"] in ENDED:
            index.add(folder, trial, curve)
    try:
        scale = scale_of(trial)
        return _Record(
            seeds=seeds,
            status=trial["status"],
            scale=scale,
            steps=trial["steps"],
            step=max((step for step, _ in pairs), default=0),
            best=scale.best(score for step, score in pairs if step > 0),
            seconds=trial["seconds"],
            written=written / 1e9,
        )
    except (KeyError, TypeError) as error:
        reason = f"damaged ({type(error).__name__}: {error})"
        raise InputError(f"{folder / 'trial.json'}: {reason}; redo=true runs the trial again") from None


def _counts(
    records: Mapping[str, _Record],
    running: set[str],
    starting: Sequence[str],
    damaged: Mapping[str, str],
    plan: StartMany | None,
) -> dict[str, int]:
    counts = Counter(
        "interrupted" if record.status == "running" and name not in running else record.status
        for name, record in records.items()
    )
    counts["starting"] = len(starting)
    counts["damaged"] = len(damaged.keys() - {"plan"})
    if plan is not None:
        known = {*records, *starting, *damaged}
        counts["not started"] = sum(name not in known for name in plan.entrants(0)) + _unnamed(plan)
    order = ("completed", "nonfinite", "stopped", "failed", "running", "starting", "interrupted", "damaged")
    return {status: counts[status] for status in (*order, "not started") if counts[status]}


def _unnamed(plan: StartMany) -> int:
    """Trials that a plan starts once the first rung says which."""
    return 0 if plan.extended or plan.decisions else plan.asked.get("extend", 0)


def _seconds_a_step(records: Mapping[str, _Record], running: set[str]) -> float | None:
    """Pace of the trials that ended last; of those that run, before any has ended; None: not known."""
    ended = [record for record in records.values() if record.status in ("completed", "stopped") and record.step]
    latest = sorted(ended, key=lambda record: record.written)[-OF_LATE:]
    latest = latest or [record for name, record in records.items() if name in running and record.step]
    return sum(record.seconds for record in latest) / sum(record.step for record in latest) if latest else None


def _running(name: str, record: _Record, plan: StartMany | None, pace: float | None) -> RunningTrial:
    goal = record.steps
    if plan is not None:
        stage = len(plan.decisions)
        if name in plan.entrants(stage) and record.step <= _goals(plan)[stage]:
            goal = _goals(plan)[stage]
    own = record.seconds / record.step if record.step else pace
    # The record is as old as its last evaluation.
    age = max(0.0, time.time() - record.written)
    left = None if own is None else max(0.0, own * (goal - record.step) - age)
    return RunningTrial(name, record.step, goal, record.best, left)


def _goals(plan: StartMany) -> list[int]:
    """The step that each stage of a plan leads to."""
    return [*(rung.step for rung in plan.rungs), plan.steps]


def _seconds_left(
    records: Mapping[str, _Record],
    running: Sequence[RunningTrial],
    workers: int,
    plan: StartMany | None,
    pace: float | None,
) -> float | None:
    """Until the plan is done with so many workers; where none is known, until the last running trial ends."""
    if not workers or pace is None:
        return None
    left = {trial.name: trial.seconds_left for trial in running}
    if plan is None:
        return max(left.values(), default=None)
    goals, stage = _goals(plan), len(plan.decisions)
    by_checkpoint = plan.resume_by == "checkpoint"
    entrants = plan.entrants(stage)
    for name in entrants:
        left.setdefault(name, pace * _steps_left(records.get(name), goals[stage], by_checkpoint))
    waiting = [*left.values(), *[pace * goals[0]] * _unnamed(plan)]
    waiting = [seconds for seconds in waiting if seconds > 0]
    # The longest may take longer than all workers' even share.
    total = max(sum(waiting) / min(workers, len(waiting)), *waiting) if waiting else 0.0
    for later in range(stage + 1, len(goals)):
        keep = plan.rungs[later - 1].keep
        steps = goals[later] - (goals[later - 1] if by_checkpoint else 0)
        total += pace * steps * keep / min(workers, keep)
    return total


def _steps_left(record: _Record | None, goal: int, by_checkpoint: bool) -> int:
    """Steps that a trial that does not run is away from a stage's goal."""
    if record is None:
        return goal
    if record.status in (*FINISHED, "failed"):
        return 0
    begin = record.step
    if record.status == "stopped" and begin < goal and not by_checkpoint:
        begin = 0
    return max(0, goal - begin)
