"""Hands trials to whatever launcher was chosen, and again what a killed worker left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seedgrid.errors import InputError, one_line
from seedgrid.records.store import FINISHED, last_start, read_trial, trial_name
from seedgrid.seeds import Seeds
from seedgrid.settings import Settings
from seedgrid.shell import quoted
from seedgrid.sweep.expand import PlannedSweep
from seedgrid.training.contract import Prepared
from seedgrid.training.kinds import training_of
from seedgrid.trials import interrupt
from seedgrid.trials.rungs import score_at
from seedgrid.trials.sharing import mps_server, trials_a_gpu
from seedgrid.wording import count

# A worker that the system kills takes joblib's other workers along; so often what is left is launched again.
RELAUNCHES = 5


@dataclass(frozen=True)
class Engine:
    """What Hydra gives a sweeper to launch jobs with, and where the sweep's summary goes: a function as ``print``."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    say: Callable[..., None] = print

    @property
    def elsewhere(self) -> bool:
        """Whether trials run on other machines, whose devices cannot be seen from here."""
        launcher = self.config.hydra.runtime.choices["hydra/launcher"]
        return launcher == "slurm" or (launcher == "ray_trials" and self.config.hydra.launcher.address is not None)


@dataclass(frozen=True)
class Job:
    """One trial to run.

    Attributes:
        trial: its folder.
        overrides: what composes its config.
        rung: the step at which it stops; None: it runs to its end.
    """

    trial: Path
    overrides: tuple[str, ...]
    rung: int | None = None


def job_of(sweep: PlannedSweep, prepared: Prepared, seeds: Seeds, rung: int | None = None) -> Job:
    """The job that runs one trial of a sweep, to its end or to a rung."""
    values = {f"seed.{name}": value for name, value in seeds.model_dump().items()}
    values |= {
        "sweep": quoted(sweep.settings.sweep),
        "prepared": quoted(prepared.fingerprint),
        "trainer.accelerator": prepared.device,
        "trainer.per_gpu": sweep.settings.trainer.per_gpu,
    }
    if rung is not None:
        values["rung"] = rung
    own = (f"{key}={value}" for key, value in values.items())
    return Job(Path(sweep.settings.sweep) / trial_name(seeds), (*sweep.overrides, *own), rung)


def settle_per_gpu(engine: Engine, sweeps: list[PlannedSweep], prepared: list[Prepared]) -> list[PlannedSweep]:
    """The sweeps, and the engine's config, with a number for ``trainer.per_gpu=auto``: the largest model's."""
    if all(sweep.settings.trainer.per_gpu != "auto" for sweep in sweeps):
        return sweeps
    number = 1
    if not engine.elsewhere and all(ready.device == "gpu" for ready in prepared):
        both = zip(sweeps, prepared, strict=True)
        number = min(_trials_a_gpu(sweep.settings, ready) for sweep, ready in both)
    engine.config.trainer.per_gpu = number  # the launcher's workers follow it
    settled = []
    for sweep in sweeps:
        trainer = sweep.settings.trainer.model_copy(update={"per_gpu": number})
        settled.append(replace(sweep, settings=sweep.settings.model_copy(update={"trainer": trainer})))
    return settled


def _trials_a_gpu(settings: Settings, prepared: Prepared) -> int:
    return trials_a_gpu(settings, lambda: training_of(settings).memory(prepared))


def gpu_server(engine: Engine, sweeps: list[PlannedSweep], prepared: list[Prepared]) -> AbstractContextManager[None]:
    """What ``trainer.mps=true`` wants around the trials, where they run on GPUs of this machine."""
    wanted = any(sweep.settings.trainer.mps for sweep in sweeps) and any(ready.device == "gpu" for ready in prepared)
    return mps_server(Path(sweeps[0].settings.sweep)) if wanted and not engine.elsewhere else nullcontext()


def launch(engine: Engine, jobs: list[Job]) -> dict[Path, str]:
    """Run the jobs; returns what went wrong, by trial folder.

    Raises:
        InputError: the launcher began no job at all: it refused them, and would do so again. Where trials ran before,
            the summary is theirs too, and the refusal is what went wrong with the rest.
    """
    errors: dict[Path, str] = {}
    for attempt in range(1 + RELAUNCHES):
        before = [last_start(job.trial) for job in jobs]
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=engine.hydra_context, task_function=engine.task_function, config=engine.config
        )
        try:
            returned = launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0)
        except Exception as error:  # each launcher has its own kinds for "a worker died"
            begun = [last_start(job.trial) for job in jobs] != before
            refusal = str(error) if isinstance(error, InputError) else None
            if refusal is None and not begun and not interrupt.requested():
                launcher = engine.config.hydra.runtime.choices["hydra/launcher"]
                refusal = f"hydra/launcher={launcher}: no trial was begun ({one_line(error)})"
            if refusal is not None and not begun and attempt == 0:
                raise InputError(refusal) from None
            jobs = [job for job in jobs if _open(job)]
            if interrupt.requested() or not jobs:
                break
            if refusal is not None:
                return dict.fromkeys((job.trial for job in jobs), refusal)
            if attempt == RELAUNCHES:
                reason = f"workers died {1 + RELAUNCHES} times, last with {one_line(error)}"
                return dict.fromkeys((job.trial for job in jobs), reason)
            print(f"\na worker died ({type(error).__name__}); launching {count(len(jobs))} again", file=sys.stderr)
            continue
        for job, result in zip(jobs, returned, strict=True):
            try:
                error = result.return_value.error
            except Exception as raised:  # a launcher hands on what its worker raised
                error = one_line(raised)
            if error is not None:
                errors[job.trial] = error
        break
    return errors


def _open(job: Job) -> bool:
    """Whether a trial is not yet where it is to go, and has not failed on the way."""
    try:
        if job.rung is not None and score_at(job.trial, job.rung) is not None:
            return False
        return read_trial(job.trial)["status"] not in (*FINISHED, "failed")
    except InputError:
        return True
