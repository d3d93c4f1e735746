"""The LightningModule of a trial: loss, optimizer, learning rate, and dropout that depends on the step alone."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.nn.functional import cross_entropy

from seedgrid.data.datamodule import Batch
from seedgrid.model.packing import packed_logits
from seedgrid.model.schedules import linear_with_warmup
from seedgrid.seeds import dropout_state
from seedgrid.settings import Recipe


class FineTuning(pl.LightningModule):
    """Fine-tunes all weights of ``network``.

    Args:
        network: gives logits (examples x classes) for a batch.
        recipe: how to optimize.
        steps: optimizer steps of the whole training.
        dropout_seed: draws the dropout masks.
        start: steps that were taken before; the next one is number ``start`` (counted from 0).
        optimizer_state: what the optimizer held after them; None at the start.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        recipe: Recipe,
        steps: int,
        dropout_seed: int,
        start: int = 0,
        optimizer_state: dict | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.steps = steps
        self.dropout_seed = dropout_seed
        self.start = start
        self.optimizer_state = optimizer_state
        self.learning_rate = 0.0  # of the latest step

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits, examples x classes."""
        if "lengths" in batch:
            return packed_logits(self.network, batch)
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        # Models with one kind of segment (RoBERTa) or none (DistilBERT) number it otherwise or do not take it.
        if getattr(self.network.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = batch["token_type_ids"]
        return self.network(**inputs).logits

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        step = self.start + batch_idx
        torch.manual_seed(dropout_state(self.dropout_seed, step))
        self.learning_rate = self.recipe.learning_rate * linear_with_warmup(step, self.steps, self.recipe.warmup)
        for group in self.optimizers(use_pl_optimizer=False).param_groups:
            group["lr"] = self.learning_rate
        return cross_entropy(self(batch).float(), batch["labels"])

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        # Lightning itself refuses to clip for a fused optimizer under any mixed precision.
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        decayed, exempt = [], []
        for name, parameter in self.network.named_parameters():
            # One-dimensional parameters are the biases and the norms' weights, whatever an architecture calls them.
            (exempt if parameter.ndim < 2 or name.endswith("bias") else decayed).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.recipe.weight_decay}, {"params": exempt, "weight_decay": 0.0}],
            lr=0.0,  # set before every step
            betas=tuple(self.recipe.betas),
            eps=self.recipe.eps,
            fused=self.trainer.precision != "16-mixed",  # the fused step scales gradients back: too late to clip them
        )
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        return optimizer
