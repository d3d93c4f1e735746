"""The learning rate of each step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import get_linear_schedule_with_warmup

from seedgrid.training.text.model.schedules import linear_with_warmup


@pytest.mark.parametrize(("steps", "warmup_steps"), [(10, 1), (690, 69), (20, 0), (7, 3)])
def test_factors_are_those_of_transformers(steps, warmup_steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup_steps, steps).lr_lambdas[0]
    factors = [linear_with_warmup(step, steps, warmup_steps / steps) for step in range(steps)]
    assert factors == pytest.approx([schedule(step) for step in range(steps)], abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0, 0.99))
def test_the_rate_rises_from_0_to_the_peak_and_falls_to_0_in_straight_lines(steps, warmup):
    places = [warmup * steps, steps] if warmup == 0 else [0, warmup * steps, steps]
    expected = np.interp(np.arange(steps), places, [1, 0] if warmup == 0 else [0, 1, 0])
    np.testing.assert_allclose([linear_with_warmup(step, steps, warmup) for step in range(steps)], expected, atol=1e-9)


def test_without_warm_up_the_first_step_has_the_peak_rate():
    assert linear_with_warmup(0, 10, 0.0) == 1
    assert linear_with_warmup(0, 10, 0.1) == 0
