"""How large the gradients of each layer group are: vanishing ones go with divergence (Mosbach et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
import torch

from seedgrid.training.text.model.module import FineTuning


class GradientNorms(pl.Callback):
    """Measures the gradients before they are clipped, at the first step and at every ``interval``-th; changes nothing.

    Args:
        interval: steps between two measurements; 0: never.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._waiting: list[tuple[int, torch.Tensor]] = []
        self._by_group: Callable[[list[float]], dict[str, float]]

    def on_train_start(self, trainer: pl.Trainer, pl_module: FineTuning) -> None:
        pl_module.measured = lambda step: self.interval > 0 and (step == 1 or step % self.interval == 0)
        self._by_group = pl_module.step.group_norms

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        if "gradient_norms" in outputs:  # left on their device, for which nobody waits here
            self._waiting.append((pl_module.start + batch_idx + 1, outputs["gradient_norms"]))

    def take(self) -> list[dict[str, float]]:
        """What was measured since the last time: ``step``, and the L2 norm of each of ``model.layers.layer_groups``."""
        waiting, self._waiting = self._waiting, []
        return [{"step": step, **self._by_group(norms.tolist())} for step, norms in waiting]
