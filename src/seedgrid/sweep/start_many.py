"""Start many trials, stop early, continue some (Dodge et al. 2020, section 5): with real trials, over any launcher."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

from filelock import Timeout

from seedgrid.errors import refusal
from seedgrid.records.store import trial_lock
from seedgrid.scale import Scale
from seedgrid.sweep.expand import plan_sweeps
from seedgrid.sweep.grid import print_duration, print_left, statuses
from seedgrid.sweep.launch import RELAUNCHES, Engine, gpu_server, launch, settle_per_gpu
from seedgrid.sweep.plan import check_choices, make_plan, read_options
from seedgrid.sweep.progress import SweepProgress
from seedgrid.sweep.study import Study, seeds_of
from seedgrid.sweep.summary import Say, compare_sweeps, print_commands, summarize
from seedgrid.trials import interrupt
from seedgrid.trials.preparation import prepare
from seedgrid.trials.rungs import Expected
from seedgrid.wording import count


def run_start_many(
    engine: Engine, params: dict[str, str], arguments: list[str], values: dict[str, Any]
) -> tuple[list[Path], bool]:
    """Plan, run from rung to rung, summarize, as ``run_grid`` does; ``values`` are the sweeper's options."""
    options = read_options(values)
    sweeps = plan_sweeps(engine.hydra_context, engine.config, params, arguments)
    for sweep in sweeps:
        check_choices(options, sweep.seeds)
    prepared = [prepare(sweep.settings, engine.elsewhere) for sweep in sweeps]
    sweeps = settle_per_gpu(engine, sweeps, prepared)
    studies = [
        Study(sweep, ready, make_plan(options, sweep, ready)) for sweep, ready in zip(sweeps, prepared, strict=True)
    ]
    folders = [study.folder for study in studies]
    for study in studies:
        study.check_records()
    if sweeps[0].settings.dry_run:
        for study in studies:
            _announce(engine, study)
        return folders, False
    interrupt.listen(parent=True)
    for study in studies:
        study.begin()
    errors: dict[Path, str] = {}
    ran = False
    going_on = studies
    try:
        with gpu_server(engine, sweeps, prepared):
            for stage in range(studies[0].last_stage + 1):
                ran = _reach(engine, going_on, stage, errors) or ran
                if stage == 0 and options.extend:
                    for study in going_on:
                        study.extend()
                    ran = _reach(engine, going_on, stage, errors) or ran
                going_on = [study for study in going_on if study.decide(stage)]
                if interrupt.requested():
                    break
        failed = bool(errors) or len(going_on) < len(studies)
    except OSError as error:  # a full disk, most likely, where the plan lies: the summary says what there is
        engine.say(f"error: {refusal(error)}", file=sys.stderr)
        failed = True
    for study in studies:
        failed = _summarize(study, errors, ran, engine.say) or failed
    if len(studies) > 1:
        compare_sweeps(folders, engine.say)
    print_commands(folders, prepared, engine.say)
    return folders, failed


def _reach(engine: Engine, studies: list[Study], stage: int, errors: dict[Path, str]) -> bool:
    """Run what has yet to come to a stage's goal, and add what went wrong to ``errors``; whether anything ran."""
    ran = False
    for _ in range(1 + RELAUNCHES):
        jobs = [job for study in studies for job in study.jobs(stage, errors)]
        if not jobs or interrupt.requested():
            break
        ran = True
        goals = {trial: goal for study in studies for trial, goal in study.goals(stage).items()}
        with SweepProgress(goals, _where(studies[0], stage)):
            errors |= launch(engine, jobs)
        # What is still to do and did not fail, another process was running, or its worker was asked to stop.
        for study in studies:
            for job in study.jobs(stage, errors):
                _wait_for(job.trial)
    return ran


def _wait_for(trial: Path) -> None:
    """Wait while another process runs a trial."""
    while not interrupt.requested():
        try:
            with trial_lock(trial):
                return
        except Timeout:
            time.sleep(1)


