"""The settings of a training on text: task, data, model and recipe."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from seedgrid.settings import Count, Name, Positive, Settings, SettingsGroup, TrainingSettings, steps_per_epoch
from seedgrid.training.text.tasks import Task


class TextTrainingSettings(TrainingSettings):
    """``training``: a pretrained encoder that classifies text, as the groups beside it say."""

    kind: Literal["text"]
    name: str  # of the names of its groups, which are checked there


class DataSettings(SettingsGroup):
    """``data``: where GLUE lies and how much of a task to use.

    Attributes:
        root: folder of GLUE's TSV files; None or empty: the Hugging Face hub.
        train_size: a fixed subset of this many training examples, the same in every trial; None: all.
        validation_size: likewise for validation.
        max_length: word pieces after which an example is cut.
    """

    root: str | None
    train_size: Count | None
    validation_size: Count | None
    max_length: Annotated[int, Field(ge=4)]


class ModelSettings(SettingsGroup):
    """``model``: pretrained weights and what is kept of them.

    Attributes:
        name: short name, part of the default sweep folder.
        path: name on the Hugging Face hub or a local folder.
        package: installed Python package that carries the weights in its ``model`` folder, instead of ``path``.
        layers: keep the first so many encoder layers; None: all.
        dropout: dropout probability everywhere; None: as pretrained.
        packing: compute without padding and unused vocabulary, where the architecture allows it.
        learning_rate: peak rate recommended for this model; recipes refer to it.
    """

    name: Name
    path: str | None
    package: str | None
    layers: Count | None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None
    packing: bool
    learning_rate: Positive

    @model_validator(mode="after")
    def _has_weights(self) -> ModelSettings:
        if not self.path and not self.package:
            raise ValueError("model.path is empty; give a hub name or a folder, or choose another model")
        return self


class Recipe(SettingsGroup):
    """``recipe``: how a trial is optimized.

    Attributes:
        name: short name, part of the default sweep folder.
        epochs: passes over the training set; may be a fraction.
        batch_size: examples a step.
        learning_rate: peak rate.
        warmup: share of the steps in which the rate rises linearly from 0; then it falls linearly to 0.
        schedule: ``linear``, or ``dodge2020``: BERT's released one twice over, once restarted each epoch.
        weight_decay: decoupled, on everything but biases and norms.
        gradient_norm: gradients are clipped to this norm; None: not clipped.
        clip: what has that norm: ``global``, all gradients together; ``tensor``, each parameter tensor's.
        bias_correction: of Adam's moments; without it the optimizer is BertAdam.
        betas, eps: of the optimizer.
        dropout_steps: ``all``, or ``first_of_epoch``: all other steps train without dropout.
        layer_decay: rate of a layer over that of the layer above; the head and the top layer have the full rate.
        reinitialize: so many top layers, and the pooler, start from the init seed instead of pretrained weights.
        freeze: 0: the embeddings stay as pretrained; k: they and the lowest k layers; None: everything is trained.
    """

    name: Name
    epochs: Positive
    batch_size: Count
    learning_rate: Positive
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    gradient_norm: Positive | None
    clip: Literal["global", "tensor"]
    bias_correction: bool
    schedule: Literal["linear", "dodge2020"]
    dropout_steps: Literal["all", "first_of_epoch"]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    reinitialize: Annotated[int, Field(ge=0, strict=True)]
    freeze: Annotated[int, Field(ge=0, strict=True)] | None
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    eps: Positive


class TextSettings(Settings):
    """All of one trial's settings, where it classifies text."""

    training: TextTrainingSettings
    task: Task
    model: ModelSettings
    recipe: Recipe
    data: DataSettings


def total_steps(examples: int, recipe: Recipe) -> int:
    """Optimizer steps of a whole trial, at least one."""
    return max(1, math.floor(recipe.epochs * steps_per_epoch(examples, recipe.batch_size) + 0.5))
