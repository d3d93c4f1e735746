"""Fine-tune: one trial, or with -m a sweep of seeds. See `python train.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> object:
    from seedgrid.trials.entry import train  # torch comes with it: only where a trial runs

    return train(config)


if __name__ == "__main__":
    run(main)
