"""Shares as the report's sentences write them."""

import pytest

from seedgrid.wording import percent


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0 %"),
        (0.062, "6.2 %"),
        (0.0996, "10 %"),
        (0.45, "45 %"),
        (0.996, "99.6 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_0_or_100_per_cent_only_where_it_is(share, said):
    assert percent(share) == said
