"""Label Studio: an export of tasks with regions in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.importers.json_file import read_json
from avel_tf.datasets.reading import parse_seconds

_FRAMES = (
    "{where}: regions of TimelineLabels count frames, whose rate the export does not have; use "
    "Labels on the Audio tag, as in docs/reference/results.md."
)


def read_labelstudio(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read an export in the format JSON or JSON_MIN.

    A task's last annotation that was not cancelled counts; without one, its first prediction.
    JSON_MIN has a record for each annotation, in their order.

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
            if "data" in task:
                name, events = str(task["data"]["video"]), _task_events(task, where)
                videos.setdefault(name, []).extend(events)
            else:
                videos[str(task["video"])] = _minimal_events(task, where)
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f'{where}: expected {{"data": {{"video"}}, "annotations": [{{"result"}}]}}, whose '
                'regions have a value with "start", "end" and "labels".'
            ) from error
    return videos


def _task_events(task: dict[str, Any], where: str) -> list[Annotation]:
    kept = [each for each in task.get("annotations", ()) if not each.get("was_cancelled")]
    answer = (kept[-1:] or [*task.get("predictions", ())[:1], {}])[0]
    return [event for each in answer.get("result", ()) for event in _events(each, where)]


def _minimal_events(task: dict[str, Any], where: str) -> list[Annotation]:
    """The events of a JSON_MIN record, in which the regions of each tag are a list."""
    regions = [each for found in task.values() if isinstance(found, list) for each in found]
    if any("timelinelabels" in each for each in regions):
        raise DatasetError(_FRAMES.format(where=where))
    return [event for each in regions if "labels" in each for event in _spans(each, where)]


def _events(region: dict[str, Any], where: str) -> list[Annotation]:
    if region["type"] == "timelinelabels":
        raise DatasetError(_FRAMES.format(where=where))
    return _spans(region["value"], where) if region["type"] == "labels" else []


def _spans(value: dict[str, Any], where: str) -> list[Annotation]:
    start, end = (parse_seconds(str(value[name]), name, where) for name in ("start", "end"))
    return [Annotation(str(label), start, end) for label in value["labels"]]
