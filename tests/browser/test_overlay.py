"""Overlay videos in Debian's Chromium."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avel_tf.events.event import Event
from avel_tf.events.result import Result
from avel_tf.reports.overlay import write_overlay
from tests.processes import wait_until
from tests.video.films import tone, write_film

pytestmark = pytest.mark.slow

PAGE = '<video src="out.mp4" muted autoplay></video>'
STATE = """() => { const v = document.querySelector("video"); return {
    time: v.currentTime, width: v.videoWidth, height: v.videoHeight, duration: v.duration,
    error: v.error && v.error.message, audio: v.webkitAudioDecodedByteCount } }"""


@pytest.mark.parametrize(
    ("rotation", "rate", "layout", "width"),
    [(None, 48_000, "stereo", 320), (90, 44_100, "mono", 320), (None, 22_050, "stereo", 320)],
)
def test_chromium_plays_an_overlay(
    rotation: int | None, rate: int, layout: str, width: int, chromium: Any, tmp_path: Any
) -> None:
    sound = np.stack([tone(3, rate, 440)] * (2 if layout == "stereo" else 1))
    path = tmp_path / "film.mp4"
    film = write_film(
        path, seconds=3, sound=sound, sound_rate=rate, layout=layout, rotation=rotation
    )
    result = Result(str(film), "ok", None, 3.0, events=(Event("Bark", 1.0, 2.0, 0.9),))
    write_overlay(result, tmp_path / "out.mp4")
    (tmp_path / "page.html").write_text(PAGE)
    page = chromium.new_page()
    try:
        page.goto((tmp_path / "page.html").as_uri())
        wait_until(lambda: page.evaluate(STATE)["time"] > 0.5)
        state = page.evaluate(STATE)
    finally:
        page.close()
    assert state["error"] is None and state["audio"] > 0
    picture = 640 if rotation else 160
    assert state["width"] == width and picture + 40 < state["height"] < picture + 120
    assert state["duration"] == pytest.approx(3.0, abs=0.1)
