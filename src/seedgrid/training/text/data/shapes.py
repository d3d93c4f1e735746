"""Batches of a few static shapes, filled up with what counts for nothing: for devices that replay recorded work.

The tokens of a batch lie one after the other, without padding, and are padded inside of attention alone. A shape is how
many tokens there are, and how long the padded sequences. Where each token lies is worked out here, on the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from seedgrid.seeds import typical_batches
from seedgrid.training.text.data.tokens import Tokens

_MOST = 8  # shapes of training, and as many of validation: a recording of each takes time and memory
# What sizes are multiples of: kernels compute whole tiles, and read masks in words of 16 bytes.
_TOKENS, _LENGTH = 32, 16
_WORTH = 100  # a further shape has to save this part of the cost


@dataclass(frozen=True)
class Shape:
    """What a batch is filled up to.

    Attributes:
        rows: sequences.
        tokens: of all sequences, and fillers.
        longest: slots of a sequence where it is padded.
    """

    rows: int
    tokens: int
    longest: int

    @property
    def cost(self) -> int:
        """About what a step costs, in 1024ths of a token's.

        Linear layers take the same for each token; moving tokens to slots and back a 16th of that a slot, attention
        another 1024th for each slot that a slot sees (estimated from their bytes and operations on an H200).
        """
        return 1024 * self.tokens + self.rows * self.longest * (64 + self.longest)

    @property
    def sizes(self) -> dict[str, int]:
        """The parts of a batch's buffer, in their order, and their sizes.

        ``input_ids``, ``token_type_ids``; ``starts``: where the text of each token starts; ``slots``: where each token
        lies in rows x longest; ``tokens``: which token lies in each of those slots, ``real``: whether it belongs there;
        ``labels``; ``counts``: whether a row counts.
        """
        slots = self.rows * self.longest
        by_token = dict.fromkeys(("input_ids", "token_type_ids", "starts", "slots"), self.tokens)
        return by_token | {"tokens": slots, "real": slots, "labels": self.rows, "counts": self.rows}

    def holds(self, lengths: np.ndarray) -> bool:
        """Whether sequences of these lengths fit, with at least one token and one slot left over for fillers."""
        total = lengths.sum()
        return (
            len(lengths) <= self.rows
            and total < self.tokens
            and lengths.max() <= self.longest
            and total < self.rows * self.longest
        )

    def parts(self, buffer: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views of a buffer, by the names of :attr:`sizes`."""
        return dict(zip(self.sizes, buffer.split(list(self.sizes.values())), strict=True))


@dataclass(frozen=True)
class Filled:
    """A batch of a static shape.

    Attributes:
        shape: its shape.
        rows: how many of the shape's rows are examples; they come first.
        buffer: int64, all parts of :attr:`Shape.sizes` one after the other.
    """

    shape: Shape
    rows: int
    buffer: torch.Tensor


def fill(tokens: Tokens, indices: np.ndarray, shapes: Iterable[Shape], pin: bool = False) -> Filled:
    """The examples at ``indices`` in the first of ``shapes`` that holds them.

    Fillers are there for the shape alone. No real token sees one, so they change no logit of an example, and the
    gradient of a filler is exactly 0: row by row they add nothing to that of a weight.

    Args:
        tokens: all examples.
        indices: of the batch's.
        shapes: see :func:`choose_shapes`.
        pin: whether to lock the buffer in memory, so that a GPU fetches it while the host goes on.

    Raises:
        ValueError: no shape holds them.
    """
    indices = np.asarray(indices)
    begins = tokens.starts[indices]
    lengths = tokens.starts[indices + 1] - begins
    shape = next((shape for shape in shapes if shape.holds(lengths)), None)
    if shape is None:  # no StopIteration, which would end a data loader's epoch
        raise ValueError(f"{len(lengths)} sequences of {lengths.sum()} tokens fit into no shape")
    buffer = torch.zeros(sum(shape.sizes.values()), dtype=torch.int64, pin_memory=pin)
    parts = {name: part.numpy() for name, part in shape.parts(buffer).items()}
    total, last = int(lengths.sum()), shape.tokens - 1
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.arange(total) - starts
    at = np.repeat(begins, lengths) + places
    slots = np.repeat(np.arange(len(indices)) * shape.longest, lengths) + places

    parts["input_ids"][:total] = tokens.ids[at]
    parts["input_ids"][total:] = tokens.ids[at[0]]  # of all word pieces, one that is known to be
    parts["token_type_ids"][:total] = tokens.segments[at]
    parts["starts"][:total] = starts
    parts["starts"][total:] = np.arange(total, shape.tokens)  # each filler is a text of its own
    parts["tokens"][:] = last  # a filler, in slots that belong to nobody
    parts["tokens"][slots] = np.arange(total)
    parts["real"][slots] = 1
    parts["slots"][:total] = slots
    parts["slots"][total:] = parts["real"].argmin()  # one of those
    # A row without an example sees one filler: attention over nothing is not a number.
    parts["real"][len(indices) * shape.longest :: shape.longest] = 1
    parts["labels"][: len(indices)] = tokens.label[indices]
    parts["counts"][: len(indices)] = 1
    return Filled(shape, len(indices), buffer)


