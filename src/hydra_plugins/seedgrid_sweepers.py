"""What Hydra loads of this project: its sweepers, its checks of Hydra's own keys, what counts a machine's workers."""

# No postponed annotations: Hydra executes plugins before they are in sys.modules, where dataclasses would look them up.
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


def _workers(accelerator: str, threads: int, per_gpu: int | str) -> int:
    from seedgrid.trials.devices import workers

    try:
        return workers(accelerator, int(threads), int(per_gpu))
    except ValueError:
        return 1  # auto, which a sweep settles before it launches; or a wrong type, which the check of the config names


OmegaConf.register_new_resolver("seedgrid.workers", _workers, replace=True)


class GridSweeper(Sweeper):
    """Runs the trials of a sweep that are not done yet; the work is in :mod:`seedgrid.sweep.grid`.

    Hydra calls :meth:`sweep`, which ends as a command does; :mod:`seedgrid.sweep.in_process` calls :meth:`work`.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from seedgrid.sweep.expand import read_once

        read_once(hydra_context.config_loader)
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> Sequence[Any]:
        from seedgrid.sweep.grid import run_command

        run_command(lambda: self.work(arguments))
        return []

    def work(self, arguments: list[str], say: Callable[..., None] = print) -> tuple[list[Path], bool]:
        """Run what is missing, and summarize by ``say``; the sweeps' folders, and whether anything failed."""
        from seedgrid.sweep.grid import run_grid
        from seedgrid.sweep.launch import Engine

        return run_grid(Engine(self.hydra_context, self.task_function, self.config, say), self.params, arguments)


class StartManySweeper(GridSweeper):
    """Starts many trials, stops them early, continues some; the work is in :mod:`seedgrid.sweep.start_many`."""

    def __init__(self, params: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__(params)
        self.options = options

    def work(self, arguments: list[str], say: Callable[..., None] = print) -> tuple[list[Path], bool]:
        from seedgrid.sweep.launch import Engine
        from seedgrid.sweep.start_many import run_start_many

        engine = Engine(self.hydra_context, self.task_function, self.config, say)
        return run_start_many(engine, self.params, arguments, self.options)


class LeanResults(Callback):
    """Takes the configs out of what a job sends back, which the sweeper never reads.

    Below 16 KiB a worker's result goes through its pipe in one system call. A worker that is killed between the two
    that a larger one takes leaves the sweep waiting for the rest for ever.
    """

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = job_return.overrides = None


class OwnKeys(Callback):
    """Refuses, before any work, what Hydra's own keys would have this project do otherwise than the user means."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._check(config)
        if config.hydra.runtime.choices["hydra/sweeper"] == "start_many":
            sys.exit("error: hydra/sweeper=start_many starts trials only with -m: seedgrid train -m ...")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._check(config)
        sweeper = config.hydra.runtime.choices["hydra/sweeper"]
        if sweeper not in _SWEEPERS:
            sys.exit(f"error: hydra/sweeper={sweeper}: a sweep is run by {' or '.join(_SWEEPERS)}; leave it out")

    def _check(self, config: DictConfig) -> None:
        if config.hydra.job.chdir:
            sys.exit("error: hydra.job.chdir=true: trials lie in sweep=FOLDER, from wherever they run; leave it out")
        for part in ("run", "sweep"):
            for name, folder in OmegaConf.to_container(config.hydra[part], resolve=False).items():
                if folder not in (".", None):
                    sys.exit(f"error: hydra.{part}.{name}={folder}: trials lie in sweep=FOLDER; give that instead")


@dataclass
class GridSweeperConfig:
    """Config node of the sweeper ``grid``.

    Attributes:
        params: overrides that the command line may replace, for experiment files: ``seed.init: range(0,25)``.
    """

    _target_: str = "hydra_plugins.seedgrid_sweepers.GridSweeper"
    params: dict[str, str] | None = field(default_factory=dict)


@dataclass
class StartManySweeperConfig(GridSweeperConfig):
    """Config node of the sweeper ``start_many``; :class:`seedgrid.sweep.plan.Options` says what the fields mean."""

    _target_: str = "hydra_plugins.seedgrid_sweepers.StartManySweeper"
    _convert_: str = "all"
    start: Any = None
    stop_at: Any = None
    keep: Any = None
    extend: Any = 0
    rungs: Any = None
    budget: Any = None
    plan_from: Any = None
    draw: Any = "spread"
    draw_seed: Any = 0
    resume_by: Any = "checkpoint"


_SWEEPERS = {"grid": GridSweeperConfig, "start_many": StartManySweeperConfig}
for _name, _node in _SWEEPERS.items():
    ConfigStore.instance().store(group="hydra/sweeper", name=_name, node=_node, provider="seedgrid")
