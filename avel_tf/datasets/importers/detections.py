"""ActivityNet JSON: annotations (`database`) or detections (`results`)."""

from __future__ import annotations

from pathlib import Path

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.importers.json_file import read_json
from avel_tf.datasets.reading import parse_seconds


def read_detections(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read an ActivityNet file.

    Args:
        path: The file, with an object `database` or `results`.
        video: Not used: the file names its videos.

    Returns:
        The events by video: the `path` of an entry, or its id.

    Raises:
        DatasetError: The file is not of this form.
    """
    content = read_json(path)
    content = content if isinstance(content, dict) else {}
    found = content.get("database", content.get("results"))
    if not isinstance(found, dict):
        raise DatasetError(f"{path} has neither 'database' nor 'results'; expected ActivityNet.")
    videos = {}
    for name, entry in found.items():
        where = f"{path}, video {name!r}"
        listed = entry.get("annotations") or [] if isinstance(entry, dict) else entry
        named = entry.get("path") if isinstance(entry, dict) else None
        try:
            videos[str(named or name)] = [
                Annotation(
                    str(each["label"]),
                    *(parse_seconds(str(time), "segment", where) for time in each["segment"]),
                )
                for each in listed
            ]
        except (KeyError, TypeError) as error:
            raise DatasetError(
                f'{where}: expected a list of {{"segment": [start, end], "label": name}}; '
                f"received {str(listed)[:80]}."
            ) from error
    return videos
