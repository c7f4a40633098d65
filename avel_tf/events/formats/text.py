"""Labels and tiers for formats that are plain text or XML."""

from __future__ import annotations

from collections.abc import Iterable

from avel_tf.events.event import SHORTEST_SPAN_S, Event
from avel_tf.events.result import Result
from avel_tf.utils.text import one_line


def label_text(label: str) -> str:
    """A label on one line, never empty: readers drop annotations without text."""
    return one_line(label) or "?"


def length(result: Result) -> float:
    """Length of a video in seconds: its duration, or the last end in the result.

    Zero if nothing is known. No event ends later.
    """
    segments = (each.end for each in result.seconds)
    return max(result.duration or 0.0, *segments, *(each.end for each in result.events), 0.0)


def tiers(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Sort events into tiers of one label without overlaps, as ELAN and Praat require.

    Args:
        events: Events of one video, in any order.

    Returns:
        Events by the name of the tier, which is the label. Events of one label that overlap are in
        further tiers, whose names end in a number.
    """
    by_label: dict[str, list[list[Event]]] = {}
    for event in sorted(events, key=lambda each: (each.start, each.end)):
        layers = by_label.setdefault(label_text(event.label), [])
        free = (layer for layer in layers if layer[-1].end <= event.start)
        if (layer := next(free, None)) is not None:
            layer.append(event)
        else:
            layers.append([event])
    named = {label: layers[0] for label, layers in by_label.items()}
    for label, layers in by_label.items():
        number = 2
        for layer in layers[1:]:
            while f"{label} ({number})" in named:
                number += 1
            named[f"{label} ({number})"] = layer
    return named


def milliseconds(seconds: float) -> int:
    """A time in whole milliseconds, the precision of a result."""
    return round(seconds * 1000)


def at_least_a_millisecond(seconds: float) -> float:
    """A length that formats accept whose time axis must not be empty."""
    return max(seconds, SHORTEST_SPAN_S)
