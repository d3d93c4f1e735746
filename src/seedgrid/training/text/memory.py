"""What a trial takes of a GPU's memory, by its model's configuration."""

from __future__ import annotations

import json
from pathlib import Path

from seedgrid.training.text.model.pretrained import weight_files
from seedgrid.training.text.settings import TextSettings

_ITEM_SIZES = {"float16": 2, "bfloat16": 2}  # bytes a stored weight; others: 4


def memory_of_a_trial(settings: TextSettings, model_folder: Path) -> tuple[float, float]:
    """A model's number of weights, and bytes that a trial of it takes on a GPU, by a closed estimate.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: the model's configuration does not say its sizes.
    """
    config = json.loads((model_folder / "config.json").read_text())

    def size(*names: str) -> int:
        return int(config[next((name for name in names if name in config), names[0])])

    width = size("hidden_size", "dim", "d_model", "n_embd")
    layers = settings.model.layers or size("num_hidden_layers", "n_layers", "num_layers", "n_layer")
    heads = size("num_attention_heads", "n_heads", "num_heads", "n_head")
    stored = str(config.get("dtype") or config.get("torch_dtype"))
    weights = sum(path.stat().st_size for path in weight_files(model_folder)) / _ITEM_SIZES.get(stored, 4)
    # Each weight: itself, what the next trial starts from, its gradient and Adam's two moments in float32, its copy for
    # products in half precision.
    fixed = (4 + 4 + 4 + 8 + 2) * weights
    # What a layer keeps for the backward pass: 34 bytes a token and unit of width, and 5 a token, head and token of its
    # sequence, in half precision (Korthikanti et al. 2022, "Reducing activation recomputation", section 4.1). Twice
    # that, for float32 and for what mixed precision keeps in both.
    length = settings.data.max_length
    tokens = settings.recipe.batch_size * length
    activations = 2 * layers * tokens * (34 * width + 5 * heads * length)
    return weights, fixed + activations
