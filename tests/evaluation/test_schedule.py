"""At which steps a trial is validated."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedgrid.evaluation.schedule import dodge2020_steps, evaluation_steps

PER_EPOCH = st.one_of(st.integers(1, 40), st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.5, 2.5, 3.3, 1 / 3, 1e-3]))


@pytest.mark.parametrize(
    ("steps", "steps_per_epoch", "per_epoch", "expected"),
    [
        (30, 10, 1, [10, 20, 30]),
        (30, 10, 10, list(range(1, 31))),
        (30, 10, 2.0, [5, 10, 15, 20, 25, 30]),
        (40, 10, 0.5, [20, 40]),
        (30, 10, 0.5, [20, 30]),  # the last step is always validated
        (30, 10, 0.1, [30]),
        (10, 10, 4, [3, 5, 8, 10]),  # after 2.5, 5, 7.5 and 10 steps, halves up
        (14, 7, 3, [2, 5, 7, 9, 12, 14]),  # 2.33, 4.67, 7, 9.33, 11.67, 14
        (690, 230, 10, list(range(23, 691, 23))),  # MRPC
        (4, 2, 10, [1, 2, 3, 4]),  # more validations than steps
        (7, 10, 10, [1, 2, 3, 4, 5, 6, 7]),  # less than one epoch
        (1, 1, 1, [1]),
        (3, 10, 1, [3]),
    ],
)
def test_validations_fall_after_the_nearest_step(steps, steps_per_epoch, per_epoch, expected):
    assert evaluation_steps(steps, steps_per_epoch, per_epoch) == expected
    assert evaluation_steps(steps, steps_per_epoch, per_epoch, at_start=True) == [0, *expected]


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 300), st.integers(1, 100), PER_EPOCH, st.booleans())
def test_the_schedule_is_its_definition_by_schoolbook_rounding(steps, steps_per_epoch, per_epoch, at_start):
    expected = {steps} | ({0} if at_start else set())
    k = 0
    while True:
        k += 1
        exact = k * Decimal(steps_per_epoch) / Decimal(str(per_epoch))
        step = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
        if step > steps:
            break
        if step > 0:
            expected.add(step)
    assert evaluation_steps(steps, steps_per_epoch, per_epoch, at_start) == sorted(expected)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 300), st.integers(1, 100), PER_EPOCH, st.booleans())
def test_no_step_is_validated_twice_and_the_last_always(steps, steps_per_epoch, per_epoch, at_start):
    chosen = evaluation_steps(steps, steps_per_epoch, per_epoch, at_start)
    assert all(earlier < later for earlier, later in pairwise(chosen))
    assert chosen[-1] == steps
    assert (chosen[0] == 0) == at_start


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 100), st.integers(1, 40))
def test_every_epochs_end_is_validated_where_validations_are_a_whole_number(epochs, steps_per_epoch, per_epoch):
    chosen = evaluation_steps(epochs * steps_per_epoch, steps_per_epoch, per_epoch)
    assert {epoch * steps_per_epoch for epoch in range(1, epochs + 1)} <= set(chosen)
    assert len(chosen) == epochs * min(per_epoch, steps_per_epoch)


@pytest.mark.parametrize("steps_per_epoch", [7, 60, 230, 536, 4210])
def test_the_papers_code_validated_densely_at_the_start(steps_per_epoch):
    steps = 3 * steps_per_epoch
    expected = {0, steps, *range(1, min(50, steps_per_epoch + 1))}
    expected |= {
        step for step in range(50, min(300, steps_per_epoch) + 1) if step % max(1, steps_per_epoch // 100) == 0
    }
    interval = min(100, max(1, steps_per_epoch // 10))
    for epoch in range(3):
        expected |= {epoch * steps_per_epoch + step for step in range(interval, steps_per_epoch + 1, interval)}
    assert dodge2020_steps(steps, steps_per_epoch, at_start=True) == sorted(expected)
