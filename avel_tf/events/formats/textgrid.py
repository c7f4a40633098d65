"""Praat TextGrid: a tier per label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from avel_tf.events.event import Event
from avel_tf.events.formats.text import at_least_a_millisecond, label_text, length, tiers
from avel_tf.events.result import Result


def write_textgrid(results: Iterable[Result], file: TextIO) -> None:
    """Write an interval tier per label; one empty tier for a video without an event.

    Args:
        results: One result.
        file: A text file.

    Reference:
        Boersma, Weenink: Praat manual, TextGrid file formats.
    """
    (result,) = results
    end = at_least_a_millisecond(length(result))
    named = tiers(result.events) or {"events": []}
    file.write(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0\nxmax = {end:.3f}\ntiers? <exists>\nsize = {len(named)}\nitem []:\n"
    )
    for number, (name, events) in enumerate(named.items(), start=1):
        intervals = list(_intervals(events, end))
        file.write(
            f'    item [{number}]:\n        class = "IntervalTier"\n'
            f"        name = {_quoted(name)}\n        xmin = 0\n        xmax = {end:.3f}\n"
            f"        intervals: size = {len(intervals)}\n"
        )
        for place, (first, last, text) in enumerate(intervals, start=1):
            file.write(
                f"        intervals [{place}]:\n            xmin = {first:.3f}\n"
                f"            xmax = {last:.3f}\n            text = {_quoted(text)}\n"
            )


def _intervals(events: list[Event], end: float) -> Iterator[tuple[float, float, str]]:
    """Intervals without gaps from 0 to the end, as a tier needs; those without text are empty."""
    now = 0.0
    for event in events:
        if event.start > now:
            yield now, event.start, ""
        yield event.start, event.end, label_text(event.label)
        now = event.end
    if now < end:
        yield now, end, ""


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
