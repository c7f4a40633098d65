"""View of one video on the results page."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from avel_tf.datasets import Annotation, active_classes, segment_labels
from avel_tf.events.labels import BACKGROUND, Labels
from avel_tf.events.result import LabelScore, Result

# Ten rows of 30 seconds. Longer videos show events only.
MOST_SECONDS = 300


@dataclass(frozen=True)
class Cell:
    """One second of a video.

    Args:
        start: Start in seconds.
        end: End in seconds.
        label: Predicted class; None if the second was not decoded.
        score: Its score.
        truth: Annotated class; None without annotations.
        labels: All predicted classes with their scores; `label` is the first.
        truths: All annotated classes; None without annotations.
    """

    start: float
    end: float
    label: str | None
    score: float
    truth: str | None
    labels: tuple[LabelScore, ...] = ()
    truths: tuple[str, ...] | None = None

    @property
    def found(self) -> tuple[str, ...] | None:
        """All predicted classes, empty for background; None if the second was not decoded."""
        return None if self.label is None else tuple(each.label for each in self.labels)

    @property
    def right(self) -> bool | None:
        """True if prediction and annotation agree; None if one of them is missing."""
        if self.found is None or self.truths is None:
            return None
        return set(self.found) == set(self.truths)


class VideoView:
    """View of one video on the results page.

    Args:
        result: The video's result.
        truth: Its annotated events. An empty list is a video of background only; None means that
            there is no annotation.
    """

    def __init__(self, result: Result, truth: Sequence[Annotation] | None = None) -> None:
        self.result = result
        self.folder, self.name = os.path.split(result.video)
        self.multi_label = any(second.labels is not None for second in result.seconds)
        self.cells = _cells(result, truth, self.multi_label)
        self.has_truth = truth is not None and bool(self.cells)

    @property
    def mistakes(self) -> int:
        """Number of seconds predicted otherwise than annotated."""
        return sum(cell.right is False for cell in self.cells)

    @property
    def classes(self) -> list[str]:
        """Predicted and annotated event classes, each once."""
        found = (
            name for cell in self.cells for name in (*(cell.found or ()), *(cell.truths or ()))
        )
        names = itertools.chain(found, (event.label for event in self.result.events))
        return [name for name in dict.fromkeys(names) if name != BACKGROUND]

    @property
    def length(self) -> float:
        """End of the timeline in seconds."""
        ends = [cell.end for cell in self.cells] + [event.end for event in self.result.events]
        return max([*ends, self.result.duration or 0.0])


def runs(labels: Iterable[str | None]) -> list[tuple[str | None, int, int]]:
    """Runs of equal labels.

    Args:
        labels: The class of each cell of a row.

    Returns:
        (class, first, end) of each run, in order; `end` is the cell after the last one.

    Example:
        >>> runs(["Bark", "Bark", None])
        [('Bark', 0, 2), (None, 2, 3)]
    """
    stretches, first = [], 0
    for label, cells in itertools.groupby(labels):
        end = first + sum(1 for _ in cells)
        stretches.append((label, first, end))
        first = end
    return stretches


def lanes(cells: Iterable[Sequence[str] | None]) -> list[list[tuple[str, int, int]]]:
    """Runs of each class, in parallel lanes where they overlap.

    Args:
        cells: Classes of each cell of a row: empty for background, None if unknown.

    Returns:
        The smallest number of lanes without overlap, at least one. Each lane has (class, first,
        end) in order, where `end` is the cell after the last one. Background has runs, too.

    Example:
        >>> lanes([["Bark"], ["Bark", "Flute"], []])
        [[('Bark', 0, 2), ('background', 2, 3)], [('Flute', 1, 2)]]
    """
    sets = [None if cell is None else tuple(cell) or (BACKGROUND,) for cell in cells]
    names = dict.fromkeys(name for cell in sets for name in cell or ())
    stretches = [
        (label, first, end)
        for name in names
        for label, first, end in runs(name if name in (cell or ()) else None for cell in sets)
        if label is not None
    ]
    found: list[list[tuple[str, int, int]]] = [[]]
    for stretch in sorted(stretches, key=lambda each: each[1]):
        free = next((lane for lane in found if not lane or lane[-1][2] <= stretch[1]), None)
        if free is None:
            found.append([stretch])
        else:
            free.append(stretch)
    return found


def span_text(start: float, end: float) -> str:
    """Format a time span, to a tenth of a second.

    Args:
        start: Start in seconds.
        end: End in seconds.

    Returns:
        Seconds, or minutes and seconds beyond one minute.

    Example:
        >>> span_text(2, 7.5), span_text(59, 61)
        ('2–7.5 s', '0:59–1:01')
    """
    if round(end, 1) <= 60:
        return f"{_tenths(start)}–{_tenths(end)} s"
    return f"{clock_text(start)}–{clock_text(end)}"


def clock_text(value: float) -> str:
    """Format a time as minutes and seconds.

    Args:
        value: Seconds from the start of the video.

    Returns:
        `m:ss`, or `h:mm:ss` from one hour on, to a tenth of a second.

    Example:
        >>> clock_text(90), clock_text(3661.5)
        ('1:30', '1:01:01.5')
    """
    tenths = round(value * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}" + (f".{tenths % 10}" if tenths % 10 else "")
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def _tenths(value: float) -> str:
    return f"{round(value, 1) + 0.0:g}"


def _cells(result: Result, truth: Sequence[Annotation] | None, multi_label: bool) -> list[Cell]:
    if not result.seconds:
        return []
    # Results are rounded to milliseconds; the tolerance is below that.
    found = {math.floor(second.start + 1e-4): second for second in result.seconds}
    count = max(found) + 1
    if result.status == "partial" and result.duration is not None:
        # The decoder rounds the duration to whole seconds. The limit guards against files that
        # claim any length; nothing beyond it is drawn.
        count = max(count, min(math.floor(result.duration + 0.5), MOST_SECONDS + 1))
    if count > 10 * MOST_SECONDS and count > 10 * len(found):
        # Seconds that are hours apart would need memory for all seconds between them.
        return []
    annotated = _annotated(truth, count, multi_label)
    cells = []
    for place, truths in enumerate(annotated):
        true = None if truths is None else truths[0] if truths else BACKGROUND
        second = found.get(place)
        if second is None:
            cells.append(Cell(place, place + 1, None, 0.0, true, (), truths))
            continue
        labels = second.labels
        if labels is None:
            one = LabelScore(second.label, second.score)
            labels = () if second.label == BACKGROUND else (one,)
        cells.append(
            Cell(second.start, second.end, second.label, second.score, true, labels, truths)
        )
    return cells


def _annotated(
    truth: Sequence[Annotation] | None, count: int, multi_label: bool
) -> Sequence[tuple[str, ...] | None]:
    """Annotated classes of each second: at most one, unless `multi_label`."""
    if truth is None:
        return [None] * count
    if not truth:
        return [()] * count
    labels = Labels(sorted({annotation.label for annotation in truth}))
    if multi_label:
        active = active_classes(truth, labels, count)  # [T, C]
        return [tuple(name for name, on in zip(labels, row, strict=True) if on) for row in active]
    index = segment_labels(truth, labels, count)  # [T]
    return [() if i == labels.background else (labels.name(int(i)),) for i in index]
