"""ActivityNet: detections as JSON, the submission format of its evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode


def write_activitynet(results: Iterable[Result], file: TextIO) -> None:
    """Write the detections of every video; an empty list for a video without an event.

    Args:
        results: The results. The id of a video is its path.
        file: A text file.

    Reference:
        ActivityNet Challenge, temporal action localization: format of submissions.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        found.setdefault(valid_unicode(result.video), []).extend(
            {"label": each.label, "score": each.score, "segment": [each.start, each.end]}
            for each in result.events
        )
    json.dump({"version": "VERSION 1.3", "results": found, "external_data": {}}, file, indent=1)
    file.write("\n")
