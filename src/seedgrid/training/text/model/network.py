"""The network of a trial: the pretrained encoder, and new layers drawn from the init seed."""

from __future__ import annotations

import copy
from collections import Counter
from functools import lru_cache
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from seedgrid.errors import InputError
from seedgrid.seeds import new_layer_weights
from seedgrid.training.text.model.layers import encoder_layers, find_embeddings


def build_network(
    folder: Path,
    labels: tuple[str, ...],
    init_seed: int,
    layers: int | None = None,
    dropout: float | None = None,
    reinitialize: int = 0,
) -> PreTrainedModel:
    """A sequence classifier with pretrained weights and a new head, on the CPU, in float32.

    The pretrained weights are the same in every trial and read from disk once a process. What the checkpoint does not
    have, and the classification head even if it has one, is drawn from the init seed: weights normal with the model's
    own ``initializer_range``, biases 0.

    Args:
        folder: an ordinary Hugging Face model folder.
        labels: class names.
        init_seed: draws what is new.
        layers: keep the first so many encoder layers; None: all.
        dropout: probability everywhere; None: as pretrained.
        reinitialize: so many layers at the top, and the pooler, are new too (Zhang et al. 2021, section 5).

    Raises:
        InputError: the folder holds no encoder that Transformers can classify with, or it lacks encoder weights.
    """
    network = copy.deepcopy(_pretrained(folder, labels, layers, dropout))
    if reinitialize:
        network.new_names += _top_of(network, reinitialize, network.new_names)
    draw_new(network, init_seed)
    return network


def draw_new(network: PreTrainedModel, init_seed: int) -> None:
    """Draw what is new in a network that :func:`build_network` made, in place."""
    parameters = dict(network.named_parameters())
    seen: Counter[tuple[int, ...]] = Counter()
    with torch.no_grad():
        for name in network.new_names:
            parameter = parameters[name]
            if parameter.ndim == 1:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            else:
                shape = tuple(parameter.shape)
                scale = getattr(network.config, "initializer_range", 0.02)
                parameter.copy_(torch.from_numpy(new_layer_weights(init_seed, shape, scale, repeat=seen[shape])))
                seen[shape] += 1


def input_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """What a network is given of an example; the saved best model's tokenizer gives the same."""
    # Models with one kind of segment (RoBERTa) or none (DistilBERT) number it otherwise or do not take it.
    segments = ("token_type_ids",) if getattr(config, "type_vocab_size", 0) > 1 else ()
    return ("input_ids", *segments, "attention_mask")


def pads_left(config: PreTrainedConfig) -> bool:
    """Whether padding goes before the text: where the head reads whatever token is the last (XLNet)."""
    return getattr(config, "summary_type", None) == "last"


def _top_of(network: PreTrainedModel, layers: int, new: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the parameters of the top layers and the pooler, without those that are new already."""
    top = {id(parameter) for layer in encoder_layers(network)[-layers:] for parameter in layer.parameters()}
    names = (name for name, parameter in network.named_parameters() if id(parameter) in top or ".pooler." in name)
    return tuple(name for name in names if name not in new)


@lru_cache(maxsize=1)
def _pretrained(folder: Path, labels: tuple[str, ...], layers: int | None, dropout: float | None) -> PreTrainedModel:
    """The network with its pretrained weights; its ``new_names`` are of the parameters that are to be drawn anew."""
    transformers_logging.set_verbosity_error()  # that the head is new is as it should be
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)  # it would ask, and wait
    except Exception as error:
        raise InputError(f"model: {folder}/config.json cannot be read: {_first_line(error)}") from None
    if layers is not None:
        if layers > config.num_hidden_layers:
            raise InputError(f"model.layers={layers}: the model has only {config.num_hidden_layers}; give at most that")
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):  # ModernBERT's attention is of two kinds
            config.layer_types = config.layer_types[:layers]
    if dropout is not None:
        # Where a head has no probability of its own (None), it takes the encoder's.
        for name, value in config.to_dict().items():
            if "dropout" in name and type(value) in (int, float):
                setattr(config, name, dropout)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "single_label_classification"  # whatever the checkpoint was trained for before
    try:
        network, info = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:
        raise InputError(f"model: {folder} cannot be loaded as a classifier: {_first_line(error)}") from None
    # Sizes that do not fit are the old head's, which is drawn anew, or those of a folder with another model's weights.
    missing = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    prefix = f"{network.base_model_prefix}."
    new = []
    for name, _ in network.named_parameters():
        if not name.startswith(prefix):
            new.append(name)
        elif name in missing:
            if name.startswith(f"{prefix}decoder."):  # its encoder, if it lacked that, would have come first
                raise InputError(
                    f"model: {folder} holds the encoder of {config.model_type} alone; give the whole model"
                )
            if "pooler" not in name:
                raise InputError(f"model: the weights in {folder} lack {name}; give a complete pretrained encoder")
            new.append(name)
    network.new_names = tuple(new)
    find_embeddings(network)
    return network.train()


def forget_pretrained() -> None:
    """Give back the memory of the pretrained weights, until they are read again."""
    _pretrained.cache_clear()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
