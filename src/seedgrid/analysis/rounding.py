"""How many decimals of scores of some size are theirs, and not what arithmetic on floats leaves behind."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

# What a sum or a mean adds to equal floats up to 100 is far below the 12th decimal.
_DECIMALS, _SIZES = 12, (0.01, 100.0)


def significant_decimals(scores: ArrayLike) -> int:
    """Decimals to which scores, means and differences are told apart: 12, of large ones fewer, of small ones more.

    Args:
        scores: of any shape; NaN where one is missing.
    """
    sizes = np.abs(np.asarray(scores, dtype=float))
    size = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    if size == 0 or _SIZES[0] <= size <= _SIZES[1]:
        return _DECIMALS
    return _DECIMALS + math.floor(math.log10(_SIZES[size > 1] / size))
