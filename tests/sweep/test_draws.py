"""Which pairs of seeds are drawn: evenly over the seeds, the same every time."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedgrid.seeds import Seeds
from seedgrid.sweep.draws import draw_order


def grid(inits, orders, dropouts=1):
    return [Seeds(init=i, order=o, dropout=d) for i, o, d in product(range(inits), range(orders), range(dropouts))]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32))
def test_the_first_of_a_spread_draw_cover_every_seed_equally_often_or_once_more(inits, orders, seed):
    drawn = draw_order(grid(inits, orders), "spread", seed)
    assert sorted(drawn, key=repr) == sorted(grid(inits, orders), key=repr)
    for count in range(1, len(drawn) + 1):
        for name, seeds in (("init", inits), ("order", orders)):
            times = Counter(getattr(trial, name) for trial in drawn[:count])
            assert max(times.values()) - min(times[value] for value in range(seeds)) <= 1


@pytest.mark.parametrize("draw", ["spread", "random"])
def test_the_draw_seed_decides_and_a_longer_draw_begins_with_the_shorter(draw):
    choices = grid(6, 6)
    assert draw_order(choices, draw, 1) == draw_order(choices, draw, 1)
    assert draw_order(choices, draw, 1) != draw_order(choices, draw, 2)
    assert set(draw_order(choices, draw, 1)) == set(choices)


def test_a_random_draw_is_not_spread():
    uneven = 0
    for seed in range(20):
        times = Counter(trial.init for trial in draw_order(grid(6, 6), "random", seed)[:6])
        uneven += max(times.values()) > 1
    assert uneven > 10  # six of 36 at random have six different inits with probability 0.024


@pytest.mark.parametrize("draw", ["spread", "random"])
def test_independent_pairs_come_in_a_random_order(draw):
    choices = [Seeds(init=k, order=k + 5) for k in range(10)]
    drawn = draw_order(choices, draw, 3)
    assert set(drawn) == set(choices)
    assert drawn != choices


def test_every_pair_comes_once_before_any_comes_with_another_dropout_seed():
    drawn = draw_order(grid(3, 4, dropouts=2), "spread", 0)
    assert len(set(drawn)) == 24
    for part in (drawn[:12], drawn[12:]):
        assert len({(trial.init, trial.order) for trial in part}) == 12
