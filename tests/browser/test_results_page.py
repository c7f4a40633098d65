"""The page of `avel report`, opened as a file in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result, Segment
from avel_tf.reports.results_comparison import write_results_comparison
from avel_tf.reports.results_report import write_results_report
from tests.browser.conftest import PHONE
from tests.browser.test_looks import problems

pytestmark = pytest.mark.slow

EVIL = "</script><img src=x onerror=alert(1)>\u202e😀"
NAMES = ("Bark", "Clock", EVIL)


def labelled(number: int, *, label: str | None = None, score: float | None = None) -> Result:
    """Ten seconds with one event, or a quarantined file."""
    name = f"/videos/folder {number % 3}/{number:05d} {EVIL.replace('/', '')}.mp4"
    if number % 10 == 9:
        return Result(name, "quarantined", f'Cannot read "{name}": {EVIL}.')
    label = label or NAMES[number % 3]
    score = (number % 100) / 100 if score is None else score
    seconds = tuple(
        Segment(s, s + 1, label if 2 <= s < 5 else "background", score) for s in range(10)
    )
    return Result(name, "ok", None, 10.0, seconds, (Event(label, 2, 5, score),), "demo/1")


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A page of 3,000 videos, the first one real, with a thumbnail."""
    folder = tmp_path_factory.mktemp("page")
    video = sorted(clips.glob("videos/**/*.mp4"))[0]
    real = labelled(0)
    real = Result(str(video), "ok", None, 4.0, real.seconds[:4], (Event("Bark", 1, 3, 0.5),), "d")
    write_formats(["jsonl"], [real, *(labelled(n) for n in range(1, 3000))], folder)
    return write_results_report(folder, thumbnails=1)


@pytest.fixture
def page(page_path: Path, open_page: Callable[..., Any]) -> Any:
    opened = open_page(page_path.as_uri())
    opened.wait_for_selector("html[data-ready]")
    return opened


def visible(page: Any) -> str:
    return page.locator("#visible").inner_text()


def rows(page: Any) -> list[str]:
    return page.locator("#rows [role=option]").locator(".name").all_inner_texts()


def test_few_of_many_rows_are_in_the_document(page: Any) -> None:
    assert visible(page) == "3,000 of 3,000 shown" and len(rows(page)) < 40
    first = page.locator("#rows [role=option]").first
    assert first.get_attribute("aria-setsize") == "3000"
    assert page.locator("#rows img").count() == 1
    page.locator("#rows").evaluate("list => { list.scrollTop = 1000 * 76; }")
    page.locator("#row-1000").wait_for()
    assert "01000" in page.locator("#row-1000 .name").inner_text() and len(rows(page)) < 40


def test_search_filters_and_order(page: Any) -> None:
    page.locator("#search").fill("00123 FOLDER")
    assert visible(page) == "1 of 3,000 shown" and "00123" in rows(page)[0]
    page.locator("#search").fill("")
    page.locator("#status").select_option("quarantined")
    assert visible(page) == "300 of 3,000 shown"
    page.get_by_role("button", name="Reset").click()
    page.locator("#class").select_option("Clock")
    page.locator("#score").fill("0.95")
    page.locator("#sort").select_option("lowest score")
    scores = (
        page.locator("#rows [role=option]").locator("[title='highest score']").all_inner_texts()
    )
    assert scores == sorted(scores) and scores[0] == "0.95"
    page.locator("#search").fill("nothing of that name")
    assert visible(page) == "0 of 3,000 shown"
    assert "No video fits" in page.locator("#detail").inner_text()
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Show").first.click()
    assert visible(page) == "300 of 3,000 shown with this reason"


def test_the_list_is_worked_by_the_keyboard_alone(page: Any) -> None:
    page.locator("#search").focus()
    while page.evaluate("document.activeElement.id") != "rows":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.locator("#rows").get_attribute("aria-activedescendant") == "row-1"
    assert "00001" in page.locator("#detail h3").inner_text()
    page.keyboard.press("End")
    assert page.locator("#rows [aria-selected=true]").get_attribute("aria-posinset") == "3000"
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#detail').contains(document.activeElement)")
    page.locator("#detail button.s").first.focus()
    page.keyboard.press("ArrowRight")
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("1–2 s: ")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "rows"


def test_a_second_plays_the_video_from_there(page: Any) -> None:
    page.locator("#detail video").evaluate("video => { video.muted = true; }")
    page.locator("#detail button.event").first.click()
    page.wait_for_function("document.querySelector('#detail video').currentTime >= 1")


def test_names_and_labels_are_text(page: Any) -> None:
    page.locator("#search").fill("00002")
    assert (
        page.locator("#detail h3")
        .inner_text()
        .endswith("<script><img src=x onerror=alert(1)>\\u202e😀.mp4")
    )
    assert page.locator("img[src=x]").count() == 0 and page.locator("#detail b").count() == 0


def test_without_javascript_there_is_a_summary(page_path: Path, open_page: Any) -> None:
    page = open_page(page_path.as_uri(), java_script_enabled=False)
    text = page.locator("body").inner_text()
    assert "2,700 ok, 0 partial, 300 quarantined" in text and "The list needs JavaScript." in text
    assert page.locator("noscript li").count() == 100
    assert not page.locator(".list").is_visible()


def test_compared_results_begin_with_those_that_differ(tmp_path: Path, open_page: Any) -> None:
    ours = [labelled(n) for n in range(200)]
    theirs = [labelled(n, label="Clock" if n == 150 else None) for n in range(200)]
    write_formats(["jsonl"], ours, tmp_path / "a")
    write_formats(["jsonl"], theirs, tmp_path / "b")
    page = open_page(write_results_comparison(tmp_path / "a", tmp_path / "b").as_uri())
    page.wait_for_selector("html[data-ready]")
    assert "00150" in rows(page)[0]
    assert page.locator("#detail .wrong").count() == 3
    page.locator("#status").select_option("different")
    assert visible(page) == "1 of 200 shown"
    only = page.locator("#detail .only").all_inner_texts()
    assert only == ["only a", "only b"]


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}])
def test_axe_finds_nothing(page_path: Path, open_page: Any, look: dict[str, Any]) -> None:
    page = open_page(page_path.as_uri(), bypass_csp=True, **look)
    page.wait_for_selector("html[data-ready]")
    assert problems(page) == []
