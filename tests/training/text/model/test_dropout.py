"""Dropout of a stream of its own drops the right share, keeps the mean, and repeats itself for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2_contingency

from seedgrid.training.text.model.dropout import DropoutMasks

SIZE = 400_001  # no multiple of the elements of a draw


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_probability(probability):
    dropped = DropoutMasks(0)(torch.ones(SIZE), probability) == 0
    assert binomtest(int(dropped.sum()), SIZE, probability).pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.5, 0.9])
def test_what_is_kept_is_scaled_to_keep_the_mean(probability):
    values = torch.randn(SIZE, generator=torch.Generator().manual_seed(1)) + 3
    after = DropoutMasks(0)(values, probability)
    kept = after != 0
    torch.testing.assert_close(after[kept], values[kept] / (1 - probability), rtol=1e-4, atol=0)


def test_neighbours_in_a_mask_and_the_same_place_in_the_next_are_independent():
    masks = DropoutMasks(0)
    first, second = ((masks(torch.ones(SIZE), 0.3) == 0).numpy() for _ in range(2))
    # Up to 4 elements share one draw of the generator.
    pairs = [(first[:-lag], first[lag:]) for lag in (1, 2, 3, 4)] + [(first, second)]
    for left, right in pairs:
        table = np.histogram2d(left, right, bins=2)[0]
        assert chi2_contingency(table).pvalue > 1e-3


def test_a_seed_means_the_same_masks_whatever_else_is_drawn():
    shapes = [(3, 5), (7,), (2, 2, 2)]
    first, again, other = DropoutMasks(4), DropoutMasks(4), DropoutMasks(5)
    expected = [first(torch.ones(shape), 0.5) for shape in shapes]
    found = []
    for shape in shapes:
        torch.rand(3)
        other(torch.ones(11), 0.5)
        found.append(again(torch.ones(shape), 0.5))
    assert all(torch.equal(left, right) for left, right in zip(expected, found, strict=True))
    assert not torch.equal(DropoutMasks(5)(torch.ones(50), 0.5), DropoutMasks(4)(torch.ones(50), 0.5))


def test_gradients_go_through_what_is_kept_alone():
    values = torch.randn(4, 300, generator=torch.Generator().manual_seed(1)).requires_grad_()
    after = DropoutMasks(0)(values, 0.4)
    upstream = torch.randn(4, 300)
    after.backward(upstream)
    scale = after.detach() / values.detach()
    torch.testing.assert_close(values.grad, upstream * scale)
    assert 0.3 < (values.grad == 0).float().mean() < 0.5


@pytest.mark.parametrize("probability", [0.0, 1e-9])
def test_with_no_probability_values_pass_and_nothing_is_drawn(probability):
    masks = DropoutMasks(0)
    values = torch.randn(5)
    assert torch.equal(masks(values, probability), values)
    assert torch.equal(masks(torch.ones(50), 0.5), DropoutMasks(0)(torch.ones(50), 0.5))


def test_a_probability_next_to_one_leaves_finite_values():
    assert DropoutMasks(0)(torch.ones(SIZE), 0.999999).isfinite().all()


def test_adding_to_a_residual_is_dropout_and_a_sum():
    values, residual = torch.randn(2, 40, 30, generator=torch.Generator().manual_seed(1)).unbind()
    expected = residual + DropoutMasks(3)(values, 0.3)
    torch.testing.assert_close(DropoutMasks(3).add(values, residual, 0.3), expected)
    assert torch.equal(DropoutMasks(3).add(values, residual, 0.0), residual + values)


def test_the_precision_of_the_values_is_kept():
    assert DropoutMasks(0)(torch.ones(8, dtype=torch.bfloat16), 0.1).dtype == torch.bfloat16