def _announce(engine: Engine, study: Study) -> None:
    """The dry run: what would start, where it would stop, what that costs, and the hours it should take."""
    plan = study.plan
    current = len(plan.decisions)
    every = len(plan.trials) + plan.asked["extend"]
    print(f"{study.folder}: {_drawn(study)}")
    print(f"  each {plan.steps} steps on {study.prepared.device}, {study.prepared.precision}")
    for remark in study.prepared.remarks:
        print(f"  {remark}")
    cost, stages = 0.0, []
    for stage in range(study.last_stage + 1):
        entrants = min(every, plan.rungs[stage - 1].keep) if stage else every
        if 0 < stage <= current:
            entrants = len(plan.entrants(stage))
        before = study.goal(stage - 1) if stage and plan.resume_by == "checkpoint" else 0
        share = (study.goal(stage) - before) / plan.steps
        cost += entrants * share
        done = entrants if stage < current else 0
        if stage == current:
            done = len(plan.entrants(stage)) - len(study.jobs(stage, {}))
        stages.append((entrants - done, share))
        kept = f", {plan.rungs[stage].keep} kept" if stage < study.last_stage else ""
        print(f"  {_label(study, stage)}{count(entrants)}, {done} done{kept}")
    print(f"  cost         {cost:.2f} full trainings; all {every} in full: {every}")
    todo = [seeds_of(job.trial.name) for job in study.jobs(current, {})]
    print_left(statuses(study.sweep, todo))
    if any(trials for trials, _ in stages):
        print_duration(engine, study.sweep, study.prepared, stages)


def _summarize(study: Study, errors: dict[Path, str], redraw: bool, say: Say) -> bool:
    """Print a sweep's summary; returns whether anything failed."""
    plan = study.plan
    notes, scale = [f"started      {_drawn(study)}"], study.scale
    for stage, decision in enumerate(plan.decisions):
        above = "below" if scale.lower_is_better else "above"
        last = f" ({scale.written(decision.scores[decision.kept[-1]])} and {above})" if decision.kept else ""
        hows = list(decision.ended.values())
        ended = "".join(f", {hows.count(how)} {how}" for how in ("nonfinite", "failed") if how in hows)
        notes.append(f"{_label(study, stage)}{count(len(decision.scores))}, {len(decision.kept)} kept{last}{ended}")
    stage = len(plan.decisions)
    left = len(study.jobs(stage, {}))
    if left:
        notes.append(f"not done     {left} of {count(len(plan.entrants(stage)))} on their way {_where(study, stage)}")
    if plan.outcome is not None:
        outcome, every = plan.outcome, len(plan.entrants(0))
        earlier = f", {outcome.found:.2f} of it by earlier commands" if outcome.found else ""
        notes.append(f"cost         {outcome.cost:.2f} full trainings{earlier}; all {every} in full: {every}")
        if outcome.trial is not None:
            notes.append(f"reached      {scale.written(outcome.best_found)}, by {outcome.trial}")
        if plan.expected is not None:
            notes.append(f"expected     {_expected(plan.expected, math.floor(outcome.cost + 1e-9), scale)}")
    # A rung that was decided without a failed trial is not decided again: it is no more to be tried than those done.
    left_out = {name for decision in plan.decisions for name, how in decision.ended.items() if how == "failed"}
    notes += [f"left out     {name}, which failed before its rung: {study.error(name)}" for name in sorted(left_out)]
    failed = summarize(
        study.sweep.settings,
        [seeds_of(name) for name in plan.entrants(0) if name not in left_out],
        study.prepared,
        {trial: reason for trial, reason in errors.items() if trial.name not in left_out},
        redraw,
        notes,
        say,
    )
    return failed or bool(left_out)


def _drawn(study: Study) -> str:
    asked = study.plan.asked
    how = "" if asked["draw"] == "full" else f" ({asked['draw']}, draw seed {asked['draw_seed']})"
    besides = f", then the {asked['extend']} most promising others" if asked["extend"] else ""
    return f"{len(study.plan.trials)} of {count(len(study.sweep.seeds), 'pair')} of seeds{how}{besides}"


def _label(study: Study, stage: int) -> str:
    """A stage's name and its goal, an evaluation's step."""
    name = f"rung {stage + 1}" if stage < study.last_stage else "end"
    step, steps = study.goal(stage), study.plan.steps
    return f"{name:<13}step {step} of {steps} ({100 * step / steps:.1f} %): "


def _where(study: Study, stage: int) -> str:
    """Where a stage leads, in words."""
    if stage == study.last_stage:
        return "to the end"
    return f"to rung {stage + 1} of {study.last_stage} (step {study.goal(stage)} of {study.plan.steps})"


def _expected(expected: Expected, budget: int, scale: Scale) -> str:
    """What a number of full trainings was expected to reach."""
    whose = f"{expected.by} ({expected.trials} trials)"
    if not 1 <= budget <= len(expected.best_of):
        return f"not known for {budget} full trainings by {whose}"
    return f"{scale.written(expected.best_of[budget - 1])} from {budget} full trainings, by {whose}"
