"""The LightningModule of a trial: loss, optimizer, learning rate, and dropout that depends on the step alone."""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch
from torch.nn.functional import cross_entropy

from seedgrid.data.datamodule import Batch
from seedgrid.model.bert_adam import BertAdam
from seedgrid.model.layers import depths
from seedgrid.model.network import input_names
from seedgrid.model.packing import first_tokens, head_logits
from seedgrid.model.schedules import linear_with_warmup, twice_with_restarts
from seedgrid.seeds import dropout_state
from seedgrid.settings import Recipe, steps_per_epoch

_CLIPPING_EPS = 1e-6  # what PyTorch adds to a norm before it divides by it


class FineTuning(pl.LightningModule):
    """Fine-tunes the weights of ``network`` that are not frozen.

    Args:
        network: gives logits (examples x classes) for a batch.
        recipe: how to optimize.
        steps: optimizer steps of the whole training.
        examples: of the training set.
        dropout_seed: draws the dropout masks.
        start: steps that were taken before; the next one is number ``start`` (counted from 0).
        optimizer_state: what the optimizer held after them; None at the start.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        recipe: Recipe,
        steps: int,
        examples: int,
        dropout_seed: int,
        start: int = 0,
        optimizer_state: dict | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.steps = steps
        self.examples = examples
        self.dropout_seed = dropout_seed
        self.start = start
        self.optimizer_state = optimizer_state
        self.learning_rate = 0.0  # of the latest step

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits, examples x classes."""
        if "lengths" in batch:
            return self.classify(self.encode(batch))
        return self.network(**{name: batch[name] for name in input_names(self.network.config)}).logits

    def encode(self, batch: Batch) -> torch.Tensor:
        """What the encoder makes of a packed batch; sequences x width."""
        return first_tokens(self.network, batch)

    def classify(self, encoded: torch.Tensor) -> torch.Tensor:
        """Logits from what :meth:`encode` gives; sequences x classes."""
        return head_logits(self.network, encoded)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        step = self.start + batch_idx
        torch.manual_seed(dropout_state(self.dropout_seed, step))
        self.learning_rate = self.recipe.learning_rate * self._rate(step)
        for group in self.optimizers(use_pl_optimizer=False).param_groups:
            group["lr"] = self.learning_rate * group["share"]
        dropout = self.recipe.dropout_steps == "all" or step % self._steps_per_epoch == 0
        if self.network.training != dropout:
            self.network.train(dropout)
        return cross_entropy(self(batch).float(), batch["labels"])

    @property
    def _steps_per_epoch(self) -> int:
        return steps_per_epoch(self.examples, self.recipe.batch_size)

    def _rate(self, step: int) -> float:
        """The schedule's factor of the peak rate."""
        recipe = self.recipe
        if recipe.schedule == "linear":
            return linear_with_warmup(step, self.steps, recipe.warmup)
        # Their total leaves the smaller last batch of each epoch out.
        total = max(1, math.floor(self.examples / recipe.batch_size * recipe.epochs))
        return twice_with_restarts(step, self._steps_per_epoch, total, recipe.warmup)

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        # Lightning itself refuses to clip for a fused optimizer under any mixed precision.
        if gradient_clip_val is None:
            return
        trained = [weight for weight in self.network.parameters() if weight.grad is not None]
        for clipped in [trained] if self.recipe.clip == "global" else [[weight] for weight in trained]:
            norm = torch.nn.utils.get_total_norm([weight.grad for weight in clipped])
            # Most steps have nothing to clip. A CPU knows at once, and need not multiply all gradients by 1.
            if norm.device.type != "cpu" or not norm + _CLIPPING_EPS <= gradient_clip_val:
                torch.nn.utils.clip_grads_with_norm_(clipped, gradient_clip_val, norm)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        recipe = self.recipe
        below = depths(self.network) if recipe.layer_decay < 1 else {}
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                # One-dimensional parameters are the biases and norms' weights, whatever an architecture calls them.
                decay = 0.0 if parameter.ndim < 2 or name.endswith("bias") else recipe.weight_decay
                share = recipe.layer_decay ** below.get(name, 0)
                groups.setdefault((decay, share), []).append(parameter)
        settings = {"lr": 0.0, "betas": tuple(recipe.betas), "eps": recipe.eps}  # the rate is set before every step
        parameters = [
            {"params": members, "weight_decay": decay, "share": share} for (decay, share), members in groups.items()
        ]
        if recipe.bias_correction:
            # The fused step scales half precision's gradients back: too late to clip them.
            optimizer = torch.optim.AdamW(parameters, fused=self.trainer.precision != "16-mixed", **settings)
        else:
            optimizer = BertAdam(parameters, **settings)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        return optimizer
