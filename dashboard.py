"""Lay out a workspace and a report in Weights & Biases for a sweep. See `python dashboard.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="dashboard")
def main(config: DictConfig) -> None:
    from seedgrid.report.dashboard import dashboard  # matplotlib and SciPy come with it

    dashboard(config)


if __name__ == "__main__":
    run(main)
