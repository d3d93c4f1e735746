"""Serve the reports of all sweeps to a browser on this machine. See `python view.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="view")
def main(config: DictConfig) -> None:
    from seedgrid.report.viewing import view  # matplotlib and SciPy come with it

    view(config)


if __name__ == "__main__":
    run(main)
