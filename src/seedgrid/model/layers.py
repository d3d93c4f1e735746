"""An encoder's layers, for recipes that treat them differently."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from seedgrid.errors import InputError


def encoder_layers(network: PreTrainedModel) -> torch.nn.ModuleList:
    """The layers of the encoder, the lowest first.

    Raises:
        InputError: the architecture has no list of them (ALBERT's share their weights).
    """
    for module in network.base_model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == network.config.num_hidden_layers:
            return module
    raise InputError(
        f"recipe: {network.config.model_type} has no list of layers; leave recipe.layer_decay=1, recipe.reinitialize=0"
        " and recipe.freeze=null or 0"
    )


def embedding_parameters(network: PreTrainedModel) -> list[torch.nn.Parameter]:
    """Those below the first layer: words, positions, segments, their norm, and ELECTRA's projection."""
    return [
        parameter
        for name, module in network.base_model.named_children()
        if "embeddings" in name
        for parameter in module.parameters()
    ]


def depths(network: PreTrainedModel) -> dict[str, int]:
    """How far below the top layer each parameter is: 0 in the top layer and the head, the most in the embeddings."""
    layers = encoder_layers(network)
    depth = {id(parameter): len(layers) for parameter in embedding_parameters(network)}
    for below, layer in enumerate(reversed(layers)):
        depth |= {id(parameter): below for parameter in layer.parameters()}
    return {name: depth.get(id(parameter), 0) for name, parameter in network.named_parameters()}


def layer_groups(network: PreTrainedModel) -> dict[str, list[torch.nn.Parameter]]:
    """The parameters that are trained, the lowest first: ``embeddings``, ``layer_1`` and on, ``head`` (all else).

    Without a list of layers (ALBERT): ``encoder`` and ``head``. A group that is frozen as a whole is left out.
    """
    try:
        layers = encoder_layers(network)
    except InputError:
        groups = {"encoder": list(network.base_model.parameters())}
    else:
        groups = {"embeddings": embedding_parameters(network)}
        groups |= {f"layer_{number}": list(layer.parameters()) for number, layer in enumerate(layers, start=1)}
    below = {id(parameter) for members in groups.values() for parameter in members}
    groups["head"] = [parameter for parameter in network.parameters() if id(parameter) not in below]
    trained = {name: [one for one in members if one.requires_grad] for name, members in groups.items()}
    return {name: members for name, members in trained.items() if members}


def freeze(network: PreTrainedModel, layers: int) -> None:
    """Leave the embeddings and the lowest ``layers`` layers as they are."""
    frozen = embedding_parameters(network)
    for layer in encoder_layers(network)[:layers] if layers else ():
        frozen += layer.parameters()
    for parameter in frozen:
        parameter.requires_grad_(False)
