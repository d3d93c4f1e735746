"""Dropout whose masks come from a generator of their own, an order of magnitude cheaper on a CPU than PyTorch's."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import dropout

# An element is dropped if its 16 random bits, read as a number, are below the probability in units of 2**-16: four
# elements a 64-bit draw. A probability is so rounded by at most 2**-17, 0.1 to 0.100006; what is kept is scaled by the
# rounded one, so that the expected value is exact.
_LEVELS = 1 << 16


class DropoutMasks:
    """One stream of dropout masks; a seed means the same masks for the same sequence of shapes.

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
        dropped = min(round(probability * _LEVELS), _LEVELS - 1)
        if dropped == 0:
            return values
        size = values.numel()
        bits = self._bits.random_raw(-(-size // 4)).view(np.uint16)[:size]
        mask = np.multiply(bits >= dropped, np.float32(_LEVELS / (_LEVELS - dropped)))
        return values * torch.from_numpy(mask).view(values.shape).to(values.dtype)
