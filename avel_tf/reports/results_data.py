"""Data of the list of videos in a page, which `results_script.html` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avel_tf.events.event import Event
from avel_tf.events.result import STATUSES, Result
from avel_tf.reports.video_names import relative_url
from avel_tf.reports.video_view import MOST_SECONDS, Cell, VideoView
from avel_tf.utils.text import printable

# About 1 KB each. The page names the file with the others.
MOST_VIDEOS = 20_000
# About 5 bytes each. Further videos show their events only.
MOST_CELLS = 1_000_000
# Events of one video; the results have all.
MOST_EVENTS = 500
# Okabe and Ito's palette for colour-blind readers (Color Universal Design, 2008) without black.
# 28 colours cannot be distinguished, so hues repeat with a texture: plain, then three kinds of
# stripes.
HUES = 7
TEXTURES = 4
# A cell is class * CELL_CLASS + score in percent; background is class 0, LOST was not decoded.
CELL_CLASS = 101
LOST = -1

# Key of an event: video, number of the event in its result.
EventKey = tuple[str, int]


class ClassColours:
    """Hue and texture of each class; the most frequent classes are plain.

    They repeat after 28 classes. The page always shows the name as well.

    Args:
        seconds: Number of seconds of each class.

    Example:
        >>> ClassColours(Counter({"Bark": 5, "Clock": 2})).css("Clock")
        'h2 t1'
    """

    def __init__(self, seconds: Counter[str]) -> None:
        self.names = sorted(seconds, key=lambda name: (-seconds[name], name))
        self._rank = {name: rank for rank, name in enumerate(self.names)}

    def css(self, name: str) -> str:
        """CSS classes of the class."""
        rank = self._rank[name]
        return f"h{rank % HUES + 1} t{rank // HUES % TEXTURES + 1}"


class ListData:
    """Videos of a page in a compact form.

    Args:
        page_folder: Folder of the page, from which players point to videos.
        tracks: Names of the rows of seconds of each video, such as `predicted` and `annotated`.
        images: Data URIs of the thumbnails of events, for each result of a video.

    Attributes:
        class_seconds: Number of seconds of each class in all tracks, 0 for events alone.
    """

    def __init__(
        self, page_folder: Path, tracks: Sequence[str], images: Sequence[Mapping[EventKey, str]]
    ) -> None:
        self._page_folder = page_folder
        self._tracks = tracks
        self._images = images
        self._videos: list[dict[str, Any]] = []
        self._classes: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._cells = 0
        self.class_seconds: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._videos)

    def add(
        self,
        views: Sequence[VideoView | None],
        *,
        truth: bool = False,
        reason: int | None = None,
        different: int | None = None,
        marks: Sequence[bool] = (),
    ) -> None:
        """Add a video.

        Args:
            views: Its results, one, or two that are compared, of which one may be missing.
            truth: Show the annotations of the first one as another track.
            reason: Number of the reason of its failure in the summary.
            different: Number of seconds that differ, of compared results.
            marks: For each event, in order of the views, True if only one view has it.
        """
        views_there = [view for view in views if view is not None]
        for view in views_there:
            self.class_seconds.update(dict.fromkeys(view.classes, 0))
            self.class_seconds.update(n for cell in view.cells for n in cell.found or ())
        if len(self._videos) >= MOST_VIDEOS:
            return
        first = views_there[0]
        size = max(len(view.cells) for view in views_there)
        fits = 0 < size <= MOST_SECONDS and self._cells + size <= MOST_CELLS
        self._cells += size if fits else 0
        tracks: list[list[Any] | None] = []
        if fits:
            tracks = [[self._cell(c) for c in view.cells] if view else None for view in views]
            if truth:
                cells = next(view.cells for view in views_there if view.has_truth or view.cells)
                tracks.append([self._truth(cell) for cell in cells])
        entry = {
            "name": printable(first.name or first.result.video),
            "folder": self._text(printable(first.folder)),
            "url": _player_url(first.result, self._page_folder),
            "status": [view and STATUSES.index(view.result.status) for view in views],
            "reason": [view and self._text(printable(view.result.reason or "")) for view in views],
            "length": round(max(view.length for view in views_there), 3),
            "tracks": tracks,
            "events": self._events(views, marks),
            "hidden": sum(max(0, len(v.result.events) - MOST_EVENTS) for v in views_there),
        }
        if reason is not None:
            entry["failure"] = reason
        if truth and different is None:
            entry["mistakes"] = first.mistakes
            entry["compared"] = sum(cell.right is not None for cell in first.cells)
        if different is not None:
            entry["different"] = different
        self._videos.append(entry)

    def to_dict(self) -> dict[str, Any]:
        """JSON value that the script of the page reads."""
        colours = ClassColours(self.class_seconds)
        return {
            "tracks": list(self._tracks),
            "classes": [
                {"name": printable(name), "css": colours.css(name)} for name in self._classes
            ],
            "statuses": list(STATUSES),
            "texts": list(self._texts),
            "cell": CELL_CLASS,
            "videos": self._videos,
        }

    def _events(self, views: Sequence[VideoView | None], marks: Sequence[bool]) -> list[list[Any]]:
        rows = []
        place = 0
        for side, view in enumerate(views):
            for number, event in enumerate(view.result.events if view else ()):
                only = bool(marks) and marks[place]
                place += 1
                if number < MOST_EVENTS:
                    assert view is not None
                    image = self._images[side].get((view.result.video, number))
                    rows.append(self._event(event, side, only, image))
        return rows

    def _event(self, event: Event, side: int, only: bool, image: str | None) -> list[Any]:
        row = [self._class(event.label), event.start, event.end, round(event.score, 3)]
        rest = [side, int(only), image]
        while rest and not rest[-1]:  # most events have none of them
            rest.pop()
        return row + rest

    def _class(self, name: str) -> int:
        """Number of a class, from 1, because 0 is background."""
        return self._classes.setdefault(name, len(self._classes)) + 1

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _cell(self, cell: Cell) -> int | list[int]:
        if cell.found is None:
            return LOST
        if not cell.labels:
            return round(100 * cell.score)
        codes = [self._class(e.label) * CELL_CLASS + round(100 * e.score) for e in cell.labels]
        return codes[0] if len(codes) == 1 else codes

    def _truth(self, cell: Cell) -> int | list[int]:
        if cell.truths is None:
            return LOST
        codes = [self._class(name) * CELL_CLASS + 100 for name in cell.truths]
        return 100 if not codes else codes[0] if len(codes) == 1 else codes


def _player_url(result: Result, page_folder: Path) -> str | None:
    # Files that the decoder refused may be malicious, so the page does not load them.
    return None if result.status == "quarantined" else relative_url(result.video, page_folder)
