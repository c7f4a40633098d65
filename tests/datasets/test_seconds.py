"""One label per second, against the definition spelled out second by second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.datasets import Annotation, segment_labels
from avel_tf.events.labels import Labels

LABELS = Labels(["bell", "dog", "flute"])
TIMES = st.one_of(
    st.integers(-2, 12).map(float),
    st.floats(-2, 12),
    st.integers(-4, 24).map(lambda halves: halves / 2),
)
EVENTS = st.lists(st.builds(Annotation, st.sampled_from(LABELS.names), TIMES, TIMES), max_size=5)


def brute_force(events: list[Annotation], seconds: int) -> list[int]:
    target = []
    for second in range(seconds):
        holders = [event for event in events if event.start <= second + 0.5 < event.end]
        # The one that began last; of those the one that ends first; then the lower index.
        holders.sort(key=lambda event: (-event.start, event.end, LABELS.index(event.label)))
        target.append(LABELS.index(holders[0].label) if holders else len(LABELS))
    return target


@given(EVENTS, st.integers(0, 12))
def test_against_brute_force(events: list[Annotation], seconds: int) -> None:
    target = segment_labels(events, LABELS, seconds)
    assert target.dtype == np.int64 and target.shape == (seconds,)
    assert target.tolist() == brute_force(events, seconds)


@given(EVENTS, st.randoms())
def test_order_of_events_plays_no_part(events: list[Annotation], random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    np.testing.assert_array_equal(
        segment_labels(events, LABELS, 10), segment_labels(shuffled, LABELS, 10)
    )


@given(st.integers(0, 10), st.integers(0, 10))
def test_whole_seconds_follow_the_rule_of_ave(start: int, end: int) -> None:
    target = segment_labels([Annotation("dog", start, end)], LABELS, 10)
    assert [s for s in range(10) if target[s] == 1] == [s for s in range(10) if start <= s < end]


def test_a_bark_in_a_song_is_a_bark() -> None:
    events = [Annotation("flute", 0, 6), Annotation("dog", 2, 3)]
    assert segment_labels(events, LABELS, 7).tolist() == [2, 2, 1, 2, 2, 2, 3]


def test_unknown_class() -> None:
    with pytest.raises(ValueError, match="'Flute' is not one of .* Did you mean 'flute'"):
        segment_labels([Annotation("Flute", 0, 1)], LABELS, 2)
