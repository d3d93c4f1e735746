"""A sweep on its way from rung to rung: what is to run next, and what is decided.

Every decision follows from the plan and the trials' records alone, and is written down before anything is done about
it. So a command that is run again, after whatever killed it, finds the same decisions and goes on, and two commands at
once come to the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from seedgrid.analysis.prediction import promising_pairs
from seedgrid.errors import InputError
from seedgrid.records.store import FINISHED, read_seeds, read_trial, trial_name
from seedgrid.scale import Scale
from seedgrid.seeds import Seeds
from seedgrid.sweep.expand import PlannedSweep
from seedgrid.sweep.grid import statuses
from seedgrid.sweep.launch import Job, job_of
from seedgrid.sweep.plan import steps_taken, trained_before
from seedgrid.training.contract import Prepared
from seedgrid.trials.asked import forget_grid
from seedgrid.trials.rungs import Decision, Outcome, StartMany, give_up_checkpoints, rank, read_start_many, score_at


class Study:
    """A sweep that starts many trials, stops early and continues some.

    Its stages are the ways to each rung, and after the last rung the way to the end. All entrants of a stage come to
    its goal before the next stage begins.

    Args:
        sweep: what the command line asks for.
        prepared: what its trials share.
        plan: what is written in the sweep's folder, or will be.
    """

    def __init__(self, sweep: PlannedSweep, prepared: Prepared, plan: StartMany) -> None:
        self.sweep = sweep
        self.prepared = prepared
        self.plan = plan
        self.folder = Path(sweep.settings.sweep)

    @property
    def last_stage(self) -> int:
        return len(self.plan.rungs)

    @property
    def scale(self) -> Scale:
        """On what the trials' scores are read."""
        scores = [score for decision in self.plan.decisions for score in decision.scores.values() if score is not None]
        ready = self.prepared
        return Scale.of(ready.metric, ready.direction, ready.range).fitted(scores)

    def check_records(self) -> None:
        """Raise InputError if the record of a trial that was started is damaged and not to be done again."""
        statuses(self.sweep, [seeds_of(name) for name in self.plan.entrants(0)])

    def begin(self) -> None:
        """Write the plan into the sweep's folder, unless it is there."""
        mine = self.plan
        with self._latest_plan():
            forget_grid(self.folder)
            if self._written() is None:
                self._write()
            elif (self.plan.asked, self.plan.trials) != (mine.asked, mine.trials):
                raise InputError(
                    f"sweep={self.folder}: another command began a plan there; choose another sweep=FOLDER"
                )

    def goal(self, stage: int) -> int:
        """The step that a stage leads to."""
        return self.plan.rungs[stage].step if stage < self.last_stage else self.plan.steps

    def goals(self, stage: int) -> dict[Path, int]:
        """That step for each entrant's folder."""
        return {self.folder / name: self.goal(stage) for name in self.plan.entrants(stage)}

    def jobs(self, stage: int, errors: dict[Path, str]) -> list[Job]:
        """What has yet to come to a stage's goal, without what went wrong in this command."""
        if stage < len(self.plan.decisions):
            return []
        rung = self.goal(stage) if stage < self.last_stage else None
        retry = self.sweep.settings.retry == "failed"
        return [
            job_of(self.sweep, self.prepared, seeds_of(name), rung)
            for name in self.plan.entrants(stage)
            if self._score(name, stage) is None
            and self.folder / name not in errors
            and (retry or self.status(name) != "failed")
        ]

    def extend(self) -> None:
        """Once the drawn trials came to the first rung, write down which pairs are started besides, if any are."""
        with self._latest_plan():
            wanted = self.plan.asked["extend"]
            if not wanted or self.plan.extended:
                return
            scores = {name: self._score(name, 0) for name in self.plan.trials}
            known = [score for score in scores.values() if score is not None and math.isfinite(score)]
            if self._left(scores) or not known:
                return
            names = self._promising(scores, known, wanted)
            before = trained_before(self.folder, names)
            self._write(
                extended=names,
                found=self.plan.found | before["found"],
                restarts=(*self.plan.restarts, *before["restarts"]),
            )

    def decide(self, stage: int) -> bool:
        """Once all entrants came to a stage's goal, write down what follows; returns whether the next can begin."""
        with self._latest_plan():
            decided = stage < len(self.plan.decisions) or self._decide(stage)
        if decided and stage < self.last_stage:
            # Also where it was decided before: that command may have been killed before it came to this.
            give_up_checkpoints(self.plan, stage, self.folder)
        return decided

    def status(self, name: str) -> str | None:
        """A trial's recorded status; None without a record, or if it is damaged and to be done again."""
        trial = self.folder / name
        if not (trial / "trial.json").exists():
            return None
        try:
            return read_trial(trial)["status"]
        except InputError:
            if not self.sweep.settings.redo:
                raise
            return None

    def error(self, name: str) -> str | None:
        """Why a trial failed, if it did."""
        return read_trial(self.folder / name)["error"]

    def _decide(self, stage: int) -> bool:
        names = self.plan.entrants(stage)
        if stage == 0 and len(names) < len(self.plan.trials) + self.plan.asked["extend"]:
            return False
        scores = {name: self._score(name, stage) for name in names}
        if stage == self.last_stage:
            if any(score is None for score in scores.values()):
                return False
            self._conclude()
            return True
        if self._left(scores):
            return False
        ranked = rank(np.array([math.nan if score is None else score for score in scores.values()]), self.scale)
        keep = self.plan.rungs[stage].keep
        if None in scores.values() and len(ranked) < keep:
            return False  # too many failed: better mended and tried again than decided without them
        ended = {
            name: "failed" if score is None else "nonfinite"
            for name, score in scores.items()
            if score is None or math.isnan(score)
        }
        cost, found = self._cost(stage)
        decision = Decision(
            step=self.goal(stage),
            scores={name: None if name in ended else score for name, score in scores.items()},
            ended=ended,
            kept=tuple(names[position] for position in ranked[:keep]),
            cost=cost,
            found=found,
        )
        self._write(decisions=(*self.plan.decisions, decision))
        return True

    def _left(self, scores: dict[str, float | None]) -> bool:
        """Whether any trial is still on its way; one that failed is not."""
        return any(score is None and self.status(name) != "failed" for name, score in scores.items())

    def _promising(self, scores: dict[str, float | None], known: list[float], count: int) -> tuple[str, ...]:
        choices = self.sweep.seeds
        inits, orders = (sorted({getattr(seeds, name) for seeds in choices}) for name in ("init", "order"))
        partial = np.full((len(inits), len(orders)), math.nan)
        turned, threshold = self.scale.turned, self.prepared.diverged_at
        known = [turned(score) for score in known]
        for name, score in scores.items():
            seeds = seeds_of(name)
            # A failure says nothing about its seeds; a loss that is no number does.
            if score is None:
                utility = float(np.mean(known))
            elif math.isnan(score):
                utility = min(known if threshold is None else (turned(threshold), *known))
            else:
                utility = turned(score)
            partial[inits.index(seeds.init), orders.index(seeds.order)] = utility
        return tuple(
            trial_name(Seeds(init=inits[row], order=orders[column], dropout=choices[0].dropout))
            for row, column in promising_pairs(partial, count, seed=self.plan.asked["draw_seed"])
        )

    def _conclude(self) -> None:
        """Write down what came out: by the plan's own steps, whatever else these trials did before or do later."""
        if self.plan.outcome is not None:
            return
        cost, found = self._cost(self.last_stage)
        final = {name: self._score(name, self.last_stage) for name in self.plan.entrants(self.last_stage)}
        best: dict[str, float] = {}
        for scores in (*(decision.scores for decision in self.plan.decisions), final):
            best |= {name: score for name, score in scores.items() if score is not None and math.isfinite(score)}
        # Equals: the smaller seeds, as for the best model.
        turned = self.scale.turned
        trial = min(best, key=lambda name: (-turned(best[name]), *seeds_of(name).model_dump().values()), default=None)
        outcome = Outcome(
            best_found=best.get(trial),
            trial=trial,
            cost=cost + sum(decision.cost for decision in self.plan.decisions),
            found=found + sum(decision.found for decision in self.plan.decisions),
        )
        self._write(outcome=outcome)

    def _cost(self, stage: int) -> tuple[float, float]:
        """What a stage costs, in full trainings, and the part of it that was recorded when its trials were planned."""
        end = self.goal(stage)
        before = self.goal(stage - 1) if stage and self.plan.resume_by == "checkpoint" else 0
        cost = found = 0
        for name in self.plan.entrants(stage):
            taken = steps_taken(self.folder / name)
            reached = end if self.status(name) == "stopped" else min(end, taken)
            cost += max(0, reached - before)
            recorded = self.plan.found.get(name, 0)
            if recorded >= reached:
                found += max(0, reached - before)
            elif name in self.plan.restarts:
                found -= before if recorded >= before else 0  # what was taken as found is trained again
            elif before or not stage:  # a trial that goes on without checkpoints has nothing
                found += max(0, recorded - before)
        return cost / self.plan.steps, found / self.plan.steps

    def _score(self, name: str, stage: int) -> float | None:
        """As :func:`seedgrid.trials.rungs.score_at`; None too for a damaged record that is to be done again."""
        try:
            if stage == self.last_stage and self.status(name) not in FINISHED:
                return None
            return score_at(self.folder / name, self.goal(stage))
        except InputError:
            if not self.sweep.settings.redo:
                raise
            return None

    @contextmanager
    def _latest_plan(self) -> Iterator[None]:
        """Between reading the plan and writing it, no other command does either."""
        locks = self.folder / ".cache" / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / "start_many.lock"):
            self.plan = self._written() or self.plan
            yield

    def _written(self) -> StartMany | None:
        return read_start_many(self.folder)

    def _write(self, **changes: Any) -> None:
        self.plan = self.plan.model_copy(update=changes)
        self.plan.write(self.folder)


def seeds_of(name: str) -> Seeds:
    """The seeds of a trial that the plan names."""
    seeds = read_seeds(name)
    if seeds is None:
        raise InputError(f"{name} is no trial's name; the plan in start_many.json was changed by hand, move it away")
    return seeds
