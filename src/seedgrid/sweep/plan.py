"""From the options of the sweeper ``start_many`` to its plan: which trials start, where they stop, how many go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.stopping import best_plan, rule_of_thumb
from seedgrid.errors import InputError
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.records.store import FINISHED, read_sweep, read_trial, trial_name
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.seeds import Seeds
from seedgrid.settings import Count, Positive, SettingsGroup, checked
from seedgrid.sweep.draws import draw_order
from seedgrid.sweep.expand import PlannedSweep
from seedgrid.training.contract import Prepared
from seedgrid.trials.rungs import FILE, Expected, Rung, StartMany, read_start_many
from seedgrid.wording import percent

KEY = "hydra.sweeper"
MOST_STARTED = 200  # by the planner, as in the paper
Part = Annotated[float, Field(gt=0, lt=1)]


class RungOptions(SettingsGroup):
    """One of ``rungs``.

    Attributes:
        at: fraction of training.
        keep: how many trials go on.
    """

    at: Part
    keep: Count

    @model_validator(mode="before")
    @classmethod
    def _has_both(cls, values: Any) -> Any:
        if not isinstance(values, dict) or set(values) != {"at", "keep"}:
            raise ValueError(f"{values} is no rung; write each as {{at: 0.3, keep: 5}}")
        return values


class Options(SettingsGroup):
    """``hydra.sweeper`` of ``start_many``.

    Attributes:
        start: trials started.
        stop_at: fraction of training after which they are compared.
        keep: trials that go on to the end.
        extend: pairs started besides, once the others have come to the first rung: those that the scores there make the
            most promising. With ``budget`` so many fewer are started before.
        rungs: several comparisons, instead of ``stop_at`` and ``keep``.
        budget: full trainings to spend, instead of all of these; up to the rounding of evaluations to whole steps.
        plan_from: folder of an earlier sweep of full trainings, which a budget's plan is made for; None: the paper's
            rule of thumb.
        draw: how trials are drawn from the user's choices of seeds; ``full``: all are started.
        draw_seed: of the generator that draws.
        resume_by: ``checkpoint``, or ``retrain``, which needs no disk: trials that go on are trained from the start.
    """

    start: Count | None
    stop_at: Part | None
    keep: Count | None
    extend: Annotated[int, Field(ge=0)]
    rungs: Annotated[list[RungOptions], Field(min_length=1)] | None
    budget: Positive | None
    plan_from: str | None
    draw: Literal["spread", "random", "full"]
    draw_seed: Annotated[int, Field(ge=0)]
    resume_by: Literal["checkpoint", "retrain"]


def read_options(values: dict[str, Any]) -> Options:
    """Check the options by themselves.

    Raises:
        InputError: a wrong key, type or range, options that exclude each other, or too few of them.
    """
    options = checked(Options, values, KEY)
    given = [name for name in ("start", "stop_at", "keep", "rungs") if getattr(options, name) is not None]
    if options.budget is not None:
        if given:
            raise InputError(
                f"{KEY}.{given[0]}={values[given[0]]}: budget={options.budget:g} chooses it; give only one"
            )
        if options.draw == "full":
            raise InputError(f"{KEY}.draw=full starts every pair; with budget={options.budget:g} use spread or random")
        if options.resume_by == "retrain":
            raise InputError(f"{KEY}.resume_by=retrain: a budget counts on checkpoints; give start, stop_at and keep")
        return options
    needed = ["start", "rungs"] if options.rungs is not None else ["start", "stop_at", "keep"]
    for name in given:
        if name not in needed:
            raise InputError(f"{KEY}.{name}={values[name]}: the rungs say it already; leave it out")
    for name in needed:
        if name not in given and not (name == "start" and options.draw == "full"):
            raise InputError(f"{KEY}.{name} has no value: give {', '.join(needed)}, or {KEY}.budget=FULL_TRAININGS")
    at, before = 0.0, "start is" if not options.extend else "start and extend are"
    kept = None if options.start is None else options.start + options.extend
    for key, rung in _named_rungs(options):
        if rung.at <= at:
            raise InputError(f"{key}.at={rung.at:g}: the rung before is at {at:g}; give rungs in rising order")
        if kept is not None and rung.keep > kept:
            raise InputError(f"{key}.keep={rung.keep}: {before} {kept}; keep at most that")
        at, before, kept = rung.at, "the rung before keeps", rung.keep
    return options


def _named_rungs(options: Options) -> list[tuple[str, RungOptions]]:
    """The rungs that are asked for, each with what its keys begin with."""
    if options.rungs is None:
        return [(KEY, RungOptions(at=options.stop_at, keep=options.keep))]
    return [(f"{KEY}.rungs.{number}", rung) for number, rung in enumerate(options.rungs)]


def check_choices(options: Options, choices: Sequence[Seeds]) -> None:
    """Raise InputError unless there are enough pairs of seeds to start, in a grid if it is to be extended."""
    pairs = len(choices)
    varied = [len({getattr(seeds, name) for seeds in choices}) for name in ("init", "order", "dropout")]
    if options.extend and (varied[0] * varied[1] != pairs or varied[2] > 1):
        raise InputError(
            f"{KEY}.extend={options.extend}: the choices of seeds are no grid of init and order; give ranges of both,"
            " or leave it out"
        )
    if options.budget is not None:
        return  # the planner's numbers are checked where it has made them
    start = pairs if options.start is None else options.start
    if start > pairs:
        raise InputError(
            f"{KEY}.start={start}: there are {pairs} pairs of seeds; start at most these, or give more seeds"
        )
    if start + options.extend > pairs:
        raise InputError(
            f"{KEY}.extend={options.extend}: besides the {start} that start, {pairs - start} of {pairs} pairs of seeds"
            " are left; give at most that"
        )
    if options.draw == "full":
        if start < pairs:
            raise InputError(f"{KEY}.start={start}: draw=full starts all {pairs} pairs; leave one of them out")
        key, rung = _named_rungs(options)[0]
        if rung.keep > pairs:
            raise InputError(f"{key}.keep={rung.keep}: there are {pairs} pairs of seeds; keep at most these")


def make_plan(options: Options, sweep: PlannedSweep, prepared: Prepared) -> StartMany:
    """The plan of a sweep: the one in its folder if there is one, else a new one, which is not written yet.

    Raises:
        InputError: the options do not fit the seeds or the schedule, or are not those of the plan in the folder.
    """
    folder = Path(sweep.settings.sweep)
    asked = options.model_dump(mode="json")
    before = read_start_many(folder)
    if before is not None:
        _refuse_other_plan(folder, before, asked, prepared)
        _refuse_other_seeds(folder, before, options, sweep.seeds)
        return before
    full_trainings = _read_full_trainings(options, prepared)
    schedule = schedule_of(sweep.settings.evaluation, prepared.steps, prepared.steps_per_epoch)
    steps = [step for step in schedule if step > 0]
    if options.budget is not None:
        start, at, keep = _spend(options, len(sweep.seeds), steps, full_trainings)
        start -= options.extend
        if start < 1:
            raise InputError(
                f"{KEY}.extend={options.extend}: a budget of {options.budget:g} starts {start + options.extend} trials"
                " in all; give less than that"
            )
        wanted = [(f"{KEY}.budget={options.budget:g}", at, keep)]
    else:
        start = len(sweep.seeds) if options.start is None else options.start
        name = "stop_at" if options.rungs is None else "at"
        wanted = [
            (f"{key}.{name}={rung.at:g}", Fraction(str(rung.at)), rung.keep) for key, rung in _named_rungs(options)
        ]
    rungs = _place(wanted, steps)
    names = _draw(options, sweep.seeds, start)
    expected = None
    if full_trainings is not None:
        most = math.floor(_cost(start + options.extend, rungs, prepared.steps, options.resume_by) + 1e-9)
        best_of = full_trainings.scale.turned(expected_max(full_trainings.utilities)[:most]).tolist()
        expected = Expected(by=options.plan_from, trials=len(full_trainings.trials), best_of=best_of)
    return StartMany(
        fingerprint=prepared.fingerprint,
        asked=asked,
        steps=prepared.steps,
        resume_by=options.resume_by,
        rungs=tuple(rungs),
        trials=names,
        **trained_before(folder, names),
        expected=expected,
    )


def _place(wanted: list[tuple[str, Fraction, int]], steps: list[int]) -> list[Rung]:
    """Rungs at the first evaluations from the wanted fractions on.

    Args:
        wanted: of each rung, what asked for it, its fraction, and how many it keeps.
        steps: at which trials are evaluated; the last is the end.
    """
    rungs: list[Rung] = []
    for key, at, keep in wanted:
        step = next(step for step in steps if step >= at * steps[-1])
        taken = "the last one" if step == steps[-1] else None
        if rungs and step == rungs[-1].step:
            taken = "that of the rung before"
        if taken is not None:
            raise InputError(
                f"{key}: the first evaluation from there on is {taken}, at step {step} of {steps[-1]}; move it or raise"
                " evaluation.per_epoch"
            )
        rungs.append(Rung(at=float(at), step=step, keep=keep))
    return rungs


def steps_taken(trial: Path) -> int:
    """Optimizer steps that a trial's record holds; 0 without one."""
    try:
        return pq.read_metadata(trial / "train_loss.parquet").num_rows
    except (OSError, ValueError):  # pyarrow's error for a damaged file is one of these
        return 0


