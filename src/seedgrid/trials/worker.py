"""What a worker keeps between its trials: they share data and pretrained encoder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from seedgrid.data.tokens import Tokens, read_tokens, used_words
from seedgrid.settings import Settings
from seedgrid.trials.preparation import Prepared


@lru_cache(maxsize=4)
def tokens_of(path: Path) -> Tokens:
    """The tokens of a file."""
    return read_tokens(path)


@lru_cache(maxsize=1)
def words_of(train: Path, validation: Path) -> torch.Tensor:
    """The word pieces that occur in either file; int64."""
    return torch.from_numpy(used_words(tokens_of(train), tokens_of(validation)))


def encoded_before_training(settings: Settings, prepared: Prepared) -> list[torch.Tensor]:
    """What trials before this one found the pretrained encoder to make of the validation batches; empty: none did."""
    return _encoded(
        prepared.model_folder,
        settings.model.layers,
        prepared.validation,
        settings.evaluation.batch_size,
        prepared.device,
        prepared.precision,
        settings.trainer.threads,
    )


@lru_cache(maxsize=1)
def _encoded(*conditions: object) -> list[torch.Tensor]:
    return []
