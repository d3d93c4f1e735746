"""Runs a sweep's jobs as tasks of Ray: on this machine, or on a cluster that is joined by its address."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from omegaconf import open_dict

from seedgrid.errors import InputError
from seedgrid.sweep.launch import Engine
from seedgrid.trials import interrupt
from seedgrid.trials.devices import workers


def run_on_ray(
    engine: Engine,
    jobs: Sequence[Sequence[str]],
    first: int,
    address: str | None,
    num_cpus: float,
    num_gpus: float,
) -> list[JobReturn]:
    """Run all jobs, as many at once as there is room for; asked to stop, let those that run write their checkpoints.

    Args:
        engine: whose jobs.
        jobs: each one's overrides.
        first: the first one's number.
        address: of a cluster; None: Ray is started on this machine, and ended with this process.
        num_cpus, num_gpus: that a job takes.

    Raises:
        InputError: there is no Ray, nothing at that address, or no room for a job on this machine.
        Exception: what ended a job's worker, once all other jobs are through.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError:
        raise InputError("hydra/launcher=ray_trials: Ray is not installed; pip install ray") from None
    own = {"num_cpus": workers("cpu", 1, 1), "include_dashboard": False}
    try:
        if address is not None:
            _check_answer(address)
        ray.init(address or "local", log_to_driver=False, logging_level="error", **({} if address else own))
    except Exception as error:  # a traceback in it ends with what Ray has to say
        reason = str(error.__cause__ or error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(f"hydra.launcher.address={address or 'null'}: no Ray there ({reason[0]})") from None
    interrupt.listen(parent=True)  # again: Ray has put a handler in front of ours that ends the process at SIGTERM
    try:
        _check_room([node["Resources"] for node in ray.nodes() if node["Alive"]], address, num_cpus, num_gpus)
        # A worker that dies takes its job alone along; the sweep launches that again, in its own way.
        task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(_run)
        shared = ray.put((engine, Singleton.get_state(), os.getcwd()))
        pending = {task.remote(shared, list(overrides), first + place): place for place, overrides in enumerate(jobs)}
        results: dict[int, JobReturn] = {}
        lost: Exception | None = None
        told = False
        while pending:
            if interrupt.requested() and not told:
                told = True
                for reference in pending:
                    ray.cancel(reference)  # comes to a worker as Ctrl-C does; what has not begun never will
            for reference in ray.wait(list(pending), timeout=0.2)[0]:
                place = pending.pop(reference)
                try:
                    results[place] = ray.get(reference)
                except RayTaskError as error:
                    lost = error.cause or error
                except RayError as error:
                    lost = error
        if lost is not None:
            raise lost
        return [results[place] for place in range(len(jobs))]
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    """Raise OSError where nothing listens at ``HOST:PORT``: Ray itself asks for minutes before it says so."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():  # Ray is quick about all else: auto, or what is no address
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _check_room(nodes: Sequence[dict[str, float]], address: str | None, num_cpus: float, num_gpus: float) -> None:
    """Raise InputError where a job would wait for ever; say it of a cluster, which a larger node may join."""
    if any(node.get("CPU", 0) >= num_cpus and node.get("GPU", 0) >= num_gpus for node in nodes):
        return
    most = [max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU")]
    line = (
        f"hydra.launcher.num_cpus={num_cpus:g}, num_gpus={num_gpus:g}: a trial takes more than a node of Ray has "
        f"({most[0]:g} CPUs, {most[1]:g} GPUs)"
    )
    if address is None:
        raise InputError(f"{line}; give less")
    print(f"{line}; waiting for one that has", file=sys.stderr)


def _run(shared: tuple[Engine, dict[Any, Any], str], overrides: list[str], number: int) -> JobReturn:
    """One job, in a worker of Ray."""
    engine, singletons, folder = shared
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder on {socket.gethostname()}; all nodes of a cluster need to share it")
    os.chdir(folder)  # relative paths mean what they mean to the command
    setup_globals()
    Singleton.set_state(singletons)
    config = engine.hydra_context.config_loader.load_sweep_config(engine.config, overrides)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(number), number
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=engine.hydra_context,
        task_function=engine.task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
