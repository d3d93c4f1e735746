"""Send a sweep's trials to Weights & Biases, from their records. See `python upload.py --help`."""

import hydra
from omegaconf import DictConfig

from seedgrid.composition import run


@hydra.main(version_base="1.3", config_path="conf", config_name="upload")
def main(config: DictConfig) -> None:
    from seedgrid.sweep.upload import upload  # pyarrow and rich come with it

    upload(config)


if __name__ == "__main__":
    run(main)
