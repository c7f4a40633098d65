"""OpenTimelineIO: the video on a timeline, with a marker per event."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, TextIO

from avel_tf.events.formats.text import (
    at_least_a_millisecond,
    label_text,
    length,
    milliseconds,
)
from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode

# OpenTimelineIO allows any rate. Milliseconds are exact; an editor rounds to its own frames.
RATE = 1000.0


def write_otio(results: Iterable[Result], file: TextIO) -> None:
    """Write a timeline of one clip, which has a marker per event.

    Markers may overlap, so this holds for multi-label models as well.

    Args:
        results: One result.
        file: A text file.

    Reference:
        Academy Software Foundation, OpenTimelineIO: serialized schema.
    """
    (result,) = results
    name = valid_unicode(os.path.basename(result.video))
    whole = _range(0.0, at_least_a_millisecond(length(result)))
    markers = [
        {
            "OTIO_SCHEMA": "Marker.2",
            "name": label_text(event.label),
            "color": "GREEN",
            "comment": "",
            "marked_range": _range(event.start, event.end),
            "metadata": {"avel_tf": {"score": event.score}},
        }
        for event in result.events
    ]
    media = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "target_url": valid_unicode(result.video),
        "available_range": whole,
        "metadata": {},
    }
    clip = {
        **_item("Clip.2", name, whole),
        "media_references": {"DEFAULT_MEDIA": media},
        "active_media_reference_key": "DEFAULT_MEDIA",
        "markers": markers,
    }
    track = {**_item("Track.1", "video", None), "kind": "Video", "children": [clip]}
    timeline = {
        "OTIO_SCHEMA": "Timeline.1",
        "name": name,
        "global_start_time": None,
        "metadata": {},
        "tracks": {**_item("Stack.1", "tracks", None), "children": [track]},
    }
    json.dump(timeline, file, indent=1)
    file.write("\n")


def _item(schema: str, name: str, source_range: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": schema,
        "name": name,
        "source_range": source_range,
        "effects": [],
        "markers": [],
        "enabled": True,
        "metadata": {},
    }


def _range(start: float, end: float) -> dict[str, Any]:
    first, last = milliseconds(start), milliseconds(end)
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(first),
        "duration": _time(last - first),
    }


def _time(value: int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": RATE, "value": float(value)}
