"""Dropout whose masks come from a generator of their own, an order of magnitude cheaper on a CPU than PyTorch's."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import dropout

# An element is dropped if its 16 random bits, read as a number, are below the probability in units of 2**-16: four
# elements a 64-bit draw. A probability is so rounded by at most 2**-17, 0.1 to 0.100006; what is kept is scaled by the
# rounded one, so that the expected value is exact.
_LEVELS = 1 << 16


class NoDropout:
    """Leaves values as they are: an evaluation's."""

    def __call__(self, values: torch.Tensor, probability: float) -> torch.Tensor:
        return values

    def mask(self, size: int, probability: float) -> torch.Tensor | None:
        return None

    def add(self, values: torch.Tensor, residual: torch.Tensor, probability: float) -> torch.Tensor:
        return residual + values


class DropoutMasks:
    """One stream of dropout masks; a seed means the same masks for the same sequence of sizes.

    On other devices than CPUs, PyTorch's own dropout is cheap and is used instead, with its own generator.

    Args:
        seed: what the stream starts from, not negative.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.SFC64(seed)

    def __call__(self, values: torch.Tensor, probability: float) -> torch.Tensor:
        """``values`` with each element set to 0 with ``probability`` (below 1), the others scaled to keep the mean."""
        if values.device.type != "cpu":
            return dropout(values, probability)
        mask = self.mask(values.numel(), probability)
        return values if mask is None else values * mask.view(values.shape).to(values.dtype)

    def add(self, values: torch.Tensor, residual: torch.Tensor, probability: float) -> torch.Tensor:
        """``residual`` plus ``values`` with dropout, in one pass over memory."""
        if values.device.type != "cpu":
            return residual + dropout(values, probability)
        mask = self.mask(values.numel(), probability)
        if mask is None:
            return residual + values
        return torch.addcmul(residual, values, mask.view(values.shape).to(values.dtype))

    def mask(self, size: int, probability: float) -> torch.Tensor | None:
        """What to multiply ``size`` elements with on the CPU: float32, 0 or the scale; None if none is dropped."""
        dropped = min(round(probability * _LEVELS), _LEVELS - 1)
        if dropped == 0:
            return None
        bits = self._bits.random_raw(-(-size // 4)).view(np.uint16)[:size]
        return torch.from_numpy(np.multiply(bits >= dropped, np.float32(_LEVELS / (_LEVELS - dropped))))


Dropout = DropoutMasks | NoDropout
