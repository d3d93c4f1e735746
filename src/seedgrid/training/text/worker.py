"""What a worker keeps between its trials: they share data and pretrained encoder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from transformers import PreTrainedModel

from seedgrid.training import borrowed
from seedgrid.training.contract import Prepared
from seedgrid.training.process import release_memory
from seedgrid.training.text.data.tokens import Tokens, read_tokens, used_words
from seedgrid.training.text.model.layers import freeze
from seedgrid.training.text.model.network import build_network, forget_pretrained
from seedgrid.training.text.model.packing import can_pack
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.model.vocabulary import keep_used_words
from seedgrid.training.text.settings import TextSettings
from seedgrid.training.text.training import files_of


@lru_cache(maxsize=4)
def tokens_of(path: Path) -> Tokens:
    """The tokens of a file."""
    return read_tokens(path)


@lru_cache(maxsize=1)
def words_of(train: Path, validation: Path) -> torch.Tensor:
    """The word pieces that occur in either file; int64."""
    return torch.from_numpy(used_words(tokens_of(train), tokens_of(validation)))


STATIC = {"cuda"}  # kinds of devices for which a launch costs more than a few fillers
_steps: dict[tuple, TrainingStep] = {}  # at most one


def step_of(settings: TextSettings, prepared: Prepared, device: torch.device) -> TrainingStep:
    """What the trials of a configuration train with on a device: the first makes it, and each begins with it anew.

    So a worker reads pretrained weights once, and records a GPU's steps once.
    """
    key = (prepared.fingerprint, prepared.content["model_folder"], settings.trainer.capture, device)
    if key not in _steps:
        borrowed.note(_KEPT)
        forget_step()
        _steps[key] = new_step(settings, prepared, device)
        forget_pretrained()  # the step keeps the weights that it starts from
    return _steps[key]


def forget_step() -> None:
    """Give back the memory of what :func:`step_of` made."""
    _steps.clear()
    release_memory()


def _put_back(steps: int) -> None:
    forget_step()


_KEPT = (lambda: len(_steps), _put_back)  # goes with what the process has borrowed


def new_step(settings: TextSettings, prepared: Prepared, device: torch.device) -> TrainingStep:
    """The pretrained encoder, the same in every trial; what is new, from the init seed; and how they are trained."""
    model, recipe, files = settings.model, settings.recipe, files_of(settings, prepared)
    network = build_network(
        files.model, prepared.labels, settings.seed.init, model.layers, model.dropout, recipe.reinitialize
    )
    if packs(settings, network):
        keep_used_words(network, words_of(files.train, files.validation))
    if recipe.freeze is not None:
        freeze(network, recipe.freeze)
    static = has_static_shapes(settings, network, device)
    capture = static and settings.trainer.capture and prepared.precision != "16-mixed"
    return TrainingStep(network, recipe, device, prepared.precision, capture)


def has_static_shapes(settings: TextSettings, network: PreTrainedModel, device: torch.device) -> bool:
    """Whether a network's batches are filled up to a few shapes, to be recorded."""
    return packs(settings, network) and device.type in STATIC


def packs(settings: TextSettings, network: PreTrainedModel) -> bool:
    """Whether a network's batches are packed."""
    return settings.model.packing and can_pack(network)
