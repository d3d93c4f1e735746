"""The LightningModule of a trial: the rate and the dropout of each step, which depend on the step alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch

from seedgrid.seeds import dropout_state
from seedgrid.settings import steps_per_epoch
from seedgrid.training.text.data.datamodule import Batch
from seedgrid.training.text.data.shapes import Filled
from seedgrid.training.text.model.schedules import linear_with_warmup, twice_with_restarts
from seedgrid.training.text.model.step import TrainingStep


class FineTuning(pl.LightningModule):
    """Takes the steps of one training; Lightning leaves the optimizer to it, so that a step can be replayed whole.

    Args:
        training_step: what a step is; it has begun this training.
        steps: optimizer steps of the whole training.
        examples: of the training set.
        dropout_seed: draws the dropout masks.
        start: steps that were taken before; the next one is number ``start`` (counted from 0).
        measured: whether the gradients of a step (counted from 1) are measured; by default, those of none.
    """

    def __init__(
        self,
        training_step: TrainingStep,
        steps: int,
        examples: int,
        dropout_seed: int,
        start: int = 0,
        measured: Callable[[int], bool] = lambda step: False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.step = training_step
        self.network = training_step.network
        self.recipe = training_step.recipe
        self.steps = steps
        self.examples = examples
        self.dropout_seed = dropout_seed
        self.start = start
        self.measured = measured
        self.learning_rate = 0.0  # of the latest step

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> FineTuning:
        """Nothing: weights are where the step wants them, and stay there when Lightning puts its modules away."""
        return self

    def transfer_batch_to_device(self, batch: Batch | Filled, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing: a step copies its batch to where it expects it."""
        return batch

    def forward(self, batch: Batch | Filled) -> torch.Tensor:
        """Logits, examples x classes."""
        return self.step.logits(batch)

    def encode(self, batch: Batch | Filled) -> torch.Tensor:
        """What the encoder makes of a packed batch; examples x width."""
        return self.step.encode(batch)

    def classify(self, encoded: torch.Tensor) -> torch.Tensor:
        """Logits from what :meth:`encode` gives; examples x classes."""
        return self.step.classify(encoded)

    def training_step(self, batch: Batch | Filled, batch_idx: int) -> dict[str, torch.Tensor]:
        """Take a step: its loss, and the norms of its gradients if they are measured, tensors on the device."""
        step = self.start + batch_idx
        self.learning_rate = self.recipe.learning_rate * self._factor(step)
        dropout = self.recipe.dropout_steps == "all" or step % self._steps_per_epoch == 0
        measure = self.measured(step + 1)
        loss = self.step(batch, self.learning_rate, dropout_state(self.dropout_seed, step), dropout, measure)
        return {"loss": loss} | ({"gradient_norms": self.step.norms.clone()} if measure else {})

    @property
    def _steps_per_epoch(self) -> int:
        return steps_per_epoch(self.examples, self.recipe.batch_size)

    def _factor(self, step: int) -> float:
        """The schedule's factor of the peak rate."""
        recipe = self.recipe
        if recipe.schedule == "linear":
            return linear_with_warmup(step, self.steps, recipe.warmup)
        # Their total leaves the smaller last batch of each epoch out.
        total = max(1, math.floor(self.examples / recipe.batch_size * recipe.epochs))
        return twice_with_restarts(step, self._steps_per_epoch, total, recipe.warmup)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.step.scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return self.step.optimizer

    def on_train_end(self) -> None:
        if self.step.device.type == "cuda":
            # Lightning would move the optimizer's state to the host, from where recordings expect it.
            self.trainer.strategy.optimizers = []
