"""Whole numbers count the same instants as fractions do."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.video.frame_sampler import SampleTimes

TICKS = st.sampled_from([(1, 1000), (1, 90_000), (1001, 30_000), (1, 12_288), (1, 25), (3, 7)])


@given(
    origin=st.fractions(-10, 10, max_denominator=90_000),
    tick=TICKS,
    rate=st.integers(1, 60),
    ticks=st.integers(-1000, 500_000),
)
def test_it_counts_what_lies_before(
    origin: Fraction, tick: tuple[int, int], rate: int, ticks: int
) -> None:
    time = ticks * Fraction(*tick) - origin
    count = SampleTimes(origin, Fraction(*tick), rate).before(ticks)
    # Instant n lies at (2n + 1) / 2F.
    assert count == 0 or Fraction(2 * count - 1, 2 * rate) < time
    assert Fraction(2 * count + 1, 2 * rate) >= time


@pytest.mark.parametrize(("ticks", "count"), [(499, 0), (500, 0), (501, 1), (1500, 1), (1501, 2)])
def test_one_that_begins_just_then_does_not_lie_before(ticks: int, count: int) -> None:
    assert SampleTimes(Fraction(0), Fraction(1, 1000), 1).before(ticks) == count
    assert SampleTimes(Fraction(0), Fraction(1, 1000), 1).before(Fraction(ticks)) == count
