"""Plan a budget: how many trials to start, when to stop them, how many to continue. See `python plan.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="plan")
def main(config: DictConfig) -> None:
    from seedgrid.report.planning import plan  # SciPy comes with it

    plan(config)


if __name__ == "__main__":
    run(main)
