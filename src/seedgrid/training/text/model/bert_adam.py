"""The optimizer that BERT was released with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class BertAdam(torch.optim.Optimizer):
    """Adam without bias correction, with decoupled weight decay (Devlin et al. 2019, their released code).

    Step t is ``(1 - beta1**t) / sqrt(1 - beta2**t)`` times what it is with the correction: 3.2 times at the first step
    with the usual betas, 6.6 times at the twelfth. Mosbach et al. (2021) and Zhang et al. (2021) find that it makes
    fine-tuning unstable.

    Args:
        parameters: as of any optimizer of PyTorch.
        lr: learning rate. A group's may be a tensor, which is read at each step, also at a recorded one.
        betas: decay rates of the gradients' first and second moment.
        eps: added to the root of the second moment.
        weight_decay: share of a weight, times ``lr``, that a step takes off.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """Take one step; weights without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight] = {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
            gradients = [weight.grad for weight in weights]
            first, second = ([self.state[weight][name] for weight in weights] for name in ("exp_avg", "exp_avg_sq"))
            beta1, beta2 = group["betas"]
            torch._foreach_lerp_(first, gradients, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
            scale = torch._foreach_sqrt(second)
            torch._foreach_add_(scale, group["eps"])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            if isinstance(group["lr"], torch.Tensor):
                steps = torch._foreach_div(first, scale)
                torch._foreach_mul_(steps, -group["lr"])
                torch._foreach_add_(weights, steps)
            else:
                torch._foreach_addcdiv_(weights, first, scale, -group["lr"])
        return loss
