"""Trials as jobs of Slurm: submitted by Submitit, watched by ``squeue``, which answers without accounting too."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import OmegaConf
from submitit.core.utils import FailedJobError, FailedSubmissionError

from seedgrid.errors import InputError
from seedgrid.trials import interrupt

# Seconds between two questions to Slurm's controller, which serves many: few at first, for a job that ends at once.
_EVERY, _AT_MOST = 2, 30
_PATIENCE = 15  # seconds that a job's result may take to arrive over a shared file system
_WAITS = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_RUNS = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")


@dataclass(frozen=True)
class Task:
    """What a job runs.

    Attributes:
        composed: Hydra's launcher, which composes a trial's config where the job runs.
        requeues: how often a job whose time is up puts itself back into the queue.
    """

    composed: SlurmLauncher
    requeues: int

    def __call__(self, *arguments: Any) -> JobReturn:
        # Before anything else: Submitit's handler raises inside of whatever runs when the time is up.
        interrupt.listen()
        returned = self.composed(*arguments)
        if (
            interrupt.requested_by() in (signal.SIGUSR1, signal.SIGUSR2)  # SIGTERM: somebody cancelled it
            and returned.return_value.status == "interrupted"
            and int(os.environ.get("SLURM_RESTART_COUNT", 0)) < self.requeues
        ):
            subprocess.run(["scontrol", "requeue", submitit.JobEnvironment().job_id])
        return returned


@dataclass(frozen=True)
class Lost:
    """What comes back instead of an outcome from a job that left none.

    Attributes:
        error: one line; None: it was this command that took it out of the queue.
    """

    error: str | None
    status: str = "failed"


def run_on_slurm(
    composed: SlurmLauncher, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
) -> list[JobReturn]:
    """Run one job a trial, and wait for all of them.

    Asked to stop, it takes jobs that wait out of the queue, and asks those that run to write their checkpoints.

    Raises:
        InputError: there is no Slurm here, or it refuses the jobs.
    """
    options = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in composed.params.items()
    }
    task = Task(composed, options.pop("max_num_timeout"))
    numbered = range(initial_job_idx, initial_job_idx + len(job_overrides))
    arguments = [
        (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", Singleton.get_state())
        for number, overrides in zip(numbered, job_overrides, strict=True)
    ]
    try:
        executor = submitit.AutoExecutor(Path(options.pop("submitit_folder")).expanduser(), cluster="slurm")
    except RuntimeError:
        raise InputError("hydra/launcher=slurm: no Slurm here (no srun); run the command where sbatch works") from None
    common = OmegaConf.structured(BaseQueueConf).keys()
    executor.update_parameters(**{name if name in common else f"slurm_{name}": options[name] for name in options})
    if options["cpus_per_task"]:  # srun does not take it over from sbatch
        executor.update_parameters(slurm_srun_args=[f"--cpus-per-task={options['cpus_per_task']}"])
    try:
        # Not what this command's own job, if it runs in one, was given.
        configured = os.environ.get("SLURM_CONF")
        with submitit.helpers.clean_env(), redirect_stderr(StringIO()):  # sbatch's own words are in the error
            if configured is not None:
                os.environ["SLURM_CONF"] = configured
            jobs = executor.map_array(task, *zip(*arguments, strict=True))
    except (FailedJobError, FailedSubmissionError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sbatch: error: ")
        raise InputError(
            f"hydra/launcher=slurm: Slurm refuses the jobs ({reason}); see hydra.launcher.partition, .account, .qos,"
            " .timeout_min, .gpus_per_node, ..."
        ) from None
    return _wait_for(jobs)


def _wait_for(jobs: Sequence[submitit.Job[JobReturn]]) -> list[JobReturn]:
    returned: dict[str, JobReturn] = {}
    ended: dict[str, float] = {}  # when Slurm said so first
    every, next_look, stopping = _EVERY, 0.0, False
    states: dict[str, str] | None = None
    while len(returned) < len(jobs):
        left = [job for job in jobs if job.job_id not in returned]
        if interrupt.requested() and not stopping:
            stopping, every, next_look = True, _EVERY, 0.0
            names = [job.job_id for job in left]
            subprocess.run(["scancel", "--quiet", "--state=PENDING", *names])
            subprocess.run(["scancel", "--quiet", "--signal=TERM", *names], stderr=subprocess.DEVNULL)
        now = time.monotonic()
        if now >= next_look:
            states, every = _states(), min(_AT_MOST, 1.5 * every)
            next_look = now + every
        for job in left:
            state = None if states is None else states.get(job.job_id, "gone")
            if state is not None and state not in (*_WAITS, *_RUNS):
                ended.setdefault(job.job_id, now)
            elif job.job_id in ended:
                del ended[job.job_id]
            result = _result(job)
            # One that was interrupted may be on its way back into the queue.
            final = result is not None and result.return_value.status != "interrupted"
            if final or (job.job_id in ended and (result or now - ended[job.job_id] > _PATIENCE or stopping)):
                returned[job.job_id] = result or (_instead(None) if stopping else _lost(job, state))
                if result is not None and not final and not stopping:
                    how = "by its time limit, scancel or preemption"
                    returned[job.job_id] = _instead(f"its job {job.job_id} was asked to end before it was done ({how})")
        time.sleep(0.5)
    return [returned[job.job_id] for job in jobs]


def _states() -> dict[str, str] | None:
    """States of this user's jobs, by their ids; None where Slurm does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        return None  # it is asked again
    return dict(line.strip().split("|") for line in answer.stdout.splitlines())


def _result(job: submitit.Job[JobReturn]) -> JobReturn | None:
    """What a job returned; None before."""
    path = job.paths.result_pickle
    if not path.exists():
        return None
    try:
        outcome, result = submitit.core.utils.pickle_load(path)
    except (OSError, EOFError):
        return None
    if outcome == "success" and result.status == JobStatus.COMPLETED:
        return result
    trace = result if outcome == "error" else repr(result._return_value)
    return _instead(f"{trace.strip().splitlines()[-1]}; log: {job.paths.stderr}")


def _lost(job: submitit.Job[JobReturn], state: str | None) -> JobReturn:
    how = {"CANCELLED": "was cancelled", "TIMEOUT": "ran out of time"}.get(state, f"ended ({state})")
    log: Path = job.paths.stderr
    return _instead(f"its job {job.job_id} {how} before it said how the trial went" + f"; log: {log}" * log.exists())


def _instead(error: str | None) -> JobReturn:
    return JobReturn(status=JobStatus.COMPLETED, _return_value=Lost(error))
