"""Whether a model and a task can be used together, by their files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from seedgrid.errors import InputError
from seedgrid.training.text.data.sources import TaskData
from seedgrid.training.text.model.pretrained import PACKABLE
from seedgrid.training.text.settings import ModelSettings, TextSettings


def check_fit(settings: TextSettings, model_folder: Path) -> None:
    """Raise InputError unless the model has the layers to keep and positions for the longest example.

    A model that cannot be packed is no error: a line says so.
    """
    path = model_folder / "config.json"
    try:
        config = json.loads(path.read_text())
        depth = next((config[key] for key in ("num_hidden_layers", "n_layers", "num_layers") if key in config), None)
        # DeBERTa-v3 counts distances alone.
        numbered = config.get("position_biased_input", True)
        positions = config.get("max_position_embeddings") if numbered else None
        architecture = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); fetch or save the model again") from None
    layers, length = settings.model.layers, settings.data.max_length
    if layers is not None and depth is not None and layers > depth:
        raise InputError(f"model.layers={layers}: the model has only {depth}; give at most that")
    recipe, kept = settings.recipe, layers or depth
    for key, count in (("reinitialize", recipe.reinitialize), ("freeze", recipe.freeze or 0)):
        if count and kept is not None and count > kept:
            raise InputError(f"recipe.{key}={count}: the model has only {kept} layers; give at most that")
    if "num_hidden_groups" in config and (recipe.reinitialize or recipe.freeze or recipe.layer_decay < 1):
        raise InputError(
            f"recipe={recipe.name}: the layers of {architecture} share their weights; leave recipe.reinitialize=0,"
            " recipe.layer_decay=1 and recipe.freeze=null or 0"
        )
    if isinstance(positions, int) and 0 < positions < length:
        raise InputError(f"data.max_length={length}: the model has only {positions} positions; give at most that")
    if settings.model.packing and architecture not in PACKABLE:
        print(
            f"model.packing=true: {architecture} is padded all the same; packed are {', '.join(sorted(PACKABLE))}",
            file=sys.stderr,
        )


def say_if_not_recorded(model: ModelSettings, model_folder: Path, precision: str) -> None:
    """Print a line if a GPU's steps cannot be recorded (``trainer.capture``)."""
    architecture = json.loads((model_folder / "config.json").read_text()).get("model_type")
    if precision == "16-mixed":
        reason = "trainer.precision=16-mixed looks into each step's gradients; bf16-mixed does not"
    elif not model.packing:
        reason = "model.packing=false"
    elif architecture not in PACKABLE:
        reason = f"{architecture} is padded, to lengths that differ; recorded are {', '.join(sorted(PACKABLE))}"
    else:
        return
    print(f"trainer.capture=true: steps are not recorded but called, since {reason}", file=sys.stderr)


def model_length(folder: Path) -> int | None:
    """Word pieces that the model can read at once, by its positions and its tokenizer; None if neither says."""
    lengths = []
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = folder / name
        value = json.loads(path.read_text()).get(key) if path.exists() else None
        if isinstance(value, int) and 0 < value < 10**9:  # a tokenizer without a limit says 10**30
            lengths.append(value)
    return min(lengths, default=None)


def check_classes(settings: TextSettings, data: TaskData) -> None:
    """Raise InputError where no score can tell trials apart, or nothing is to be learnt."""
    for name, examples in (("train", data.train), ("validation", data.validation)):
        classes, size = np.unique(examples.label), getattr(settings.data, f"{name}_size")
        if len(classes) == 1:
            key = f"task={settings.task.name}" if size is None else f"data.{name}_size={size}"
            remedy = "give some of another" if size is None else "give more, or null for all"
            raise InputError(
                f"{key}: all {name} examples ({len(examples)}) are of the class {data.labels[classes[0]]}; {remedy}"
            )
