"""Which kinds of training there are; one is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seedgrid.errors import InputError
from seedgrid.settings import Settings, read_config
from seedgrid.training.contract import Training

# By ``training.kind``: the room, and what its settings and its training are called.
_KINDS = {"text": ("text", "TextSettings", "TextTraining"), "own": ("own", "OwnSettings", "OwnTraining")}


def read_settings(config: DictConfig) -> Settings:
    """Check a trial's composed config; as :func:`seedgrid.settings.read_config`."""
    try:
        kind = OmegaConf.select(config, "training.kind")
    except OmegaConfBaseException as error:
        raise InputError(f"training: {str(error).splitlines()[0]}") from None
    if kind not in _KINDS:
        raise InputError(f"training.kind={kind}: give one of {', '.join(_KINDS)}, or choose training=NAME")
    return read_config(config, _part(kind, "settings", 1))


def training_of(settings: Settings) -> Training:
    """The training of a trial's settings."""
    return _part(settings.training.kind, "training", 2)(settings)


def _part(kind: str, module: str, name: int) -> type:
    return getattr(import_module(f"seedgrid.training.{_KINDS[kind][0]}.{module}"), _KINDS[kind][name])
