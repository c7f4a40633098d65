"""Drawings: the same bytes each time, safe in a page, readable in the dark."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree

from avel_tf.reports.style import INK, PALETTE, figure_to_svg, new_figure, style


def draw(label: str = "dog") -> str:
    figure, axis = new_figure(height=2)
    with style():
        axis.barh([label], [3], label="seconds")
        axis.legend()
    return figure_to_svg(figure, 'Bars of "dogs" & <cats>')


def test_same_bytes_each_time() -> None:
    assert draw() == draw()


def test_svg_is_one_valid_element_with_a_description() -> None:
    root = ElementTree.fromstring(draw())
    assert root.tag.endswith("svg")
    assert root.attrib["aria-label"] == 'Bars of "dogs" & <cats>'
    assert not any("metadata" in element.tag or "style" in element.tag for element in root.iter())


def test_names_are_text_whatever_they_hold() -> None:
    for name in ("<script>&", "$1 coin$", "$\\frac", "日本"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            root = ElementTree.fromstring(draw(name))
        assert name in [element.text for element in root.iter()]


def test_colours_follow_the_page() -> None:
    svg = draw()
    assert f"var(--ink, {INK})" in svg and f"var(--series-1, {PALETTE[0]})" in svg


def test_two_drawings_share_no_group_id() -> None:
    assert '<g id="' not in draw()


def test_no_global_state() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw()
    assert dict(matplotlib.rcParams) == before
