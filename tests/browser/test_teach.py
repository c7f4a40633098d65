"""Review, teaching, search by example, and the screenshots of the documentation."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from avel_tf.serving.review import FEWEST_JUDGEMENTS
from tests.browser.conftest import (
    KNOWN,
    NEW,
    PHONE,
    Served,
    event_of,
    serve,
    timeline_box,
    wait_for,
    write_clips,
)
from tests.processes import wait_until

pytestmark = pytest.mark.slow

MARKED = 10  # events of the new class
LARGEST = 200_000  # bytes of a screenshot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of known classes and of a new one."""
    folder = tmp_path_factory.mktemp("teach")
    bark, bell, helicopter = KNOWN
    write_clips(folder / "harbour.mp4", (bell, helicopter, bell))
    write_clips(folder / "night.mp4", (helicopter, bark))
    write_clips(folder / "garden.mp4", (bark, bell, bark, helicopter))
    return folder


@pytest.fixture(scope="module")
def marked(folder: Path) -> list[tuple[float, float]]:
    """Events of the video in which the new class is marked."""
    return write_clips(folder / "clocks.mp4", [NEW] * MARKED)


@pytest.fixture(scope="module")
def teacher(
    trained: Path, folder: Path, marked: list[tuple[float, float]]
) -> Iterator[tuple[Served, dict[str, str]]]:
    """A server with a good model, and the identifiers of its labelled videos by name."""
    with serve(trained, folder) as served:
        yield served, {path.stem: served.label(path.name) for path in folder.glob("*.mp4")}


def screenshot(page: Any, name: str, tmp_path: Path) -> None:
    """A picture for the documentation, in `AVEL_SCREENSHOTS` where that is set."""
    path = Path(os.environ.get("AVEL_SCREENSHOTS", tmp_path)) / f"{name}.png"
    page.mouse.move(0, 0)
    page.screenshot(path=path, animations="disabled")
    image = Image.open(path).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    assert 5_000 < path.stat().st_size < LARGEST


def open_video(page: Any, served: Served, video: str) -> None:
    page.goto(f"{served.url}/#/videos/{video}")
    wait_for(page, "document.querySelector('video')?.readyState >= 2")


