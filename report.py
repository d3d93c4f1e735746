"""Turn trials into tables, figures and one page. See `python report.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="report")
def main(config: DictConfig) -> None:
    from seedgrid.report.entry import report  # matplotlib and SciPy come with it

    report(config)


if __name__ == "__main__":
    run(main)
