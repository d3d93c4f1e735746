"""What Hydra loads of this project to run trials on Slurm: the launcher of ``hydra/launcher=slurm``."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


def _gpus_a_job(accelerator: str) -> int | None:
    from seedgrid.trials.devices import on_gpu

    return 1 if on_gpu(accelerator) else None


OmegaConf.register_new_resolver("seedgrid.gpus_a_job", _gpus_a_job, replace=True)


class SlurmLauncher(Launcher):
    """Runs trials as jobs of Slurm; the work is in :mod:`seedgrid.sweep.on_slurm`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as Composed

        from seedgrid.sweep.on_slurm import run_on_slurm

        composed = Composed(**self.options)
        composed.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
        return run_on_slurm(composed, job_overrides, initial_job_idx)
