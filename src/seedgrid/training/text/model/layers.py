"""An encoder's layers, for recipes that treat them differently."""

from __future__ import annotations

from contextlib import suppress

import torch
from transformers import PreTrainedModel

from seedgrid.errors import InputError


def encoder_layers(network: PreTrainedModel) -> torch.nn.ModuleList:
    """The layers of the encoder, the lowest first.

    Raises:
        InputError: the architecture has no list of them (ALBERT's share their weights), or two (T5, BART).
    """
    for module in network.base_model.modules():
        if network.config.is_encoder_decoder:
            break
        if isinstance(module, torch.nn.ModuleList) and len(module) == network.config.num_hidden_layers:
            return module
    raise InputError(
        f"recipe: {network.config.model_type} has no one list of layers; leave recipe.layer_decay=1,"
        " recipe.reinitialize=0 and recipe.freeze=null or 0"
    )


class _FirstLayerReachedError(Exception):
    """Ends a pass that has come to the first layer."""


def find_embeddings(network: PreTrainedModel) -> None:
    """Note which parameters the first layer's input is made of, before any is frozen or cut.

    Whatever an architecture calls them, and wherever it keeps them: words, positions (relative ones too), segments,
    their norms and projections. A pass of two tokens as far as the first layer shows it.
    """
    modules = network.base_model.modules()
    first = next((module[0] for module in modules if isinstance(module, torch.nn.ModuleList) and len(module)), None)
    reached: list[torch.Tensor] = []

    def stop(module: torch.nn.Module, positional: tuple, named: dict) -> None:
        reached.extend(value for value in (*positional, *named.values()) if isinstance(value, torch.Tensor))
        raise _FirstLayerReachedError

    below: set[int] = set()
    if first is not None:
        hook, training = first.register_forward_pre_hook(stop, with_kwargs=True), network.training
        try:
            # Whatever else a pass may fail by is said where the embeddings are asked for.
            with suppress(Exception), torch.enable_grad():
                network.eval()(input_ids=torch.zeros(1, 2, dtype=torch.int64))
        finally:
            hook.remove()
            network.train(training)
        below = _made_of(reached)
    network.embedding_names = [name for name, parameter in network.named_parameters() if id(parameter) in below]


def _made_of(tensors: list[torch.Tensor]) -> set[int]:
    """Identities of the parameters that tensors were computed from."""
    found, seen, left = set(), set(), [tensor.grad_fn for tensor in tensors]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            found.add(id(getattr(node, "variable", None)))
            left += [before for before, _ in node.next_functions]
    return found


def embedding_parameters(network: PreTrainedModel) -> list[torch.nn.Parameter]:
    """Those below the first layer, as :func:`find_embeddings` noted them when the network was built.

    Raises:
        InputError: it found none.
    """
    if not network.embedding_names:
        raise InputError(
            f"recipe: what of {network.config.model_type} lies below its first layer cannot be told; leave"
            " recipe.layer_decay=1 and recipe.freeze=null"
        )
    return [network.get_parameter(name) for name in network.embedding_names]


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
        layers, groups = encoder_layers(network), {"embeddings": embedding_parameters(network)}
    except InputError:
        groups = {"encoder": list(network.base_model.parameters())}
    else:
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
