"""Shapes that batches are filled up to: any batch fits, little is filled, and every token finds its way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedgrid.training.text.data.datamodule import training_batches, validation_batches
from seedgrid.training.text.data.shapes import Shape, choose_shapes, choose_validation_shapes, fill
from seedgrid.training.text.data.tokens import Tokens
from seedgrid.training.text.model.attention import Slots


def examples(lengths) -> Tokens:
    """Examples of these lengths; each token's word piece is its place among all, so that none is like another."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.arange(starts[-1], dtype=np.int32)
    return Tokens(ids, (ids % 2).astype(np.int8), starts, np.arange(len(lengths)) % 3)


@st.composite
def batches(draw) -> tuple[Tokens, np.ndarray, Shape]:
    """Examples, which of them are in a batch, and a shape that holds it, exactly or with room."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    indices = draw(st.permutations(range(len(lengths))))[: draw(st.integers(1, len(lengths)))]
    longest, total = max(lengths[index] for index in indices), sum(lengths[index] for index in indices)
    rows = len(indices) + draw(st.integers(0, 2))
    longest += draw(st.integers(0, 3)) + (total == rows * longest)
    return examples(lengths), np.array(indices), Shape(rows, total + draw(st.integers(1, 5)), longest)


@settings(max_examples=150, deadline=None)
@given(batches())
def test_tokens_lie_in_slots_and_come_back_and_so_do_their_gradients(drawn):
    tokens, indices, shape = drawn
    batch = fill(tokens, indices, [shape])
    parts = shape.parts(batch.buffer)
    slots, lengths = Slots(parts), tokens.lengths[indices]
    total = int(lengths.sum())
    values = torch.randn(shape.tokens, 2, dtype=torch.double, requires_grad=True)
    padded = slots.pad(values)
    assert padded.shape == (shape.rows, shape.longest, 2)
    begin = 0
    for row, length in enumerate(lengths):
        text = tokens.ids[tokens.starts[indices[row]] :][:length]
        assert parts["input_ids"][begin : begin + length].tolist() == text.tolist()
        assert torch.equal(padded[row, :length], values[begin : begin + length])
        assert slots.real[row].tolist() == [place < length for place in range(shape.longest)]
        assert torch.equal(slots.first(values)[row], values[begin])
        assert parts["starts"][begin : begin + length].eq(begin).all()
        begin += length
    assert slots.real[len(indices) :].sum(dim=1).eq(1).all()  # what attention needs
    # Only what an example's token becomes counts, as in a step.
    counted = torch.zeros(shape.rows, shape.longest, 1, dtype=torch.double)
    for row, length in enumerate(lengths):
        counted[row, :length] = 1
    upstream = torch.randn_like(padded) * counted
    (gradient,) = torch.autograd.grad(padded, values, upstream, retain_graph=True)
    assert torch.equal(gradient[:total], upstream[counted[..., 0].bool()])
    assert gradient[total:].eq(0).all()
    back = slots.unpad(padded)
    assert torch.equal(back[:total], values[:total])
    upstream = torch.randn_like(back) * (torch.arange(shape.tokens) < total)[:, None]
    (gradient,) = torch.autograd.grad(back, values, upstream)
    assert torch.equal(gradient, upstream)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 2**31))
def test_any_batch_fits_into_one_of_few_shapes(lengths, rows, seed):
    tokens = examples(lengths)
    shapes = choose_shapes(tokens.lengths, rows)
    assert len(shapes) <= 8
    order = np.random.default_rng(seed).permutation(len(lengths))
    batches = [order[begin : begin + rows] for begin in range(0, len(order), rows)]
    for batch in [*batches, np.argsort(lengths)[-rows:], order[:1]]:
        filled = fill(tokens, batch, shapes)
        assert filled.rows == len(batch)
        assert filled.shape.parts(filled.buffer)["counts"].sum() == len(batch)
    ordered = validation_batches(tokens.lengths, rows)
    chosen = choose_validation_shapes(tokens.lengths, ordered)
    assert len(chosen) <= 8
    for batch in ordered:
        fill(tokens, batch, chosen)


@pytest.mark.parametrize(("mean", "spread", "most"), [(53, 17, 128), (11, 4, 48), (67, 30, 128)])
def test_little_is_filled_where_padding_would_fill_much(mean, spread, most):
    lengths = np.random.default_rng(0).normal(mean, spread, 3000).round().clip(4, most).astype(int)
    tokens = examples(lengths)
    shapes = choose_shapes(lengths, 16)
    filled = [fill(tokens, batch, shapes).shape for batch in training_batches(0, len(lengths), 16, 180)]
    real = lengths.sum() * 180 * 16 / 3000
    assert sum(shape.tokens for shape in filled) < 1.15 * real
    assert sum(shape.rows * shape.longest for shape in filled) < 3 * real
    assert len(set(filled)) >= 2


def test_all_examples_of_the_greatest_length_leave_room_for_a_filler():
    tokens = examples([16] * 40)
    shapes = choose_shapes(tokens.lengths, 8)
    assert [(shape.tokens, shape.longest) for shape in shapes] == [(160, 32)]
    assert fill(tokens, np.arange(8), shapes).rows == 8
