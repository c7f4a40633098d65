"""Thumbnails: the frame of the event, bounded, and what was left out is said."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result
from avel_tf.reports import thumbnails
from avel_tf.reports.results_report import write_results_report
from avel_tf.reports.thumbnails import make_thumbnails
from tests.reports.pages import Page
from tests.reports.test_results_report import videos_of


@pytest.fixture(scope="module")
def video(clips: Path) -> Path:
    return sorted(clips.glob("videos/**/*.mp4"))[0]


def labelled(path: object, *events: tuple[float, float, float]) -> Result:
    found = tuple(Event("Bark", *each) for each in events)
    return Result(str(path), "ok", None, 4.0, (), found)


def decoded(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_a_thumbnail_is_the_middle_frame_of_its_event(video, tmp_path):
    from avel_tf.video.decode import decode_clip

    result = labelled(video, (0, 1, 0.5), (2, 4, 0.9))
    made = make_thumbnails([result], 10, tmp_path)
    assert set(made.images) == {(str(video), 0), (str(video), 1)} and made.omitted == 0
    size = decoded(made.images[str(video), 1]).shape[:2]
    expected = decode_clip(video, size=size).frames[:, 0].astype(int)
    image = decoded(made.images[str(video), 1]).astype(int)
    distances = np.abs(expected - image).mean(axis=(1, 2, 3))
    assert distances.argmin() == 3 and size[0] == thumbnails.HEIGHT


def test_the_best_event_of_each_video_comes_first(video, tmp_path):
    copy = tmp_path / "b.mp4"
    copy.write_bytes(video.read_bytes())
    results = [labelled(video, (0, 1, 0.5), (2, 4, 0.9)), labelled(copy, (0, 1, 0.1))]
    made = make_thumbnails(results, 2, tmp_path)
    assert set(made.images) == {(str(video), 1), (str(copy), 0)} and made.omitted == 1


def test_moved_broken_and_late_ones_are_left_out(video, tmp_path, monkeypatch):
    (tmp_path / "broken.mp4").write_bytes(b"garbage" * 100)
    results = [
        labelled("gone.mp4", (0, 1, 0.5)),
        labelled(tmp_path / "broken.mp4", (0, 1, 0.5)),
        labelled(video, (0, 1, 0.5), (1000, 1001, 0.9)),
    ]
    made = make_thumbnails(results, 10, tmp_path)
    assert set(made.images) == {(str(video), 0)} and made.failed == 2 and made.omitted == 3
    monkeypatch.setattr(thumbnails, "MOST_BYTES", 100)
    assert not make_thumbnails(results, 10, tmp_path).images
    assert not make_thumbnails(results, 0, tmp_path).images


def test_the_page_says_how_many_events_have_none(video, tmp_path):
    write_formats(["jsonl"], [labelled(video, (0, 1, 0.5), (2, 4, 0.9))], tmp_path)
    page = Page(write_results_report(tmp_path, thumbnails=1))
    assert "1 event with a thumbnail, 1 without (--thumbnails)." in page.find("p", "muted")[0].text
    images = [(event + [None] * 7)[6] for event in videos_of(page)[0]["events"]]
    assert images[0] is None and images[1].startswith("data:image/jpeg;base64,")
