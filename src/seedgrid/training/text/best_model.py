"""The best model as an ordinary Hugging Face folder."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedModel

from seedgrid.training.text.data.tokens import tokenizer_files
from seedgrid.training.text.model.network import input_names, pads_left
from seedgrid.training.text.model.vocabulary import whole_state


def furnish(folder: Path, network: PreTrainedModel, tokenizer_folder: Path, max_length: int) -> None:
    """Write all but the weights into an empty folder.

    Args:
        folder: where.
        network: what the weights are of.
        tokenizer_folder: where its tokenizer lies.
        max_length: word pieces after which an example is cut.
    """
    config = copy.deepcopy(network.config)
    config.architectures = [type(network).__name__]
    config.save_pretrained(folder)
    for file in tokenizer_files(tokenizer_folder):
        shutil.copy(file, folder)
    # The tokenizer stays as it is, but gives by itself what the network was given: where its texts are cut, whether
    # their segments are told apart, on which side they are padded.
    path = folder / "tokenizer_config.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    own |= {
        "model_max_length": max_length,
        "model_input_names": input_names(network.config),
        "padding_side": "left" if pads_left(network.config) else "right",
    }
    path.write_text(json.dumps(own, indent=2))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if tokenizer.pad_token is None and config.pad_token_id is not None:
        path.write_text(json.dumps(own | {"pad_token": tokenizer.convert_ids_to_tokens(config.pad_token_id)}, indent=2))


def whole(network: PreTrainedModel, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of the network as Transformers saves it: all of its vocabulary, and what has several names once."""
    # Of weights that go by several names (T5's words), one; loading ties the others to it.
    names, once = (dict(network.named_parameters(remove_duplicate=each)) for each in (False, True))
    return {name: tensor for name, tensor in whole_state(network, weights).items() if name in once or name not in names}
