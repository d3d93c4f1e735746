"""Is it the method or the seed? Compare two sweeps. See `python compare.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="compare")
def main(config: DictConfig) -> None:
    from seedgrid.report.comparing import compare  # matplotlib and SciPy come with it

    compare(config)


if __name__ == "__main__":
    run(main)