def choose_shapes(lengths: np.ndarray, rows: int) -> tuple[Shape, ...]:
    """Shapes for training batches of ``rows`` examples in any order: from the lengths alone, whatever the seeds.

    The cheapest first; the last one holds any batch.

    Args:
        lengths: tokens of each example.
        rows: examples a batch.
    """
    rows = min(rows, len(lengths))
    longest = np.sort(lengths)[-rows:]
    return _cheapest(_needs(lengths, typical_batches(len(lengths), rows)), _holding(rows, longest.sum(), longest.max()))


def choose_validation_shapes(lengths: np.ndarray, batches: list[np.ndarray]) -> tuple[Shape, ...]:
    """Shapes for the given batches (the indices of each), as :func:`choose_shapes`."""
    needs = _needs(lengths, batches)
    return _cheapest(needs, _holding(len(batches[0]), *needs.max(axis=0)))


def _needs(lengths: np.ndarray, batches: list[np.ndarray]) -> np.ndarray:
    """Tokens and longest of each batch; batches x 2."""
    return np.array([(lengths[batch].sum(), lengths[batch].max()) for batch in batches])


def _holding(rows: int, tokens: int, longest: int) -> Shape:
    """The smallest shape that holds so many tokens in sequences that are no longer than ``longest``."""
    length = _up(longest, _LENGTH)
    return Shape(rows, _up(tokens + 1, _TOKENS), length if tokens < rows * length else length + _LENGTH)


def _cheapest(needs: np.ndarray, any_batch: Shape) -> tuple[Shape, ...]:
    """``any_batch``, and one by one the shapes that save most; the arithmetic is of integers, the same everywhere."""
    quantiles = [np.quantile(need, np.linspace(0, 1, 25), method="higher") for need in needs.T]
    candidates = sorted(
        {_holding(any_batch.rows, int(tokens), int(longest)) for tokens in quantiles[0] for longest in quantiles[1]},
        key=lambda shape: (shape.cost, shape.tokens),
    )
    tokens, longest, cost = np.array([(shape.tokens, shape.longest, shape.cost) for shape in candidates]).T[..., None]
    # What each batch would cost in each shape, and what it costs in the cheapest of those chosen.
    costs = np.where((tokens > needs[:, 0]) & (longest >= needs[:, 1]), cost, any_batch.cost)
    now, chosen = np.full(len(needs), any_batch.cost), {any_batch}
    while len(chosen) < _MOST:
        then = np.minimum(costs, now).sum(axis=1)
        best = int(then.argmin())
        if (now.sum() - then[best]) * _WORTH < now.sum():
            break
        chosen.add(candidates[best])
        now = np.minimum(now, costs[best])
    return tuple(sorted(chosen, key=lambda shape: (shape.cost, shape.tokens)))


def _up(size: int, multiple: int) -> int:
    return -(-int(size) // multiple) * multiple
