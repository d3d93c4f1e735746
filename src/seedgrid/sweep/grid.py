"""Run the trials of a grid that are not done yet, over whatever launcher was chosen."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from seedgrid.errors import InputError, plain_exit
from seedgrid.records.index import index_of
from seedgrid.records.store import ENDED, FINISHED, check_finished, read_trial, status_now, trial_name
from seedgrid.seeds import Seeds
from seedgrid.sweep.expand import PlannedSweep, plan_sweeps
from seedgrid.sweep.launch import Engine, Job, gpu_server, job_of, launch, settle_per_gpu
from seedgrid.sweep.progress import SweepProgress
from seedgrid.sweep.summary import compare_sweeps, print_commands, seconds_a_trial, summarize
from seedgrid.training.contract import Prepared
from seedgrid.training.kinds import training_of
from seedgrid.trials import interrupt
from seedgrid.trials.asked import write_grid
from seedgrid.trials.devices import workers
from seedgrid.trials.preparation import prepare
from seedgrid.wording import count, hours


def run_command(work: Callable[[], tuple[list[Path], bool]]) -> None:
    """Do the work of a sweep's command, and exit as a command should that was of no use, interrupted, or failed.

    Args:
        work: returns what :func:`run_grid` does.
    """
    with plain_exit():
        _, failed = work()
        if interrupt.requested():
            print("stopped; the same command goes on where it stopped")
            sys.exit(130)  # what a shell says of a command that Ctrl-C ended
        if failed:
            sys.exit(1)


def run_grid(engine: Engine, params: dict[str, str], arguments: list[str]) -> tuple[list[Path], bool]:
    """Plan, check, run what is missing, summarize; returns the sweeps' folders, and whether anything failed.

    Args:
        engine: what launches trials.
        params: the sweeper's own overrides, which ``arguments`` replace.
        arguments: the command's.

    Raises:
        InputError: the config is of no use.
    """
    sweeps = plan_sweeps(engine.hydra_context, engine.config, params, arguments)
    folders = [Path(sweep.settings.sweep) for sweep in sweeps]
    prepared = [prepare(sweep.settings, engine.elsewhere) for sweep in sweeps]
    sweeps = settle_per_gpu(engine, sweeps, prepared)
    todo = [_left(sweep) for sweep in sweeps]
    if sweeps[0].settings.dry_run:
        _announce(engine, sweeps, prepared, todo)
        return folders, False
    jobs: list[Job] = []
    goals: dict[Path, int] = {}
    for sweep, ready, left in zip(sweeps, prepared, todo, strict=True):
        jobs += [job_of(sweep, ready, seeds) for seeds in left]
        goals |= {Path(sweep.settings.sweep) / trial_name(seeds): ready.steps for seeds in sweep.seeds}
    for sweep, ready, left in zip(sweeps, prepared, todo, strict=True):
        if left:
            write_grid(Path(sweep.settings.sweep), ready.steps, [trial_name(seeds) for seeds in left])
    interrupt.listen(parent=True)
    errors = {}
    if jobs:
        with gpu_server(engine, sweeps, prepared), SweepProgress(goals):
            errors = launch(engine, jobs)
    failed = False
    for sweep, ready in zip(sweeps, prepared, strict=True):
        failed = summarize(sweep.settings, sweep.seeds, ready, errors, redraw=bool(jobs), say=engine.say) or failed
    if len(sweeps) > 1:
        compare_sweeps(folders, engine.say)
    print_commands(folders, prepared, engine.say)
    return folders, failed


def _left(sweep: PlannedSweep) -> dict[Seeds, str]:
    """Trials to run, with their statuses."""
    skipped = FINISHED if sweep.settings.retry == "failed" else (*FINISHED, "failed")
    return {seeds: status for seeds, status in statuses(sweep, sweep.seeds).items() if status not in skipped}


def statuses(sweep: PlannedSweep, trials: Sequence[Seeds]) -> dict[Seeds, str]:
    """What the records say of trials; a damaged record is an InputError unless it is to be done again."""
    status = {}
    index = index_of(Path(sweep.settings.sweep))
    for seeds in trials:
        folder = Path(sweep.settings.sweep) / trial_name(seeds)
        status[seeds] = "missing"
        if not (folder / "trial.json").exists():
            continue
        try:
            known = index.find(folder, whole=True)
            recorded = (read_trial(folder) if known is None else known.trial)["status"]
            if known is None and recorded in ENDED:
                check_finished(folder, index)
            status[seeds] = status_now(recorded, folder)
        except InputError:
            if not sweep.settings.redo:
                raise
            status[seeds] = "damaged"
    index.save()
    return status


def _announce(
    engine: Engine, sweeps: list[PlannedSweep], prepared: list[Prepared], todo: list[dict[Seeds, str]]
) -> None:
    """The dry run: what would run, what is done, and the hours it should take."""
    for sweep, ready, left in zip(sweeps, prepared, todo, strict=True):
        folder = Path(sweep.settings.sweep)
        print(f"{folder}: {count(len(sweep.seeds))}, {len(sweep.seeds) - len(left):,} done, {len(left):,} to run")
        print(f"  each {ready.steps} steps on {ready.device}, {ready.precision}; fingerprint {ready.fingerprint}")
        for remark in ready.remarks:
            print(f"  {remark}")
        print_left(left)
        if left:
            print_duration(engine, sweep, ready, [(len(left), 1.0)])


def print_left(left: dict[Seeds, str]) -> None:
    """Say which trials would run: all of a quickstart's, of a large grid's the first.

    Args:
        left: their seeds and status.
    """
    shown = len(left) if len(left) <= 25 else 10
    for seeds, status in itertools.islice(left.items(), shown):
        print(f"  would run {trial_name(seeds)}" + ("" if status == "missing" else f" ({status})"))
    if shown < len(left):
        print(f"  would run {len(left) - shown:,} more")


def print_duration(engine: Engine, sweep: PlannedSweep, prepared: Prepared, stages: list[tuple[int, float]]) -> None:
    """Say how long trials should take.

    Args:
        engine: what would launch them.
        sweep, prepared: whose.
        stages: one after the other, each of so many trials, that cost so many full trainings each.
    """
    each, source = seconds_a_trial(Path(sweep.settings.sweep)), "so far"
    if each is None and engine.elsewhere:
        print("  how long is known once a trial has ended: they run on other machines")
        return
    if each is None:
        each, source = training_of(sweep.settings).seconds(prepared), "by the time of three steps"
    trainer = sweep.settings.trainer
    launcher = engine.config.hydra.runtime.choices["hydra/launcher"]
    if launcher == "ray_trials" and engine.elsewhere:
        seconds = sum(each * trials * cost for trials, cost in stages)
        print(f"  about {hours(seconds)} of one trial at a time ({hours(each)} each, {source}); the cluster runs many")
        return
    most = 1 if launcher == "basic" else workers(trainer.accelerator, trainer.threads, trainer.per_gpu)
    if engine.elsewhere:
        most = engine.config.hydra.launcher.array_parallelism
    at_once = min(most, max(trials for trials, _ in stages))
    seconds = sum(each * trials * cost / min(at_once, trials) for trials, cost in stages if trials)
    print(f"  about {hours(seconds)}, {at_once} at once ({hours(each)} a trial, {source})")
