"""FiftyOne: labels of a `FiftyOneTemporalDetectionDataset`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode


def write_fiftyone(results: Iterable[Result], file: TextIO) -> None:
    """Write the temporal detections of every video; null for a video without an event.

    Args:
        results: The results. The key of a video is its path.
        file: A text file.

    Reference:
        Voxel51, FiftyOne documentation: FiftyOneTemporalDetectionDataset.
    """
    found: dict[str, list[dict[str, Any]] | None] = {}
    for result in results:
        key = valid_unicode(result.video)
        events = [
            {"label": each.label, "confidence": each.score, "timestamps": [each.start, each.end]}
            for each in result.events
        ]
        found[key] = [*(found.get(key) or []), *events] or None
    classes = sorted({event["label"] for events in found.values() for event in events or ()})
    json.dump({"classes": classes, "labels": found}, file, indent=1)
    file.write("\n")
