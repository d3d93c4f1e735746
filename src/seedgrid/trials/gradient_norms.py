"""How large the gradients of each layer group are: vanishing ones go with divergence (Mosbach et al. 2021)."""

from __future__ import annotations

import math
from itertools import islice

import pytorch_lightning as pl
import torch

from seedgrid.model.layers import layer_groups
from seedgrid.model.module import FineTuning


class GradientNorms(pl.Callback):
    """Measures the gradients before they are clipped, at the first step and at every ``interval``-th; changes nothing.

    Args:
        interval: steps between two measurements; 0: never.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.groups: dict[str, list[torch.nn.Parameter]] = {}
        self._waiting: list[tuple[int, list[int], torch.Tensor]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: FineTuning) -> None:
        self.groups = layer_groups(pl_module.network)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: FineTuning, optimizer) -> None:
        step = pl_module.start + trainer.global_step + 1
        if self.interval and (step == 1 or step % self.interval == 0):
            gradients = [[one.grad for one in members if one.grad is not None] for members in self.groups.values()]
            # Of all tensors at once, and left on their device, for which nobody waits here.
            norms = torch.stack(torch._foreach_norm([one for members in gradients for one in members]))
            self._waiting.append((step, [len(members) for members in gradients], norms))

    def take(self) -> list[dict[str, float]]:
        """What was measured since the last time: ``step``, and the L2 norm of each of ``model.layers.layer_groups``."""
        waiting, self._waiting = self._waiting, []
        return [{"step": step, **self._by_group(sizes, norms)} for step, sizes, norms in waiting]

    def _by_group(self, sizes: list[int], norms: torch.Tensor) -> dict[str, float]:
        every = iter(norms.tolist())
        return {name: math.hypot(*islice(every, size)) for name, size in zip(self.groups, sizes, strict=True)}
