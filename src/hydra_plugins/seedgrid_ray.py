"""What Hydra loads of this project to run trials on Ray: the launcher of ``hydra/launcher=ray_trials``."""

# No postponed annotations: Hydra executes plugins before they are in sys.modules, where dataclasses would look them up.
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


def _gpus_a_trial(accelerator: str, per_gpu: int | str) -> float:
    from seedgrid.trials.devices import on_gpu

    per_gpu = 1 if per_gpu == "auto" else int(per_gpu)  # a sweep settles it before it launches
    return 1 / per_gpu if on_gpu(accelerator) else 0


OmegaConf.register_new_resolver("seedgrid.gpus_a_trial", _gpus_a_trial, replace=True)


class RayLauncher(Launcher):
    """Runs jobs as tasks of Ray; the work is in :mod:`seedgrid.sweep.on_ray`."""

    def __init__(self, address: str | None, num_cpus: float, num_gpus: float) -> None:
        self.address = address
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from seedgrid.sweep.launch import Engine
        from seedgrid.sweep.on_ray import run_on_ray

        engine = Engine(self.hydra_context, self.task_function, self.config)
        return run_on_ray(engine, job_overrides, initial_job_idx, self.address, self.num_cpus, self.num_gpus)


@dataclass
class RayLauncherConfig:
    """Config node of the launcher; ``conf/hydra/launcher/ray_trials.yaml`` says what the fields mean."""

    _target_: str = "hydra_plugins.seedgrid_ray.RayLauncher"
    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0


ConfigStore.instance().store(group="hydra/launcher", name="seedgrid_ray", node=RayLauncherConfig, provider="seedgrid")
