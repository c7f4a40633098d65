"""Label Studio: an export of tasks with regions in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.importers.json_file import read_json
from avel_tf.datasets.reading import parse_seconds


def read_labelstudio(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read an export in the format JSON.

    A task's last annotation that was not cancelled counts; without one, its first prediction.

    Args:
        path: The export.
        video: Not used: the file names its videos.

    Returns:
        The events by video, which is the `video` of the task's data.

    Raises:
        DatasetError: The file is not of this form, or a region counts frames.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise DatasetError(f"{path}: expected a list of tasks; export with the format JSON.")
    videos: dict[str, list[Annotation]] = {}
    for number, task in enumerate(tasks, start=1):
        where = f"{path}, task {number}"
        try:
            kept = [each for each in task.get("annotations", ()) if not each.get("was_cancelled")]
            answer = (kept[-1:] or [*task.get("predictions", ())[:1], {}])[0]
            events = [event for each in answer.get("result", ()) for event in _events(each, where)]
            videos.setdefault(str(task["data"]["video"]), []).extend(events)
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f'{where}: expected {{"data": {{"video"}}, "annotations": [{{"result"}}]}}, whose '
                'regions have a value with "start", "end" and "labels".'
            ) from error
    return videos


def _events(region: dict[str, Any], where: str) -> list[Annotation]:
    if region["type"] == "timelinelabels":
        raise DatasetError(
            f"{where}: regions of TimelineLabels count frames, whose rate the export does not "
            "have; use Labels on the Audio tag, as in docs/reference/results.md."
        )
    if region["type"] != "labels":
        return []
    value = region["value"]
    start, end = (parse_seconds(str(value[name]), name, where) for name in ("start", "end"))
    return [Annotation(str(label), start, end) for label in value["labels"]]
