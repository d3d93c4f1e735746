"""One pass of the network before any trial starts: whether it can learn a task at all, which only it can tell."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from seedgrid.errors import InputError, one_line
from seedgrid.training.text.data.datamodule import collate
from seedgrid.training.text.data.tokens import Tokens
from seedgrid.training.text.model.layers import depths, freeze
from seedgrid.training.text.model.network import build_network, forget_pretrained, input_names, pads_left
from seedgrid.training.text.settings import ModelSettings, Recipe


def check_network(
    folder: Path,
    labels: tuple[str, ...],
    model: ModelSettings,
    recipe: Recipe,
    parts: Sequence[Tokens],
    max_length: int,
) -> None:
    """Build the network, and let it classify the longest example that there could be beside a short one.

    Args:
        folder: pretrained weights and tokenizer.
        labels: class names.
        model, recipe: what is kept of the weights, and how layers are treated.
        parts: all tokens that it will be given: training, validation, test.
        max_length: word pieces after which an example is cut.

    Raises:
        InputError: weights, word pieces, positions, padding or layers are not as they need to be.
    """
    network = build_network(folder, labels, 0, model.layers, model.dropout, recipe.reinitialize).eval()
    if recipe.freeze is not None:
        freeze(network, recipe.freeze)
    if recipe.layer_decay < 1:
        depths(network)
    known, largest = network.get_input_embeddings().num_embeddings, max(int(tokens.ids.max()) for tokens in parts)
    if largest >= known:
        raise InputError(
            f"model: the tokenizer in {folder} gives word piece {largest}, but the model has only {known} embeddings;"
            " take the tokenizer that belongs to the model, or save it after resize_token_embeddings"
        )
    tokens = parts[0]
    shortest, longest = int(tokens.lengths.argmin()), int(tokens.lengths.argmax())
    error = _failure(network, _lengthened(tokens, [longest, shortest], max_length))
    if error is not None:
        if _failure(network, _lengthened(tokens, [longest], 0)) is None:
            _say_which(network, folder, tokens, [longest, shortest], max_length)
        raise InputError(f"model: {folder} cannot classify these texts: {error}; choose another model")
    forget_pretrained()  # the process that trains may be another


def _say_which(network: PreTrainedModel, folder: Path, tokens: Tokens, indices: list[int], max_length: int) -> None:
    """Raise InputError with what keeps a network that classifies one example from a batch, or from longer ones."""
    if network.config.pad_token_id is None and _failure(network, _lengthened(tokens, indices, 0)) is not None:
        raise InputError(
            f"model: {folder}/config.json names no padding token, without which {network.config.model_type} finds no"
            ' end of a text; add "pad_token_id", for instance with the number of its "eos_token_id"'
        )

    def fails(length: int) -> bool:
        return _failure(network, _lengthened(tokens, indices[:1], length)) is not None

    if fails(max_length):
        most = bisect_left(range(max_length), True, key=fails) - 1
        raise InputError(f"data.max_length={max_length}: the model can number only {most} positions; give at most that")


def _lengthened(tokens: Tokens, indices: list[int], length: int) -> Tokens:
    """Examples of which the first has at least so many word pieces, by repeating its second one."""
    ids, segments = (
        [values[tokens.starts[index] : tokens.starts[index + 1]] for index in indices]
        for values in (tokens.ids, tokens.segments)
    )
    missing = max(length - len(ids[0]), 0)
    for values in (ids, segments):
        values[0] = np.insert(values[0], [1] * missing, values[0][1:2])
    starts = np.cumsum([0, *map(len, ids)])
    return Tokens(np.concatenate(ids), np.concatenate(segments), starts, tokens.label[indices])


def _failure(network: PreTrainedModel, tokens: Tokens) -> str | None:
    """Why a network cannot classify a batch, in one line; None if it can."""
    config = network.config
    batch = collate(tokens, range(len(tokens)), config.pad_token_id or 0, pads_left(config))
    try:
        with torch.inference_mode():
            network(**{name: batch[name] for name in input_names(config)})
    except Exception as error:  # architectures have their own kinds
        return one_line(error)
    return None
