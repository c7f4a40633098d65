"""Panel of an overlay video: the present label, a timeline of the events, and a playhead."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from avel_tf.events.event import Event
from avel_tf.events.labels import BACKGROUND
from avel_tf.events.result import LabelScore, Result, Segment
from avel_tf.reports.fonts import font_and_text
from avel_tf.reports.style import GRID, INK, MUTED, PALETTE
from avel_tf.reports.video_view import clock_text

PAPER = "#ffffff"
# Further classes share the last lane.
MOST_LANES = 8
OTHERS = "others"
# Text is as high as this share of the width, within these pixels: legible at 320 pixels, and not
# obtrusive at 1920.
_FONT_SHARE, _LEAST_FONT, _LARGEST_FONT = 0.02, 11, 28
# Width of a second, in heights of the font, below which the timeline is divided into pages.
_LEAST_SECOND = 0.4
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


class TimelinePanel:
    """Drawing of the panel below the picture of an overlay video.

    From top to bottom: the label and the score of the present second, and the time; a lane for each
    class with its events; the time axis. Background is grey, seconds that could not be decoded are
    hatched. A timeline too long for the width is divided into pages that follow the playhead, above
    a strip of the whole video.

    Args:
        result: Result of the video.
        width: Width in pixels.
        duration: Length of the video in seconds.

    Attributes:
        height: Height in pixels, even.
    """

    def __init__(self, result: Result, width: int, duration: float) -> None:
        self._width = width
        self._duration = max(duration, 1.0)
        self._size = round(min(_LARGEST_FONT, max(_LEAST_FONT, _FONT_SHARE * width)))
        size = self._size
        self._segments = {math.floor(each.start): each for each in result.seconds}
        self._lanes = _lanes(result.events)
        names = dict.fromkeys(each.label for _, lane in self._lanes for each in lane)
        colours = {name: PALETTE[n % len(PALETTE)] for n, name in enumerate(names)}
        self._colours: dict[str, str] = defaultdict(lambda: MUTED, colours)
        self._pad = round(size * 0.6)
        self._row = round(size * 1.5)
        widths = [self._measure(name) for name, _ in self._lanes if name != BACKGROUND]
        column = min(max(widths, default=0), round(width * 0.28))
        self._left = self._pad + (column + self._pad if column else 0)
        self._right = width - 2 * self._pad
        self._column = column
        room = (self._right - self._left) / (_LEAST_SECOND * size)  # seconds that fit
        self._paged = self._duration > room
        self._span = self._duration
        if self._paged:
            self._span = max([step for step in _STEPS if step <= room], default=1)
        self._first_lane = round(size * 2.1)
        self._axis = self._first_lane + len(self._lanes) * self._row
        self._strip = self._axis + round(size * 1.6)
        bottom = self._strip + (size + self._pad if self._paged else 0)
        self.height = bottom + bottom % 2
        self._page = lru_cache(2)(self._draw_page)
        self._header = lru_cache(2)(self._draw_header)

    def draw(self, time: float) -> np.ndarray:
        """Draw the panel at a time.

        Args:
            time: Seconds from the start of the video.

        Returns:
            uint8 `[H, W, 3]`, RGB.
        """
        panel = self._page(int(time / self._span) if self._paged else 0).copy()
        panel[: self._first_lane] = self._header(math.floor(time))
        ink = ImageColor.getrgb(INK)
        thick = max(2, self._size // 8)
        x = round(self._x(time, self._origin(time))) - thick // 2
        x = min(max(x, self._left), self._right - thick)
        panel[self._first_lane : self._axis + self._size // 3, x : x + thick] = ink
        if self._paged:
            x = self._left + round(time / self._duration * (self._right - self._left))
            x = min(x, self._right - thick)
            panel[self._strip - 2 : self._strip + self._size + 2, x : x + thick] = ink
        return panel

    def _origin(self, time: float) -> float:
        """First second of the page of a time."""
        return int(time / self._span) * self._span if self._paged else 0.0

    def _x(self, time: float, origin: float) -> float:
        scale = (self._right - self._left) / self._span
        return self._left + min(max(0.0, time - origin), self._span) * scale

    def _measure(self, text: str) -> int:
        font, text = font_and_text(text, self._size)
        return math.ceil(font.getlength(text))

    def _write(
        self,
        draw: ImageDraw.ImageDraw,
        place: tuple[float, float],
        text: str,
        colour: str,
        *,
        anchor: str = "lm",
        room: float = math.inf,
    ) -> float:
        """Writes a text, shortened to the room that there is; returns its width."""
        font, text = font_and_text(text, self._size)
        whole = text
        while text and font.getlength(text) > room:
            whole = whole[:-1]
            text = f"{whole}…" if whole else ""
        draw.text(place, text, colour, font, anchor)
        return font.getlength(text)

    def _draw_header(self, second: int) -> np.ndarray:
        image = Image.new("RGB", (self._width, self._first_lane), PAPER)
        draw = ImageDraw.Draw(image)
        middle = self._first_lane / 2
        time = f"{clock_text(second)} / {clock_text(math.floor(self._duration))}"
        width = self._write(draw, (self._right, middle), time, MUTED, anchor="rm")
        x, end = float(self._pad), self._right - width - 2 * self._pad
        for label, score in self._present(second):
            colour = MUTED if score is None or label == BACKGROUND else self._colours[label]
            chip = self._size * 0.8
            text = label if score is None else f"{label} {score:.2f}"
            room = end - x - chip - self._pad
            if room < 2 * self._size:
                break
            draw.rectangle((x, middle - chip / 2, x + chip, middle + chip / 2), colour)
            x += chip + self._pad / 2
            x += self._write(draw, (x, middle), text, INK, room=room) + self._pad
        return np.asarray(image)

    def _present(self, second: int) -> Sequence[tuple[str, float | None]]:
        """Labels and scores of a second."""
        if self._duration - second < 0.5:
            second -= 1
        segment = self._segments.get(second)
        if segment is None:
            return [("not decoded", None)] if self._segments else []
        return _labels_of(segment) or [(BACKGROUND, segment.score)]

    def _draw_page(self, page: int) -> np.ndarray:
        image = Image.new("RGB", (self._width, self.height), PAPER)
        draw = ImageDraw.Draw(image)
        origin = page * self._span
        end = min(origin + self._span, self._duration)
        last = self._x(end, origin)
        for number, (name, events) in enumerate(self._lanes):
            top = self._first_lane + number * self._row
            middle, gap = top + self._row / 2, max(1, self._size // 8)
            if name != BACKGROUND:
                place = (self._left - self._pad, middle)
                self._write(draw, place, name, INK, anchor="rm", room=self._column)
            box = (self._left, top + gap, last, top + self._row - gap)
            draw.rectangle(box, GRID)
            for event in events:
                if event.end > origin and event.start < end:
                    self._draw_event(draw, event, origin, (box[1], box[3]))
        self._hatch(draw, origin, end)
        self._draw_axis(draw, origin, end)
        if self._paged:
            self._draw_strip(draw, origin, end)
        return np.asarray(image)

    def _draw_event(
        self,
        draw: ImageDraw.ImageDraw,
        event: Event,
        origin: float,
        span: tuple[float, float],
    ) -> None:
        colour = self._colours[event.label]
        left, right = self._x(event.start, origin), self._x(event.end, origin)
        draw.rectangle((left, span[0], max(left + 1, right - 2), span[1]), colour)
        text = f"{event.score:.2f}"
        if right - left > self._measure(text) + self._size / 2:
            place = ((left + right) / 2, sum(span) / 2)
            self._write(draw, place, text, _ink_on(colour), anchor="mm")

    def _hatch(self, draw: ImageDraw.ImageDraw, origin: float, end: float) -> None:
        """Hatches the seconds without a label."""
        if not self._segments:
            return
        step, bottom = max(4, self._size // 2), self._axis
        for second in range(math.floor(origin), math.ceil(end)):
            # A rest of less than half a second has no segment.
            if second in self._segments or self._duration - second < 0.5:
                continue
            left, right = round(self._x(second, origin)), round(self._x(second + 1, origin))
            right = min(right, round(self._x(end, origin)))
            draw.rectangle((left, self._first_lane, right - 1, bottom - 1), PAPER)
            for x in range(left, right):
                # Points of one diagonal have x + y in common.
                for y in range(self._first_lane + (-x - self._first_lane) % step, bottom, step):
                    draw.point((x, y), MUTED)

    def _draw_axis(self, draw: ImageDraw.ImageDraw, origin: float, end: float) -> None:
        scale = (self._right - self._left) / self._span
        widest = self._measure(clock_text(math.floor(end))) + self._size
        step = next((step for step in _STEPS if step * scale >= widest), _STEPS[-1])
        small = next((each for each in _STEPS if each * scale >= self._size / 2), step)
        for second in range(math.ceil(origin / small) * small, math.floor(end) + 1, small):
            x = self._x(second, origin)
            draw.line((x, self._axis, x, self._axis + self._size // 4), MUTED)
        for second in range(math.ceil(origin / step) * step, math.floor(end) + 1, step):
            text = clock_text(second)
            half = self._measure(text) / 2
            x = min(max(self._x(second, origin), half), self._width - half)
            self._write(draw, (x, self._axis + self._size), text, MUTED, anchor="mm")

    def _draw_strip(self, draw: ImageDraw.ImageDraw, origin: float, end: float) -> None:
        """Draws the whole video as one row, with the present page framed."""
        scale = (self._right - self._left) / self._duration
        top, bottom = self._strip, self._strip + self._size
        draw.rectangle((self._left, top, self._right, bottom), GRID)
        for _, events in self._lanes:
            for event in events:
                left = self._left + event.start * scale
                right = max(left + 1, self._left + event.end * scale)
                right = min(right, self._right)
                draw.rectangle((left, top, right, bottom), self._colours[event.label])
        frame = (self._left + origin * scale, top - 2, self._left + end * scale, bottom + 2)
        draw.rectangle(frame, outline=INK, width=max(1, self._size // 10))


def _lanes(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    """Lanes as (name, events) in the order in which their classes begin, at least one."""
    of_class: dict[str, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.start):
        of_class[event.label].append(event)
    kept = set(of_class)
    if len(kept) > MOST_LANES:
        lengths = {name: sum(e.end - e.start for e in each) for name, each in of_class.items()}
        kept = set(sorted(kept, key=lambda name: -lengths[name])[: MOST_LANES - 1])
    lanes = [(name, each) for name, each in of_class.items() if name in kept]
    others = [each for each in events if each.label not in kept]
    if others:
        lanes.append((OTHERS, others))
    return lanes or [(BACKGROUND, [])]


def _labels_of(segment: Segment) -> list[tuple[str, float | None]]:
    found = segment.labels
    if found is None:
        found = () if segment.label == BACKGROUND else (LabelScore(segment.label, segment.score),)
    return [(each.label, each.score) for each in found]


def _ink_on(colour: str) -> str:
    """White or dark text, by the brightness of the colour below (ITU-R BT.601 luma)."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else PAPER
