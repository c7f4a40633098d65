"""A page taken apart by the standard library's parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

# Elements that have no end.
VOID = {"meta", "link", "br", "img", "input", "hr", "path", "use", "rect"}


@dataclass
class Element:
    """One element with its attributes and all text below it."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[Element, ...]
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text, with single spaces."""
        return " ".join("".join(self.parts).split())

    @property
    def classes(self) -> set[str]:
        """Its style classes."""
        return set(self.attributes.get("class", "").split())


class Page(HTMLParser):
    """Every element of a page, in its order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert not self._open, f"<{self._open[-1].tag}> is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {k: v or "" for k, v in attrs}, tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            opened = self._open.pop()
            assert opened.tag == tag, f"<{opened.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.parts.append(data)

    def find(self, tag: str, style_class: str = "", inside: Element | None = None) -> list[Element]:
        """Elements by tag and class, in all of the page or below one element."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and (not style_class or style_class in element.classes)
            and (inside is None or any(inside is each for each in element.inside))
        ]
