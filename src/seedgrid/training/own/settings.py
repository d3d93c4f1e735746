"""The settings of a training of the user's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seedgrid.settings import Count, Positive, Settings, TrainingSettings

Bound = Annotated[float, Field(allow_inf_nan=False)] | None


class OwnTrainingSettings(TrainingSettings):
    """``training``: a LightningModule and a LightningDataModule of the user's own.

    Attributes:
        module: the LightningModule: its class as ``_target_``, its arguments beside it.
        data: the LightningDataModule, likewise.
        score: a value that the module logs while it validates.
        direction: whether greater scores are better, ``max``, or lower ones, ``min``.
        range: the least and the greatest possible score; None where there is none.
        diverged_at: a trial whose best found score is this or worse counts as diverged; None: no score does.
        epochs: passes over the training set.
        accumulate_grad_batches: batches of one optimizer step, as Lightning's Trainer has it.
        gradient_clip_val: gradients are clipped to it; None: not clipped.
        gradient_clip_algorithm: what it limits: ``norm``, that of all gradients together, or each ``value``.
        callbacks: further Lightning callbacks, by any name: each a class as ``_target_`` with its arguments.
    """

    kind: Literal["own"]
    module: dict[str, Any]
    data: dict[str, Any]
    score: Annotated[str, Field(min_length=1)]
    direction: Literal["max", "min"]
    range: Annotated[list[Bound], Field(min_length=2, max_length=2)]
    diverged_at: Bound
    epochs: Count
    accumulate_grad_batches: Count
    gradient_clip_val: Positive | None
    gradient_clip_algorithm: Literal["norm", "value"]
    callbacks: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _range_is_one(self) -> OwnTrainingSettings:
        low, high = self.range
        if low is not None and high is not None and low >= high:
            raise ValueError(f"training.range={self.range}: the first is the least score; give it below the second")
        return self


class OwnSettings(Settings):
    """All of one trial's settings, where the training is the user's own."""

    training: OwnTrainingSettings
