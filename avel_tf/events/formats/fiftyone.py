"""FiftyOne: labels of a `FiftyOneTemporalDetectionDataset`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode


def write_fiftyone(results: Iterable[Result], file: TextIO) -> None:
    """Write the temporal detections of every video; null for a video without an event.

    The key of a video is its absolute path or, as FiftyOne demands, its relative path without the
    suffix. Where two relative paths differ in their suffix only, the later keeps its suffix, so
    that no event is taken for one of the other video.

    Args:
        results: The results.
        file: A text file.

    Reference:
        Voxel51, FiftyOne documentation: FiftyOneTemporalDetectionDataset.
    """
    found: dict[str, list[dict[str, Any]] | None] = {}
    videos: dict[str, str] = {}  # the video of each key
    for result in results:
        key = _key(result.video)
        if videos.setdefault(key, result.video) != result.video:
            key = valid_unicode(result.video)
        events = [
            {"label": each.label, "confidence": each.score, "timestamps": [each.start, each.end]}
            for each in result.events
        ]
        found[key] = [*(found.get(key) or []), *events] or None
    classes = sorted({event["label"] for events in found.values() for event in events or ()})
    json.dump({"classes": classes, "labels": found}, file, indent=1)
    file.write("\n")


def _key(video: str) -> str:
    path = os.path.normpath(video)
    return valid_unicode(path if os.path.isabs(path) else os.path.splitext(path)[0])