@pytest.mark.parametrize(
    "name, look",
    [
        ("serve", {"viewport": {"width": 1200, "height": 880}}),
        ("serve-dark", {"viewport": {"width": 1200, "height": 880}, "color_scheme": "dark"}),
        ("serve-phone", {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
    ],
)
def test_screenshots_show_a_labelled_video(
    teacher: tuple[Served, dict[str, str]],
    open_page: Callable[..., Any],
    tmp_path: Path,
    name: str,
    look: dict[str, Any],
) -> None:
    served, videos = teacher
    page = open_page(served.url, **look)
    open_video(page, served, videos["garden"])
    page.get_by_role("option").filter(has_text="Bark").first.click()
    page.keyboard.press("ArrowRight")
    page.get_by_role("region", name="Scores of one second").get_by_role("listitem").first.wait_for()
    wait_for(page, "document.querySelector('canvas').dataset.lanes > 0")
    page.wait_for_timeout(1000)  # for the frame of the video and the tile of the spectrogram
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    screenshot(page, name, tmp_path)


def test_search_finds_the_class_in_other_videos(
    teacher: tuple[Served, dict[str, str]], open_page: Callable[..., Any]
) -> None:
    served, videos = teacher
    page = open_page(served.url)
    open_video(page, served, videos["clocks"])
    box = timeline_box(page)
    page.mouse.click(box["x"] + 5, box["y"] + 10)
    page.get_by_role("button", name="Fit").focus()
    page.keyboard.press("m")
    cards = page.get_by_role("article")
    cards.first.wait_for()
    assert cards.count() == 24
    found = cards.first
    found.get_by_role("button", name=re.compile("^Play")).click()
    wait_for(page, "[...document.querySelectorAll('video')].some((video) => !video.paused)")
    found.get_by_role("link").click()
    page.get_by_role("slider", name="Timeline").wait_for()


def test_review_gives_a_curve_and_a_threshold(
    teacher: tuple[Served, dict[str, str]], open_page: Callable[..., Any]
) -> None:
    served, _ = teacher
    page = open_page(f"{served.url}/#/review")
    page.get_by_role("button", name="Accept").wait_for()
    queue = served.get("/review?limit=1000")["events"]
    label = max(KNOWN, key=[each["label"] for each in queue].count)
    page.get_by_label("Class").select_option(label)
    page.get_by_role("heading", name=f"Precision of {label}").wait_for()
    for number in range(5):
        left = served.get(f"/review?label={label}")["total"]
        page.get_by_role("button", name="Accept").wait_for()
        page.keyboard.press("a" if number else "r")
        wait_until(lambda left=left: served.get(f"/review?label={label}")["total"] == left - 1)
        if left == 1:
            break
    page.keyboard.press("Control+z")
    wait_until(lambda: served.get(f"/review?label={label}")["total"] == left)
    page.get_by_role("button", name="Accept").wait_for()
    page.keyboard.press("a")
    wait_until(lambda: served.get(f"/review?label={label}")["total"] == left - 1)
    curve = served.get(f"/review/curve?label={label}")
    if not curve["curve"]:
        assert curve["reviewed"] < FEWEST_JUDGEMENTS
        page.get_by_text("More answers are needed for a curve").wait_for()
        return
    page.get_by_role("img", name=f"Precision against score for {label}").wait_for()
    if curve["threshold"] is not None:
        page.get_by_role("button", name="Write it into the model").click()
        page.get_by_text("Use it on the page Teach.").first.wait_for()
        assert any(each["name"].startswith("taught/") for each in served.get("/models")["models"])


def test_a_new_class_is_taught_and_found(
    teacher: tuple[Served, dict[str, str]],
    marked: list[tuple[float, float]],
    open_page: Callable[..., Any],
) -> None:
    served, videos = teacher
    assert len(marked) == MARKED
    write_clips(served.folder / "another clock.mp4", [NEW] * 2)
    other = served.label("another clock.mp4")  # of which no event is reviewed
    assert event_of(served, other, NEW) is None
    page = open_page(served.url)
    open_video(page, served, videos["clocks"])
    seconds = served.get(f"/videos/{videos['clocks']}")["duration"]
    wrong = len(served.annotations(videos["clocks"]))
    for _ in range(wrong):
        page.keyboard.press("j")
        page.keyboard.press("b")
    for start, end in marked:
        box = timeline_box(page)
        y = box["y"] + 42 + int(page.locator("canvas").get_attribute("data-lanes")) * 24
        page.mouse.move(box["x"] + start / seconds * box["width"], y)
        page.mouse.down()
        page.mouse.move(box["x"] + end / seconds * box["width"], y, steps=3)
        page.mouse.up()
        page.keyboard.type(NEW)
        page.keyboard.press("Enter")
    wait_until(
        lambda: sum(each["label"] == NEW for each in served.annotations(videos["clocks"])) == MARKED
    )
    page.get_by_role("link", name="Teach").click()
    page.get_by_role("button", name="Train from the corrections").click()
    page.get_by_role("progressbar", name="Training").wait_for()
    use = page.locator("button.use")
    use.wait_for(timeout=600_000)
    assert NEW in page.locator(".outcome").inner_text()
    use.click()
    # The text is also that of the live region, for a while.
    messages = page.get_by_role("region", name="Messages")
    messages.get_by_text("is in use. Videos without corrections are labelled again.").wait_for(
        timeout=600_000
    )
    wait_until(lambda: served.get(f"/videos/{other}")["model"].startswith("taught/"))
    wait_until(lambda: served.get(f"/videos/{other}")["status"] == "ok")
    page.get_by_role("link", name="Videos").click()
    page.get_by_role("link", name="another clock.mp4").click()
    page.get_by_role("option").filter(has_text=NEW).first.wait_for()
