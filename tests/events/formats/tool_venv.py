"""Run by the Python of `make tools`, which has FiftyOne and label-studio-sdk; prints JSON.

They need other versions of NumPy and OpenCV than TensorFlow, hence an environment of their own.

    tool_venv.py fiftyone LABELS.json VIDEOS
    tool_venv.py labelstudio CONFIG.xml TASKS.json OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def fiftyone(labels: str, videos: str) -> object:
    """Detections of each video file: label, confidence and frames, counted from 1."""
    from fiftyone.core.metadata import VideoMetadata
    from fiftyone.utils.data import FiftyOneTemporalDetectionDatasetImporter

    # FiftyOne asks ffprobe, which not every machine has. These are the videos of the test.
    VideoMetadata.build_for = lambda path: VideoMetadata(
        total_frame_count=100, frame_rate=25, duration=4.0
    )
    importer = FiftyOneTemporalDetectionDatasetImporter(labels_path=labels, data_path=videos)
    importer.setup()
    return {
        path: [[each.label, each.confidence, *each.support] for each in found.detections]
        if found
        else []
        for path, _, found, _ in importer
    }


def labelstudio(config: str, tasks: str, out: str) -> object:
    """Check tasks against a labeling configuration and export them as if a person had saved them.

    Returns:
        Errors of the predictions. The exports are `OUT/JSON` and `OUT/JSON_MIN`.
    """
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface

    xml, content = Path(config).read_text("utf-8"), json.loads(Path(tasks).read_text("ascii"))
    interface = LabelInterface(xml)
    interface.validate()
    errors = [
        error
        for task in content
        for prediction in task["predictions"]
        for error in interface.validate_prediction(prediction, return_errors=True)
    ]
    for task in content:
        regions = task["predictions"][0]["result"]
        task["annotations"] = [{"id": task["id"], "result": regions, "completed_by": {"id": 1}}]
    saved = Path(out) / "saved.json"
    saved.write_text(json.dumps(content), "ascii")
    for name in ("JSON", "JSON_MIN"):
        Converter(xml, out, download_resources=False).convert(
            str(saved), f"{out}/{name}", name, is_dir=False
        )
    return errors


if __name__ == "__main__":
    _, command, *arguments = sys.argv
    answer = {"fiftyone": fiftyone, "labelstudio": labelstudio}[command](*arguments)
    print(json.dumps(answer))
