"""Run the trials of a grid that are not done yet, over whatever launcher was chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seedgrid.errors import InputError
from seedgrid.seeds import Seeds
from seedgrid.sweep.expand import PlannedSweep, plan_sweeps, quoted
from seedgrid.sweep.progress import SweepProgress
from seedgrid.sweep.summary import compare_sweeps, hours, seconds_a_trial, summarize
from seedgrid.trials import interrupt
from seedgrid.trials.devices import workers
from seedgrid.trials.preparation import Prepared, prepare
from seedgrid.trials.store import FINISHED, check_finished, read_trial, trial_name

# A worker that the system kills takes joblib's other workers along; so often what is left is launched again.
RELAUNCHES = 5


@dataclass(frozen=True)
class Job:
    """One trial to run: its sweep, its seeds, and what composes its config."""

    folder: Path
    seeds: Seeds
    overrides: tuple[str, ...]


def run_grid(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    params: dict[str, str],
    arguments: list[str],
) -> Sequence[object]:
    """Plan, check, run what is missing, summarize. Exits with code 1 if a trial failed or the config is of no use."""
    try:
        sweeps = plan_sweeps(hydra_context, config, params, arguments)
        prepared = [prepare(sweep.settings) for sweep in sweeps]
        status = [_status(sweep) for sweep in sweeps]
        if sweeps[0].settings.dry_run:
            _announce(sweeps, prepared, status)
            return []
        jobs = []
        for sweep, ready, done in zip(sweeps, prepared, status, strict=True):
            jobs += _jobs(sweep, ready, done)
        interrupt.listen(parent=True)
        errors = _run(hydra_context, task_function, config, sweeps, jobs) if jobs else {}
        failed = _finish(sweeps, prepared, errors, ran=bool(jobs))
    except InputError as error:
        sys.exit(f"error: {error}")
    if interrupt.requested():
        print("stopped; the same command goes on where it stopped")
        sys.exit(130)  # what a shell says of a command that Ctrl-C ended
    if failed:
        sys.exit(1)
    return []


def _status(sweep: PlannedSweep) -> dict[Seeds, str]:
    """What the records say of each trial; a damaged record stops the sweep unless it is to be done again."""
    folder, status = Path(sweep.settings.sweep), {}
    for seeds in sweep.seeds:
        path = folder / trial_name(seeds)
        status[seeds] = "missing"
        if not (path / "trial.json").exists():
            continue
        try:
            trial = read_trial(path)
            if trial["status"] in FINISHED:
                check_finished(path)
            status[seeds] = trial["status"]
        except InputError:
            if not sweep.settings.redo:
                raise
            status[seeds] = "damaged"
    return status


def _jobs(sweep: PlannedSweep, prepared: Prepared, status: dict[Seeds, str]) -> list[Job]:
    settings, folder = sweep.settings, Path(sweep.settings.sweep)
    skipped = FINISHED if settings.retry == "failed" else (*FINISHED, "failed")
    shared = (
        f"sweep={quoted(settings.sweep)}",
        f"prepared={quoted(prepared.fingerprint)}",
        f"trainer.accelerator={prepared.device}",
    )
    jobs = []
    for seeds in sweep.seeds:
        if status[seeds] in skipped:
            continue
        own = tuple(f"seed.{name}={value}" for name, value in seeds.model_dump().items())
        jobs.append(Job(folder, seeds, (*sweep.overrides, *shared, *own)))
    return jobs


def _run(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    sweeps: list[PlannedSweep],
    jobs: list[Job],
) -> dict[Path, str]:
    """Launch the jobs, and again what a killed worker left; returns the errors by trial folder."""
    outcomes: dict[Path, str | None] = {}
    with SweepProgress([(Path(sweep.settings.sweep), sweep.seeds) for sweep in sweeps]):
        for attempt in range(1 + RELAUNCHES):
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=hydra_context, task_function=task_function, config=config
            )
            try:
                returned = launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0)
            except Exception as error:  # each launcher has its own kinds for "a worker died"
                if interrupt.requested():
                    break
                left = [job for job in jobs if _open(job)]
                if attempt == RELAUNCHES:
                    reason = f"workers died {1 + RELAUNCHES} times, last with {type(error).__name__}: {error}"
                    return {job.folder / trial_name(job.seeds): " ".join(reason.split()) for job in left}
                print(
                    f"\na worker died ({type(error).__name__}); {len(left)} trials are launched again", file=sys.stderr
                )
                jobs = left
                continue
            for job, result in zip(jobs, returned, strict=True):
                folder = job.folder / trial_name(job.seeds)
                try:
                    outcomes[folder] = result.return_value.error
                except Exception as error:  # a launcher hands on what its worker raised
                    outcomes[folder] = " ".join(f"{type(error).__name__}: {error}".split())
            break
    return {folder: error for folder, error in outcomes.items() if error is not None}


def _open(job: Job) -> bool:
    try:
        return read_trial(job.folder / trial_name(job.seeds))["status"] not in (*FINISHED, "failed")
    except InputError:
        return True


def _workers(sweeps: list[PlannedSweep]) -> int:
    trainer = sweeps[0].settings.trainer
    return workers(trainer.accelerator, trainer.threads, trainer.per_gpu)


def _announce(sweeps: list[PlannedSweep], prepared: list[Prepared], status: list[dict[Seeds, str]]) -> None:
    """The dry run: what would run, what is done, and the hours it should take."""
    for sweep, ready, done in zip(sweeps, prepared, status, strict=True):
        settings, folder = sweep.settings, Path(sweep.settings.sweep)
        skipped = FINISHED if settings.retry == "failed" else (*FINISHED, "failed")
        todo = [seeds for seeds in sweep.seeds if done[seeds] not in skipped]
        print(f"{folder}: {len(sweep.seeds)} trials, {len(sweep.seeds) - len(todo)} done, {len(todo)} to run")
        print(f"  each {ready.steps} steps on {ready.device}, {ready.precision}; fingerprint {ready.fingerprint}")
        for seeds in todo:
            print(f"  would run {trial_name(seeds)}" + ("" if done[seeds] == "missing" else f" ({done[seeds]})"))
        if todo:
            each, source = seconds_a_trial(folder), "so far"
            if each is None:
                from seedgrid.trials.estimate import estimate_seconds

                each, source = estimate_seconds(settings, ready), "by the time of three steps"
            at_once = min(_workers(sweeps), len(todo))
            print(f"  about {hours(each * len(todo) / at_once)}, {at_once} at once ({hours(each)} a trial, {source})")


def _finish(sweeps: list[PlannedSweep], prepared: list[Prepared], errors: dict[Path, str], ran: bool) -> bool:
    """Summaries, pictures, the best model's test score; returns whether any trial failed."""
    failed = False
    for sweep, ready in zip(sweeps, prepared, strict=True):
        failed = summarize(sweep.settings, sweep.seeds, ready, errors, redraw=ran) or failed
    if len(sweeps) > 1:
        compare_sweeps([Path(sweep.settings.sweep) for sweep in sweeps])
    return failed