def trained_before(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """``found`` and ``restarts`` of :class:`seedgrid.trials.rungs.StartMany`, for trials that are being planned."""
    found, restarts = {}, []
    for name in names:
        trial = folder / name
        taken = steps_taken(trial)
        try:
            status = read_trial(trial)["status"] if taken else None
        except InputError:
            continue  # damaged: it is done again, or refused
        if status in FINISHED or (taken and (trial / "checkpoint").exists()):
            found[name] = taken
        elif status == "stopped":
            found[name] = taken
            restarts.append(name)
    return {"found": found, "restarts": tuple(restarts)}


def _draw(options: Options, choices: tuple[Seeds, ...], start: int) -> tuple[str, ...]:
    # All pairs: the order still says who comes first among equals.
    order = draw_order(choices, "random" if options.draw == "random" else "spread", options.draw_seed)
    return tuple(trial_name(seeds) for seeds in order[:start])


def _read_full_trainings(options: Options, prepared: Prepared) -> FinishedTrials | None:
    """The trials of the earlier sweep that ``plan_from`` names; None without one.

    Raises:
        InputError: there are none, some were stopped early, or their score is another.
    """
    if options.plan_from is None:
        return None
    key = f"{KEY}.plan_from={options.plan_from}"
    try:
        sweep = read_sweep(options.plan_from)
        earlier = finished_trials(sweep)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    for what, was, now in (
        ("score", sweep.metric, prepared.metric),
        ("direction", sweep.direction, prepared.direction),
    ):
        if was != now:
            raise InputError(f"{key}: its {what} is {was}, this task's {now}; name a sweep with the same")
    if earlier.selected:
        raise InputError(f"{key}: trials were stopped there; name a sweep of full trainings")
    return earlier


def _cost(started: int, rungs: list[Rung], steps: int, resume_by: str) -> float:
    """Of a plan, in full trainings, if no trial ends before its rung."""
    total, before, entrants = 0, 0, started
    for step, keep in [*((rung.step, rung.keep) for rung in rungs), (steps, 0)]:
        total += entrants * (step - before)
        entrants, before = keep, step if resume_by == "checkpoint" else 0
    return total / steps


def _spend(
    options: Options, pairs: int, steps: list[int], full_trainings: FinishedTrials | None
) -> tuple[int, Fraction, int]:
    """How a budget is best spent: trials to start, the fraction after which to stop them, trials to keep.

    The fraction is that of one of ``steps``, at which trials are evaluated: the last that is not beyond the plan's and
    spends no more than the budget, up to the rounding of evaluations to whole steps.
    """
    key = f"{KEY}.budget={options.budget:g}"
    try:
        if full_trainings is None:
            plan, source = rule_of_thumb(options.budget, len(steps)), "the rule of thumb"
        else:
            plan = best_plan(full_trainings.even_curves, options.budget, max_start=min(MOST_STARTED, pairs))
            source = options.plan_from
    except ValueError as error:
        raise InputError(f"{key}: {str(error).partition('; ')[2].partition(' (')[0]}") from None
    if plan.stop_at >= plan.evaluations or plan.start <= plan.keep:
        raise InputError(
            f"{key}: by {source} it is best spent on training {plan.keep} from start to end; raise it, or use"
            " hydra/sweeper=grid"
        )
    if plan.start > pairs:
        raise InputError(
            f"{key}: by {source} it starts {plan.start} trials, and there are {pairs} pairs of seeds; lower it, or give"
            " more seeds"
        )
    share = plan.stop_at / plan.evaluations
    if full_trainings is not None and not np.isnan(full_trainings.even_epochs).any():
        share = full_trainings.even_epochs[plan.stop_at - 1] / full_trainings.even_epochs[-1]
    # An evaluation is at the step nearest to where it belongs.
    last, most = share * steps[-1] + 0.5, options.budget * steps[-1] + (plan.start - plan.keep) / 2
    paid = [
        step
        for step in steps[:-1]
        if step <= last + 1e-9 and plan.start * step + plan.keep * (steps[-1] - step) <= most + 1e-9
    ]
    if not paid:
        raise InputError(
            f"{key}: by {source} {plan.start} trials stop after {percent(share)} of training, and all to the first"
            f" evaluation, step {steps[0]} of {steps[-1]}, costs more; raise evaluation.per_epoch"
        )
    return plan.start, Fraction(paid[-1], steps[-1]), plan.keep


def _refuse_other_plan(folder: Path, before: StartMany, asked: dict[str, Any], prepared: Prepared) -> None:
    remedy = f"choose another sweep=FOLDER, or move {folder / FILE} away to plan anew (trials' records are used)"
    if before.fingerprint != prepared.fingerprint:
        raise InputError(f"{folder / FILE} is the plan of another configuration; {remedy}")
    for name, value in asked.items():
        was = before.asked.get(name)
        if value != was and not (name == "plan_from" and was and value and _is_the_same(was, value)):
            raise InputError(f"{KEY}.{name}={value}: {folder} was begun with {was}; {remedy}")


def _is_the_same(was: str, now: str) -> bool:
    """Whether the earlier sweep is only named otherwise, or was moved: what was decided by it stays as it is."""
    return Path(was).resolve() == Path(now).resolve() or (Path(now).is_dir() and not Path(was).exists())


def _refuse_other_seeds(folder: Path, before: StartMany, options: Options, choices: tuple[Seeds, ...]) -> None:
    if before.trials != _draw(options, choices, len(before.trials)):
        raise InputError(
            f"seed: {folder} was begun with other choices of seeds; give the same, choose another sweep=FOLDER, or move"
            f" {folder / FILE} away to plan anew (trials' records are used)"
        )
