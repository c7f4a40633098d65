"""An hour of video with 10,000 events: only what is in view is drawn."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Served, wait_for

pytestmark = pytest.mark.slow

SECONDS = 3600
EVENTS = 10_000
LABELS = [f"Class {number}" for number in range(20)]
MOST_LANES = 6
# Wheels over the timeline once a frame, and records the time between frames, the time spent in
# callbacks of each, and the number of events drawn.
SCROLL = """
([frames, wheel]) => new Promise((resolve) => {
  const canvas = document.querySelector('.timeline canvas');
  const box = canvas.getBoundingClientRect();
  const found = [];
  let last = performance.now();
  const tick = (now) => {
    found.push([now - last, window.spent, Number(canvas.dataset.eventsDrawn)]);
    last = now;
    window.spent = 0;
    if (found.length > frames) return resolve(found.slice(1));
    canvas.dispatchEvent(new WheelEvent('wheel', {
      ...wheel, clientX: box.x + box.width / 3, clientY: box.y + 50, cancelable: true,
    }));
    window.nextFrame(tick);
  };
  window.nextFrame(tick);
})
"""
TIMED_FRAMES = """
window.spent = 0;
window.nextFrame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (callback) => window.nextFrame((now) => {
  const start = performance.now();
  callback(now);
  window.spent += performance.now() - start;
});
"""


def long_video(page: Any, server: Served, video: str) -> None:
    """Answers for the video as if it were an hour long."""
    random.seed(0)
    starts = [random.uniform(0, SECONDS - 3) for _ in range(EVENTS)]
    events = [
        {
            "id": f"e{number}",
            "label": random.choice(LABELS),
            "start": round(start, 3),
            "end": round(start + random.choice((0.2, 1, 2, 3)), 3),
            "score": round(random.random(), 3),
            "status": random.choice(("predicted", "accepted", "rejected")),
            "predicted": None,
            "author": None,
            "time": None,
        }
        for number, start in enumerate(starts)
    ]
    scores = [[round(random.random(), 3) for _ in range(SECONDS)] for _ in LABELS]
    waveform = random.randbytes(SECONDS * 50 * 2)
    videos = server.get("/videos")
    for each in videos["videos"]:
        each["duration"], each["seconds"] = SECONDS, SECONDS
    tile = server_tile(server, video)
    path = f"**/api/v1/videos/{video}"
    curves = {"labels": LABELS, "valid": [1] * SECONDS, "scores": scores}
    for pattern, body in (
        ("**/api/v1/videos", json.dumps(videos)),
        (f"{path}/annotations", json.dumps({"annotations": events})),
        (f"{path}/scores", json.dumps(curves)),
        (f"{path}/waveform", waveform),
        (f"{path}/spectrogram/*.png", tile),
    ):
        page.route(pattern, answer(body))


def answer(body: str | bytes) -> Callable[[Any], None]:
    return lambda route: route.fulfill(body=body)


def server_tile(server: Served, video: str) -> bytes:
    import httpx

    return httpx.get(f"{server.url}/api/v1/videos/{video}/spectrogram/0.png").content


def test_ten_thousand_events_scroll_and_zoom(
    server: Served,
    labelled: str,
    open_page: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    def prepare(page: Any) -> None:
        page.add_init_script(TIMED_FRAMES)
        long_video(page, server, labelled)

    page = open_page(f"{server.url}/#/videos/{labelled}", prepare=prepare)
    page.get_by_role("option").first.wait_for()
    wait_for(page, "Number(document.querySelector('canvas').dataset.eventsDrawn) > 1000")
    assert page.get_by_role("option").count() < 50  # of 10,000 rows
    width = page.locator("canvas").bounding_box()["width"]
    for name, wheel, frames in (
        ("zoom in", {"deltaY": -80}, 30),
        ("scroll", {"deltaX": 60}, 120),
        ("zoom out", {"deltaY": 80}, 30),
    ):
        found = page.evaluate(SCROLL, [frames, wheel])
        between, spent, drawn = (sorted(each) for each in zip(*found, strict=True))
        middle, late = len(found) // 2, int(len(found) * 0.95)
        figures = (
            f"{name}: {between[middle]:.1f} ms between frames (95 %: {between[late]:.1f}), "
            f"{spent[middle]:.1f} ms of script (95 %: {spent[late]:.1f}), "
            f"{drawn[0]:.0f} to {drawn[-1]:.0f} events drawn"
        )
        print(figures)
        record_property(name, figures)
        # An event for each pixel of each lane, at most.
        assert max(drawn) <= MOST_LANES * (width + 2)
        if name == "scroll":
            # At this zoom a part of the events is in view, and only that is drawn.
            assert 0 < max(drawn) < EVENTS / 20


@pytest.mark.parametrize("key, after", [("+", 0.5), ("-", 2)])
def test_keys_zoom(watch: Any, key: str, after: float) -> None:
    span = "document.querySelector('canvas').dataset.span"
    watch.keyboard.press("+")
    watch.keyboard.press("+")
    wait_for(watch, f"{span} == 1")
    watch.keyboard.press(key)
    wait_for(watch, f"{span} == {after}")
    watch.keyboard.press("f")
    wait_for(watch, f"{span} == 4")
