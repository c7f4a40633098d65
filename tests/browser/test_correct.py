"""Watching and correcting one video in the browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Served, event_of, timeline_box, wait_for
from tests.processes import wait_until

pytestmark = pytest.mark.slow

SECONDS = 4.0  # of the clip
# Where rows of the timeline begin: the axis, and the lanes of events below it.
AXIS_Y, FIRST_LANE_Y, LANE = 10, 42, 24


def select(page: Any, label: str) -> None:
    page.get_by_role("option", name=label).click()


def at(page: Any, seconds: float) -> float:
    """Horizontal place of a time on the screen; the whole video is in view."""
    box = timeline_box(page)
    return box["x"] + seconds / SECONDS * box["width"]


def lane_count(page: Any) -> int:
    return int(page.locator("canvas").get_attribute("data-lanes"))


def lane_y(page: Any, label: str) -> float:
    """Vertical place of the lane of an event, found by pressing on each."""
    box = timeline_box(page)
    event = page.get_by_role("option", name=label).inner_text()
    start = float(re.search(r"0:0(\d\.\d)", event)[1])  # type: ignore[index]
    for lane in range(lane_count(page)):
        y = box["y"] + FIRST_LANE_Y + lane * LANE
        page.mouse.click(at(page, start + 0.5), y)
        if page.get_by_role("option", name=label, selected=True).count():
            return y
    raise AssertionError(f"no lane has {label}")


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, end[1])
    page.mouse.move(*end)
    page.mouse.up()


def test_a_click_seeks_and_the_second_is_explained(watch: Any) -> None:
    box = timeline_box(watch)
    watch.mouse.click(at(watch, 2.5), box["y"] + AXIS_Y)
    wait_for(watch, "Math.abs(document.querySelector('video').currentTime - 2.5) < 0.1")
    panel = watch.get_by_role("region", name="Scores of one second")
    panel.get_by_text("2–3 s").wait_for()
    for title in ("Sound alone", "Picture alone", "Both"):
        assert panel.get_by_role("heading", name=title).count() == 1
    assert panel.get_by_role("listitem").count() == 3 * 3  # the model has three classes
    watch.mouse.move(at(watch, 0.5), box["y"] + 150)
    panel.get_by_text("0–1 s").wait_for()


def test_keys_play_step_and_seek(watch: Any) -> None:
    time = "document.querySelector('video').currentTime"
    watch.keyboard.press("ArrowRight")
    wait_for(watch, f"Math.abs({time} - 1) < 0.01")
    watch.keyboard.press(".")
    wait_for(watch, f"{time} > 1.01")
    watch.keyboard.press("Space")
    wait_for(watch, "!document.querySelector('video').paused")
    watch.keyboard.press("Space")
    wait_for(watch, "document.querySelector('video').paused")
    watch.keyboard.press(">")
    assert watch.evaluate("document.querySelector('video').playbackRate") == 1.5


def test_an_event_loops(watch: Any) -> None:
    select(watch, "My bark")
    watch.evaluate("document.querySelector('video').muted = true")
    watch.keyboard.press("e")
    # It comes to its end, and starts again.
    wait_for(watch, "document.querySelector('video').currentTime > 1.2")
    wait_for(watch, "document.querySelector('video').currentTime < 0.9")


def test_a_dragged_boundary_is_stored(server: Served, video: str, watch: Any) -> None:
    y = lane_y(watch, "My bell")
    drag(watch, (at(watch, 3.0), y), (at(watch, 3.5), y))
    wait_until(lambda: event_of(server, video, "My bell")["end"] > 3.4)  # type: ignore[index]
    event = event_of(server, video, "My bell")
    assert event is not None and event["start"] == 2.0 and event["end"] == pytest.approx(3.5, 0.01)
    watch.keyboard.press("Control+z")
    wait_until(lambda: event_of(server, video, "My bell")["end"] == 3.0)  # type: ignore[index]
    watch.keyboard.press("Control+Shift+Z")
    wait_until(lambda: event_of(server, video, "My bell")["end"] > 3.4)  # type: ignore[index]


def test_keys_nudge_a_boundary_by_a_frame(server: Served, video: str, watch: Any) -> None:
    select(watch, "My bell")
    watch.keyboard.press("]")
    watch.keyboard.press("{")
    wait_until(lambda: event_of(server, video, "My bell")["end"] < 3.0)  # type: ignore[index]
    event = event_of(server, video, "My bell")
    assert event is not None
    assert 0 < event["start"] - 2.0 < 0.2 and 0 < 3.0 - event["end"] < 0.2


def test_keys_accept_reject_and_label(server: Served, video: str, watch: Any) -> None:
    def statuses() -> dict[str, str]:
        return {each["label"]: each["status"] for each in server.annotations(video)}

    select(watch, "My bark")
    watch.keyboard.press("a")
    wait_until(lambda: statuses()["My bark"] == "accepted")
    select(watch, "My bell")
    watch.keyboard.press("r")  # an added event disappears
    wait_until(lambda: "My bell" not in statuses())
    watch.keyboard.press("Control+z")
    wait_until(lambda: statuses().get("My bell") == "added")
    select(watch, "My bell")
    chips = watch.get_by_role("group", name="Labels by number").get_by_role("button")
    number = 1 + [each.inner_text() for each in chips.all()].index("My bark")
    watch.keyboard.press(str(number))
    wait_until(lambda: "My bell" not in statuses())
    select(watch, "✓ My bark")
    watch.keyboard.press("b")
    wait_until(lambda: "background" in statuses().values())


def test_a_dragged_event_of_a_new_class_is_stored(server: Served, video: str, watch: Any) -> None:
    watch.get_by_label("Your name").fill("Ada")
    watch.get_by_label("Your name").blur()
    box = timeline_box(watch)
    lanes = lane_count(watch)
    y = box["y"] + FIRST_LANE_Y + lanes * LANE
    drag(watch, (at(watch, 1.0), y), (at(watch, 2.0), y))
    # The label of the new event has the focus.
    watch.keyboard.type("<b>Doorbell & chime</b>")
    watch.keyboard.press("Enter")
    label = "<b>Doorbell & chime</b>"
    wait_until(lambda: event_of(server, video, label))
    event = event_of(server, video, label)
    assert event is not None and (event["status"], event["author"]) == ("added", "Ada")
    assert event["start"] == pytest.approx(1.0, abs=0.02)
    watch.get_by_role("option", name=label).wait_for()  # as text, not as an element
    assert watch.locator("main b").count() == 0
    with open(server.folder / "avel-serve" / "annotations.csv", encoding="utf-8") as file:
        row = next(each for each in csv.DictReader(file) if each["label"] == label)
    assert row["author"] == "Ada" and row["time"]


def test_the_download_has_the_corrections(watch: Any) -> None:
    watch.get_by_role("button", name="Download").click()
    with watch.expect_download() as download:
        watch.get_by_role("link", name=re.compile("^vtt")).click()
    text = download.value.path().read_text("utf-8")
    assert text.startswith("WEBVTT") and "My bark" in text
    formats = watch.locator("dialog a").evaluate_all("links => links.map(a => a.dataset.format)")
    from avel_tf.events.formats import FORMATS

    assert sorted(formats) == sorted(FORMATS)


def test_help_lists_the_keys(watch: Any) -> None:
    watch.keyboard.press("?")
    dialog = watch.get_by_role("dialog", name="Keyboard")
    for text in ("Accept, go to the next unreviewed", "Start a frame earlier", "Undo"):
        assert dialog.get_by_text(text, exact=True).count() == 1
    watch.keyboard.press("Escape")
    assert dialog.count() == 0


def test_a_refused_change_is_explained_and_taken_back(watch: Any) -> None:
    select(watch, "My bark")
    watch.get_by_label("Label", exact=True).fill("background")  # no name of a class
    watch.keyboard.press("Enter")
    watch.get_by_role("alert").get_by_text("the status 'background'").wait_for()
    watch.get_by_role("option", name="My bark").wait_for()
    assert watch.get_by_role("button", name="Undo").is_disabled()


def test_another_tab_sees_an_upload(server: Served, open_page: Callable[..., Any]) -> None:
    one, other = (open_page(server.url) for _ in range(2))
    clip = (server.folder / "00001.mp4").read_bytes()
    name = "<img src=x onerror=alert(1)>.mp4"
    one.get_by_label("Video files").set_input_files(
        [{"name": name, "mimeType": "video/mp4", "buffer": clip}]
    )
    other.get_by_role("link", name=name).wait_for()
    assert other.locator("img").count() == 0
    one.get_by_role("button", name=f"Remove {name}").click()
    one.get_by_role("link", name=name).wait_for(state="detached")
