"""Accessibility, narrow screens, dark pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import AXE, PHONE, Served, wait_for

pytestmark = pytest.mark.slow

VIEWS = ("", "videos/{video}", "review", "teach", "search/{video}/1")
DESKTOP_LIGHT: dict[str, Any] = {}
DARK: dict[str, Any] = {"color_scheme": "dark"}
NARROW: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}


def problems(page: Any) -> list[str]:
    """Findings of axe-core, all its rules."""
    if not AXE.exists():
        pytest.skip("axe-core is absent: run npm ci in web/")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {node['html'][:120]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("look", [DESKTOP_LIGHT, DARK, NARROW], ids=["light", "dark", "phone"])
def test_axe_finds_nothing(
    server: Served, video: str, open_page: Callable[..., Any], look: dict[str, Any]
) -> None:
    page = open_page(server.url, **look)
    found = []
    for view in VIEWS:
        page.goto(f"{server.url}/#/{view.format(video=video)}")
        page.wait_for_load_state("networkidle", timeout=1000) if not view else None
        page.locator("main > *").first.wait_for(state="attached")
        if view.startswith("videos"):
            page.get_by_role("option", name="My bark").click()
            page.keyboard.press("?")
            page.get_by_role("dialog").wait_for()
            found += problems(page)
            page.keyboard.press("Escape")
        found += problems(page)
        if look is NARROW:
            overflow = "document.documentElement.scrollWidth - innerWidth"
            assert page.evaluate(overflow) <= 0, view
    assert not found


def test_fingers_seek_select_and_zoom(
    server: Served, video: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{server.url}/#/videos/{video}", **NARROW)
    page.get_by_role("option").first.wait_for()
    canvas = page.get_by_role("slider", name="Timeline")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.8, box["y"] + 10)
    page.get_by_role("region", name="Scores of one second").get_by_text("3–4 s").wait_for()
    page.get_by_role("button", name="Zoom in").tap()
    page.get_by_role("option", name="My bell").tap()
    assert page.get_by_label("Label", exact=True).input_value() == "My bell"


def test_two_fingers_zoom(server: Served, video: str, open_page: Callable[..., Any]) -> None:
    page = open_page(f"{server.url}/#/videos/{video}", **NARROW)
    page.get_by_role("option").first.wait_for()
    canvas = page.get_by_role("slider", name="Timeline")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + 100
    touch = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", 0)):
        points = [{"x": middle - apart, "y": y}, {"x": middle + apart, "y": y}] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    wait_for(page, "document.querySelector('canvas').dataset.span < 2")  # of four seconds
    assert not [each for each in server.annotations(video) if each["status"] == "changed"]


def test_focus_is_visible_and_in_order(watch: Any) -> None:
    watch.keyboard.press("Tab")
    seen = []
    for _ in range(8):
        seen.append(watch.evaluate("document.activeElement.textContent"))
        outline = watch.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]
        watch.keyboard.press("Tab")
    assert seen[:5] == ["avel", "Videos", "Review", "Teach", "Search"]
