"""The seeds mean the same numbers everywhere, and nothing drawn before changes them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare

from seedgrid.seeds import Seeds, dropout_state, epoch_order, fixed_subset, new_layer_weights

SEED = st.integers(0, 2**32 - 1)


def test_new_layer_is_drawn_with_the_scale_of_the_model():
    weights = new_layer_weights(7, (200, 500), 0.02)
    assert weights.dtype == np.float32
    assert weights.shape == (200, 500)
    assert weights.mean() == pytest.approx(0, abs=4 * 0.02 / np.sqrt(100_000))
    assert weights.std() == pytest.approx(0.02, rel=0.01)


@settings(deadline=None, max_examples=50)
@given(SEED, st.integers(1, 5), st.integers(1, 40), SEED)
def test_new_layer_is_the_same_whatever_was_drawn_before(seed, rows, columns, other):
    first = new_layer_weights(seed, (rows, columns), 0.02)
    np.random.seed(other)
    np.random.default_rng(other).normal(size=10)
    new_layer_weights(other, (3, 3), 1.0)
    epoch_order(seed, 10, 0)
    np.testing.assert_array_equal(new_layer_weights(seed, (rows, columns), 0.02), first)


@settings(deadline=None, max_examples=50)
@given(SEED, SEED)
def test_new_layers_of_different_seeds_and_of_one_network_differ(seed, other):
    weights = new_layer_weights(seed, (2, 8), 1.0)
    assert not np.array_equal(weights, new_layer_weights(seed, (2, 8), 1.0, repeat=1))
    if other != seed:
        assert not np.array_equal(weights, new_layer_weights(other, (2, 8), 1.0))


@settings(deadline=None, max_examples=100)
@given(SEED, st.integers(1, 300), st.integers(0, 20))
def test_every_epoch_is_a_permutation(seed, examples, epoch):
    order = epoch_order(seed, examples, epoch)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(examples))


def test_epochs_and_order_seeds_have_permutations_of_their_own():
    orders = {tuple(epoch_order(seed, 50, epoch)) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_orders_are_uniform_over_the_permutations():
    counts = Counter(tuple(epoch_order(seed, 3, 0)) for seed in range(600))
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 1e-3


@settings(deadline=None, max_examples=100)
@given(SEED, st.integers(0, 2**31))
def test_dropout_state_is_a_seed_that_torch_takes(seed, step):
    assert 0 <= dropout_state(seed, step) < 2**63


def test_dropout_state_differs_from_step_to_step_and_seed_to_seed():
    assert len({dropout_state(seed, step) for seed in range(50) for step in range(200)}) == 50 * 200


def test_equal_seeds_of_different_kinds_share_no_stream():
    of_init_seed = np.random.default_rng([1, 5, 0])
    np.testing.assert_allclose(of_init_seed.standard_normal(3), new_layer_weights(5, (3,), 1.0), rtol=1e-6)
    assert not np.array_equal(epoch_order(5, 100, 0), np.random.default_rng([1, 5, 0]).permutation(100))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 500), st.data())
def test_fixed_subset_has_the_size_asked_for_in_ascending_order(examples, data):
    size = data.draw(st.integers(0, examples))
    subset = fixed_subset(examples, size)
    assert len(subset) == size
    assert (np.diff(subset) > 0).all()
    assert set(subset) <= set(range(examples))


def test_a_larger_fixed_subset_contains_the_smaller_one():
    assert set(fixed_subset(1000, 10)) < set(fixed_subset(1000, 100))


def test_streams_are_those_of_earlier_releases():
    # A sweep must be able to go on after an upgrade, and a seed that a paper names must go on meaning the same.
    np.testing.assert_allclose(
        new_layer_weights(12, (2, 2), 1.0), [[-0.44071525, -2.7007465], [0.47103176, -1.1044029]], rtol=1e-6
    )
    assert epoch_order(17, 8, 2).tolist() == [2, 7, 4, 5, 3, 1, 6, 0]
    assert dropout_state(0, 3) == 8053047280485620712
    assert fixed_subset(10, 4).tolist() == [1, 2, 7, 8]


@pytest.mark.parametrize("value", [-1, 2**32, 1.0, "1", True, None])
@pytest.mark.parametrize("name", ["init", "order", "dropout"])
def test_what_is_no_seed_is_refused(name, value):
    with pytest.raises(ValidationError):
        Seeds(**{name: value})
