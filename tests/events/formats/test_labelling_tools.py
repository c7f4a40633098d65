"""FiftyOne and Label Studio's own library open what is written for them.

Both need an environment of their own, which `make tools` installs in `.tools`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest

from avel_tf.datasets.importers import import_annotations
from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result
from avel_tf.synthesis.writer import write_video
from tests.events.formats.test_other_tools import HOSTILE_LABELS

ROOT = Path(__file__).parents[3]
PYTHON = os.environ.get("AVEL_TOOLS_PYTHON", str(ROOT / ".tools" / "bin" / "python"))
# XML, in which Label Studio is configured, has neither NUL nor lone surrogates.
LABELS = [label for label in HOSTILE_LABELS if not set(label) & {"\0", "\udcff"}]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(PYTHON).exists(), reason="`make tools` has not been run"),
]


def outside(*arguments: object) -> object:
    environment = {**os.environ, "FIFTYONE_DO_NOT_TRACK": "true"}
    script = Path(__file__).with_name("tool_venv.py")
    ran = subprocess.run(
        [PYTHON, script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("absolute", [True, False])
def test_fiftyone_finds_the_videos_and_the_frames(tmp_path: Path, absolute: bool) -> None:
    videos = tmp_path / "videos"
    for name in ("a b/dog.mp4", "häuser.mp4", "quiet.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        frames = np.zeros((100, 32, 32, 3), np.uint8)
        write_video(videos / name, frames, np.zeros(16000 * 4, np.float32), frame_rate=25)
    events = [Event(label, 0, 2, 0.5) for label in LABELS] + [Event("Bark", 2, 3.2, 0.9)]
    prefix = f"{videos}/" if absolute else ""
    results = [
        Result(f"{prefix}a b/dog.mp4", "ok", None, 4.0, (), events),
        Result(f"{prefix}häuser.mp4", "ok", None, 4.0, (), events[-1:]),
        Result(f"{prefix}quiet.mp4", "ok", None, 4.0),
    ]
    path = write_formats(["fiftyone"], results, tmp_path / "out")["fiftyone"]
    found = outside("fiftyone", path, videos)
    assert isinstance(found, dict)
    # FiftyOne spreads the frames, counted from 1, evenly from the start to the very end.
    bark = ["Bark", 0.9, 51, 80]
    assert {video: sorted(detections) for video, detections in found.items()} == {
        f"{videos}/a b/dog.mp4": sorted([*([label, 0.5, 1, 51] for label in LABELS), bark]),
        f"{videos}/häuser.mp4": [bark],
        f"{videos}/quiet.mp4": [],
    }


def test_label_studio_takes_the_tasks_and_gives_them_back(tmp_path: Path) -> None:
    config = tmp_path / "config.xml"
    values = "".join(f"<Label value={quoteattr(label)}/>" for label in LABELS)
    config.write_text(
        '<View><Video name="video" value="$video" sync="audio"/>'
        f'<Labels name="label" toName="audio">{values}</Labels>'
        '<Audio name="audio" value="$video" sync="video"/></View>',
        "utf-8",
    )
    events = [Event(label, place, place + 1.5, 0.5) for place, label in enumerate(LABELS)]
    results = [
        Result("dog.mp4", "ok", None, 60.0, (), events, "demo/1"),
        Result("quiet.mp4", "ok", None, 4.0, (), (), "demo/1"),
    ]
    path = write_formats(["labelstudio"], results, tmp_path)["labelstudio"]
    assert outside("labelstudio", config, path, tmp_path) == []
    for name in ("JSON", "JSON_MIN"):
        export, table = tmp_path / name / "result.json", tmp_path / f"{name}.csv"
        read = import_annotations(export, "labelstudio", table)
        assert set(read) == {"dog.mp4", "quiet.mp4"} and read["quiet.mp4"] == []
        assert [(each.label, each.start, each.end) for each in read["dog.mp4"]] == [
            (event.label, event.start, event.end) for event in events
        ]
