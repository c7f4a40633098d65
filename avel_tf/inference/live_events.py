"""Events of a live stream, each as soon as it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from avel_tf.events.event import Event
from avel_tf.inference.pipeline import InferencePipeline

# Segments that are kept. A longer event is told in parts of this length.
_MOST_SEGMENTS = 300


class LiveEvents:
    """Postprocessing of a stream's segments into events while they come.

    An event is told once so many segments follow it that no later one can extend or replace it:
    one more than the gaps that the model's postprocessing bridges. Streams shorter than five
    minutes give the events of the whole stream; in longer ones, an event of over five minutes is
    told in parts.

    Args:
        pipeline: The model, for its postprocessing.
        on_event: Called with each event.
    """

    def __init__(self, pipeline: InferencePipeline, on_event: Callable[[Event], None]) -> None:
        self._pipeline = pipeline
        self._on_event = on_event
        self._rows: list[np.ndarray] = []
        self._valid: list[bool] = []
        self._first = 0  # second of the first row
        self._told: set[tuple[str, float]] = set()  # label and start

    def add(self, probabilities: np.ndarray, valid: bool) -> None:
        """Add the next segment, probabilities float32 [C+1]."""
        self._rows.append(probabilities)
        self._valid.append(valid)
        gap = self._pipeline.model.postprocessing.events.fill_gap_seconds
        waiting = self._tell(self._first + len(self._rows) - gap - 1)
        if len(self._rows) >= _MOST_SEGMENTS:
            self._cut(waiting)

    def end(self) -> None:
        """Tell the events that reach to the end of the stream."""
        self._tell(self._first + len(self._rows))

    def _tell(self, until: float) -> list[Event]:
        """Tell the events that end by a time; returns the others."""
        if not any(self._valid):
            return []
        found = self._pipeline.model.postprocessing.events.decode(
            self._pipeline.scores(np.stack(self._rows)),
            self._pipeline.labels,
            np.array(self._valid),
        )
        waiting = []
        for each in found:
            event = replace(each, start=each.start + self._first, end=each.end + self._first)
            if event.end > until:
                waiting.append(event)
            elif (event.label, event.start) not in self._told:
                self._told.add((event.label, event.start))
                self._on_event(event)
        return waiting

    def _cut(self, waiting: list[Event]) -> None:
        """Drop the segments before the events that are waiting."""
        end = self._first + len(self._rows)
        start = int(min([event.start for event in waiting], default=end))
        if end - start > _MOST_SEGMENTS // 2:
            self._tell(end)
            start = end
        del self._rows[: start - self._first]
        del self._valid[: start - self._first]
        self._first = start
        self._told = {(label, at) for label, at in self._told if at >= start}
