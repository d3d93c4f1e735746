"""The three seeds of a trial and the random streams that come from them.

Nothing random in a trial depends on what was drawn before: every draw comes from a stream of its own, addressed by the
seed and by what is drawn. So a trial can start at any step, after any other trial, and draw the same numbers.
"""

from __future__ import annotations

import random
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

# First word of a stream's address, so that equal init, order and dropout seeds never share a stream.
_INIT, _ORDER, _DROPOUT, _SUBSET, _TYPICAL, _ITEM, _COLLATE, _VALIDATION, _SETUP, _DATA, _EPOCH = range(1, 12)

Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


class Seeds(BaseModel):
    """The seeds of one trial: WI and DO of Dodge et al. (2020), and the one for dropout masks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    init: Seed = 0
    order: Seed = 0
    dropout: Seed = 0


def new_layer_weights(init_seed: int, shape: tuple[int, ...], scale: float, repeat: int = 0) -> np.ndarray:
    """Weights of a new layer, normal with standard deviation ``scale``.

    They depend on the seed and the shape alone, so an init seed means the same weights on every task (Dodge et al.
    2020, section 4). ``repeat`` counts earlier new layers of the same shape in one network.

    Returns:
        float32 array of ``shape``.
    """
    generator = np.random.default_rng([_INIT, init_seed, repeat])
    return (scale * generator.standard_normal(shape)).astype(np.float32)


def epoch_order(order_seed: int, examples: int, epoch: int) -> np.ndarray:
    """A permutation of ``examples`` indices for one epoch (counted from 0); int64 array."""
    return np.random.default_rng([_ORDER, order_seed, epoch]).permutation(examples)


def dropout_state(dropout_seed: int, step: int) -> int:
    """What to seed the dropout generator with before ``step`` (counted from 0); fits a signed 64-bit integer."""
    return int(np.random.SeedSequence([_DROPOUT, dropout_seed, step]).generate_state(1, np.uint64)[0] >> 1)


def seed_generators(*address: int) -> None:
    """Seed the generators of PyTorch (on all devices), NumPy and Python, from which somebody's code may draw.

    Args:
        address: of the stream, as the functions below give it.
    """
    import torch

    state = np.random.SeedSequence(address).generate_state(3, np.uint64)
    torch.manual_seed(int(state[0] >> 1))
    np.random.seed(int(state[1] >> 32))
    random.seed(int(state[2]))


def module_address(init_seed: int, setup: bool = False) -> tuple[int, ...]:
    """Of what is drawn when a module is made, or when it is set up later."""
    return (_INIT, init_seed, int(setup), _SETUP)


def data_address() -> tuple[int, ...]:
    """Of what is drawn when data are made: the same in all trials, such as a split."""
    return (_DATA,)


def order_address(order_seed: int, epoch: int) -> tuple[int, ...]:
    """Of what a sampler draws for one epoch."""
    return (_ORDER, order_seed, epoch, _SETUP)


def item_seeds(order_seed: int, epoch: int, examples: int) -> np.ndarray:
    """What to seed generators with before an example is fetched, or changed at random; uint32, examples."""
    return np.random.SeedSequence([_ITEM, order_seed, epoch]).generate_state(examples)


def collate_seed(order_seed: int, epoch: int, batch: int) -> int:
    """What to seed generators with before the examples of a batch are put together; 32 bits."""
    return int(np.random.SeedSequence([_COLLATE, order_seed, epoch, batch]).generate_state(1)[0])


def step_address(dropout_seed: int, batch: int) -> tuple[int, ...]:
    """Of all other draws around a training batch, counted from 0 over all epochs."""
    return (_DROPOUT, dropout_seed, batch, _SETUP)


def epoch_address(dropout_seed: int, epoch: int) -> tuple[int, ...]:
    """Of draws when an epoch begins, before its first batch."""
    return (_EPOCH, dropout_seed, epoch)


def validation_address(dropout_seed: int, step: int) -> tuple[int, ...]:
    """Of draws in a validation."""
    return (_VALIDATION, dropout_seed, step)


def fixed_subset(examples: int, size: int) -> np.ndarray:
    """The same ``size`` of ``examples`` indices in every trial, in ascending order; int64 array."""
    return np.sort(np.random.default_rng([_SUBSET, examples]).permutation(examples)[:size])


def typical_batches(examples: int, size: int, count: int = 2048) -> list[np.ndarray]:
    """About ``count`` batches of ``size`` examples such as an order seed may draw, the same in every trial; indices."""
    generator = np.random.default_rng([_TYPICAL, examples])
    batches: list[np.ndarray] = []
    while len(batches) < count:
        order = generator.permutation(examples)
        batches += [order[begin : begin + size] for begin in range(0, examples - size + 1, size)]
    return batches[:count]
