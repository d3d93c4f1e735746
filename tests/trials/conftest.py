"""Trials of seconds: a tiny encoder on generated sentences."""

import hydra
import pytest
from omegaconf import open_dict

from seedgrid.settings import read_settings


@pytest.fixture(scope="session")
def tiny(tiny_model):
    """Overrides of a trial that takes about a second: 18 steps of a tiny encoder."""
    return [
        f"model.path={tiny_model}",
        "model.learning_rate=1e-3",
        "task.source.train_size=90",
        "task.source.validation_size=40",
        "evaluation.per_epoch=3",
        "logger=none",
        "trainer=cpu",
    ]


@pytest.fixture(scope="session")
def compose(repository):
    """Settings of composed overrides, as the command line would have them."""

    def composed(overrides):
        with hydra.initialize_config_dir(str(repository / "conf"), version_base="1.3"):
            config = hydra.compose("train", overrides)
        with open_dict(config):
            config.pop("hydra", None)
        return read_settings(config)

    return composed
