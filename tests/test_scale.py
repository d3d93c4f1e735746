"""What a score is read on: the one place where its sign is turned, and how it is written."""

import math

import numpy as np
import pandas as pd
import pytest

from seedgrid.scale import Scale, shared_word
from seedgrid.wording import number


@pytest.mark.parametrize("values", [0.25, np.array([0.0, -0.0, 3.5]), pd.Series([1.0, 0.0])])
def test_turned_twice_a_score_is_what_it_was_and_zero_has_no_sign(values):
    scale = Scale("loss", "min")
    assert (np.asarray(scale.turned(scale.turned(values))) == np.asarray(values)).all()
    assert not np.signbit(np.asarray(scale.turned(np.zeros(2)))).any()
    assert scale.turned(None) is None
    assert Scale("accuracy").turned(values) is values


def test_limits_are_those_of_the_training_or_else_of_the_metric_of_that_name():
    assert Scale.of("mcc").limits == Scale.of("mcc").bounds == (-1, 1)
    assert Scale.of("mcc", "max", (0, None)).limits == (0, math.inf)
    loss = Scale.of("loss", "min", (0, None))
    assert (loss.limits, loss.bounds, loss.known_limits) == ((0, math.inf), (-math.inf, 0), (0, None))


def test_the_best_is_of_the_finite_scores():
    scores = [math.nan, 3.0, -math.inf, 1.0, None, math.inf]
    assert (Scale("return").best(scores), Scale("loss", "min").best(scores)) == (3.0, 1.0)
    assert Scale("loss", "min").best([math.nan]) is None


@pytest.mark.parametrize(
    ("scores", "decimals"),
    [
        *(([0.9, 0.8], 4), ([51.3, 52.4], 2), ([513.0, 524.0], 1), ([51300.0, 52400.0], 0), ([1000.0, 1000.04], 3)),
        *(([0.000513, 0.000524], 7), ([0.3, 0.31, 0.4, 1e8], 4), ([0.3, 1e8], 4), ([], 4), ([0.0, 0.0], 4)),
    ],
)
def test_decimals_tell_the_better_half_of_the_scores_apart(scores, decimals):
    assert Scale("loss", "min").fitted(scores).decimals == decimals
    assert Scale("accuracy", "max", 0, 1).fitted(scores).decimals == 4


@pytest.mark.parametrize(
    ("value", "decimals", "said"),
    [
        *((0.91444, 4, "0.9144"), (51.3, 2, "51.30"), (-1234.5, 1, "-1,234.5"), (1e8, 4, "100,000,000")),
        *((3e-9, 12, "3.000e-09"), (0.0, 12, "0.0000"), (5e12, 0, "5.000e+12"), (math.inf, 4, "inf")),
    ],
)
def test_a_number_is_written_with_so_many_decimals_as_it_can_bear(value, decimals, said):
    assert number(value, decimals) == said


def test_a_word_that_scales_do_not_share_is_another():
    both = Scale("accuracy"), Scale("loss", "min")
    assert [shared_word(scales, "best_word", "best") for scales in (both, both[:1], both[1:])] == [
        *("best", "highest", "lowest")
    ]
