"""How large the gradients of each layer group are: vanishing ones go with divergence (Mosbach et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import pytorch_lightning as pl
import torch

from seedgrid.model.layers import layer_groups
from seedgrid.model.module import FineTuning


class GradientNorms(pl.Callback):
    """Measures the gradients before they are clipped, at the first step and at every ``interval``-th; changes nothing.

    Args:
        interval: steps between two measurements; 0: never.
        keep: called with each measurement: ``step`` and the L2 norm of each of ``model.layers.layer_groups``.
    """

    def __init__(self, interval: int, keep: Callable[[dict[str, float]], None]) -> None:
        self.interval = interval
        self.keep = keep
        self.groups: dict[str, list[torch.nn.Parameter]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: FineTuning) -> None:
        self.groups = layer_groups(pl_module.network)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: FineTuning, optimizer) -> None:
        step = pl_module.start + trainer.global_step + 1
        if self.interval and (step == 1 or step % self.interval == 0):
            self.keep({"step": step, **_norms(self.groups)})


def _norms(groups: dict[str, list[torch.nn.Parameter]]) -> dict[str, float]:
    gradients = [[one.grad for one in members if one.grad is not None] for members in groups.values()]
    # Of all tensors at once, and one transfer: a GPU is waited for once a measurement.
    every = iter(torch.stack(torch._foreach_norm([one for members in gradients for one in members])).tolist())
    return {name: math.hypot(*islice(every, len(members))) for name, members in zip(groups, gradients, strict=True)}
