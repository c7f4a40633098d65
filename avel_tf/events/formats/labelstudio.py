"""Label Studio: tasks with predictions, to be corrected in its editor."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode

# The names of the tags in Label Studio's template "Video Timeline Segmentation", in which the
# regions belong to the audio and the video follows. Its times are seconds, not frames.
LABELS_TAG, AUDIO_TAG = "label", "audio"


def write_labelstudio(results: Iterable[Result], file: TextIO) -> None:
    """Write a task per result, with one prediction.

    Args:
        results: The results, in the order of the tasks.
        file: A text file.

    Reference:
        Label Studio documentation: Import pre-annotated data.
    """
    start = "["
    for number, result in enumerate(results, start=1):
        file.write(start + "\n" + json.dumps(_task(number, result)))
        start = ","
    file.write("[]\n" if start == "[" else "\n]\n")


def _task(number: int, result: Result) -> dict[str, Any]:
    length = {} if result.duration is None else {"original_length": result.duration}
    regions = [
        {
            "id": f"{number}-{place}",
            "from_name": LABELS_TAG,
            "to_name": AUDIO_TAG,
            "type": "labels",
            "origin": "prediction",
            "score": event.score,
            "value": {"start": event.start, "end": event.end, "labels": [event.label]},
            **length,
        }
        for place, event in enumerate(result.events, start=1)
    ]
    prediction: dict[str, Any] = {"model_version": result.model or "avel-tf", "result": regions}
    if result.events:
        prediction["score"] = sum(each.score for each in result.events) / len(result.events)
    data = {"video": valid_unicode(result.video), "status": result.status, "reason": result.reason}
    return {"id": number, "data": data, "predictions": [prediction]}
