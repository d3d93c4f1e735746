"""Watch a sweep: what runs, the best so far, when it should end. See `python status.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="status")
def main(config: DictConfig) -> None:
    from seedgrid.sweep.watch import watch  # pandas and pyarrow come with it

    watch(config)


if __name__ == "__main__":
    run(main)
