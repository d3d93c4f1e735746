"""Which pairs of seeds are started, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from seedgrid.seeds import Seeds


def draw_order(choices: Sequence[Seeds], draw: Literal["spread", "random"], seed: int) -> list[Seeds]:
    """All choices in the order in which they are drawn: to start n trials, take the first n.

    ``random`` is a random order. ``spread`` covers seeds evenly, as the diagonals of a Latin square do: where the
    choices are a grid, any two init seeds occur equally often among the first n, or one of them once more, for any n,
    and so do any two order seeds. Choices that are no grid (independent pairs) come in random order. Where the dropout
    seed varies too, every pair comes with one of its dropout seeds before any comes with a second.

    Args:
        choices: of the user, without repeats.
        draw: how.
        seed: of the generator; the same choices and seed give the same order.
    """
    generator = np.random.default_rng(seed)
    shuffled = [choices[index] for index in generator.permutation(len(choices))]
    if draw == "random":
        return shuffled
    by_pair: dict[tuple[int, int], list[Seeds]] = {}
    for seeds in shuffled:
        by_pair.setdefault((seeds.init, seeds.order), []).append(seeds)
    inits, orders = (list(dict.fromkeys(numbers)) for numbers in zip(*by_pair, strict=True))
    pairs = list(by_pair)
    if len(pairs) == len(inits) * len(orders):
        pairs = [(inits[row], orders[column]) for row, column in _diagonals(len(inits), len(orders), generator)]
    rounds = max(len(several) for several in by_pair.values())
    return [by_pair[pair][turn] for turn in range(rounds) for pair in pairs if turn < len(by_pair[pair])]


def _diagonals(rows: int, columns: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """All cells of a grid, one diagonal after the other, wrapped around at its edges.

    A diagonal has lcm(rows, columns) cells, so there are gcd(rows, columns) of them; each covers every row equally
    often, and every column.
    """
    length = int(np.lcm(rows, columns))
    shifts = generator.permutation(rows * columns // length)
    return [(step % rows, (step + int(shift)) % columns) for shift in shifts for step in range(length)]
