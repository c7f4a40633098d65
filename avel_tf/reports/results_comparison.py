"""HTML page that compares two folders of results of the same videos."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avel_tf.datasets import Annotation
from avel_tf.evaluation.bootstrap import DRAWS, drawn_ratios, interval
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.evaluation.ratios import ratio
from avel_tf.events.event import Event
from avel_tf.events.labels import BACKGROUND
from avel_tf.events.result import Result
from avel_tf.events.result_shards import RESULTS, read_all_results
from avel_tf.reports.results_data import ListData
from avel_tf.reports.results_report import (
    Reference,
    Summary,
    absolute_reference,
    page_path,
    require_results,
    write_page,
)
from avel_tf.reports.thumbnails import make_thumbnails
from avel_tf.reports.video_names import absolute
from avel_tf.reports.video_view import VideoView
from avel_tf.utils.text import printable
from avel_tf.video.decode import DecodeSettings

# Rows of the tables; the list of videos has the rest.
MOST_ROWS = 50

Pair = tuple[Result | None, Result | None]


def write_results_comparison(
    ours: str | Path,
    theirs: str | Path,
    *,
    out: Path | None = None,
    reference: Reference | None = None,
    thumbnails: int = 0,
    media: DecodeSettings | None = None,
) -> Path:
    """Write `comparison.html`, in which results A are compared with results B.

    Videos are matched by their absolute path, or by the name of the file if the folders have no
    path in common. The seconds that both decoded are compared. An event is in both results if the
    other has one of the same class with an intersection over union of at least 0.5.

    Args:
        ours: Results A: a folder, or a bucket with shards.
        theirs: Results B.
        out: The page to write; `comparison.html` in A when None, where that is no bucket.
        reference: Annotated events, as of `write_results_report`.
        thumbnails, media: As of `write_results_report`; half of the thumbnails for each.

    Returns:
        Path of the page.

    Raises:
        ValueError: If a folder has no results or invalid ones, the folders have no video in common,
            or `reference` has none of the videos, or A is a bucket and `out` is None.

    Example:
        >>> write_results_comparison(Path("before"), Path("after"))
        PosixPath('before/comparison.html')
    """
    folders = ours, theirs
    for folder in folders:
        require_results(folder)
    page = page_path(ours, "comparison.html") if out is None else Path(out)
    truths = absolute_reference(reference, page.parent)
    made = [
        make_thumbnails(read_all_results(each), thumbnails // 2, page.parent, media)
        for each in folders
    ]
    names = _names(ours, theirs)
    comparison = Comparison(names)
    tracks = (*names, "annotated") if truths else names
    data = ListData(page.parent, tracks, [each.images for each in made])
    for pair in _pairs(*folders, page.parent):
        video = next(each.video for each in pair if each is not None)
        truth = truths.get(absolute(video, page.parent))
        views = [None if each is None else VideoView(each, truth) for each in pair]
        different, only = comparison.add(views, truth)
        data.add(views, truth=truth is not None, different=different, marks=only)
    if not comparison.common:
        raise ValueError(
            f"{ours} and {theirs} have no video in common, neither by path nor by file name."
        )
    if truths and not comparison.annotated:
        raise ValueError(
            f"The annotations match none of the videos in {ours}. Received: "
            f"{printable(next(iter(reference or ())))!r} among others."
        )
    write_page(
        page,
        f"{names[0]} compared with {names[1]}",
        data,
        Summary(),
        comparison=comparison,
        record=RESULTS,
        total=comparison.statuses.total(),
    )
    return page


@dataclass(frozen=True)
class Better:
    """A metric of both results on the same annotated seconds.

    Attributes:
        name: Name of the metric.
        values: Its values for A and B; None if undefined.
        difference: B minus A, and its 95 % interval from a bootstrap over videos.
        ci95: The interval.
    """

    name: str
    values: tuple[float | None, float | None]
    difference: float | None
    ci95: tuple[float, float] | None


@dataclass
class Comparison:
    """Counts of a comparison.

    Attributes:
        names: Names of the two results.
        statuses: Number of videos by their two statuses; None if a result is missing.
        confusion: Number of seconds by the two labels, of those that both decoded.
        only: Events by class and by the result that alone has them.
        both: Events by class that both have.
        differing: Number of videos with another status, label or event.
    """

    names: tuple[str, str]
    statuses: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    only: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    both: Counter[str] = field(default_factory=Counter)
    common: int = 0
    annotated: int = 0
    differing: int = 0
    _counts: list[list[tuple[int, int]]] = field(default_factory=list)

    def add(
        self, views: Sequence[VideoView | None], truth: Sequence[Annotation] | None
    ) -> tuple[int, list[bool]]:
        """Compare the results of one video.

        Returns:
            Number of seconds with different labels; and for each event of both results in order,
            True if the other result has no such event.
        """
        ours, theirs = views
        statuses = tuple(view.result.status if view else None for view in views)
        self.statuses[statuses] += 1  # type: ignore[index]
        different, only = 0, self._match([view.result.events if view else () for view in views])
        if ours is not None and theirs is not None:
            self.common += 1
            for one, other in zip(ours.cells, theirs.cells, strict=False):
                if one.found is None or other.found is None:
                    continue
                self.confusion[_label(one.found), _label(other.found)] += 1
                different += set(one.found) != set(other.found)
            if truth is not None:
                self.annotated += 1
                self._counts.append(_counts(ours, theirs, truth))
        self.differing += statuses[0] != statuses[1] or bool(different) or any(only)
        return different, only

    def _match(self, events: Sequence[Sequence[Event]]) -> list[bool]:
        pairs = match_events(events[0], events[1], iou_at_least(IOU_THRESHOLD))
        matched = {id(event) for pair in pairs for event in pair}
        self.both.update(event.label for event, _ in pairs)
        for counter, side in zip(self.only, events, strict=True):
            counter.update(event.label for event in side if id(event) not in matched)
        return [id(event) not in matched for side in events for event in side]

    @property
    def seconds(self) -> int:
        """Number of seconds that both decoded."""
        return self.confusion.total()

    @property
    def different(self) -> int:
        """Number of seconds with different labels."""
        return sum(count for (one, other), count in self.confusion.items() if one != other)

    @property
    def changed_statuses(self) -> list[tuple[str, str, int]]:
        """Pairs of different statuses and their number of videos."""
        return [
            (one or "absent", other or "absent", count)
            for (one, other), count in self.statuses.most_common()
            if one != other
        ]

    @property
    def changed_labels(self) -> list[tuple[str, str, int, float]]:
        """Pairs of different labels, their seconds, and the share of the seconds of the first."""
        totals: Counter[str] = Counter()
        for (one, _), count in self.confusion.items():
            totals[one] += count
        rows = [
            (one, other, count, count / totals[one])
            for (one, other), count in self.confusion.most_common()
            if one != other
        ]
        return rows[:MOST_ROWS]

    @property
    def events(self) -> list[tuple[str, int, int, int]]:
        """Events by class: in both, only in A, only in B; those that differ most come first."""
        names = {*self.both, *self.only[0], *self.only[1]}
        rows = [(name, self.both[name], self.only[0][name], self.only[1][name]) for name in names]
        return sorted(rows, key=lambda row: (-(row[2] + row[3]), row[0]))

    def better(self) -> list[Better]:
        """Metrics of both results on the annotated videos that both have."""
        if not self._counts:
            return []
        counts = np.array(self._counts, np.int64)  # [V, 4, 2]
        rows = []
        for place, name in enumerate(("segment accuracy", "event F1")):
            sides = [counts[:, 2 * place + side].T for side in (0, 1)]  # [2, V] each
            values = tuple(ratio(part.sum(), whole.sum()) for part, whole in sides)
            drawn = [drawn_ratios({name: tuple(s)}, seed=0, draws=DRAWS)[name] for s in sides]
            known = None not in values and all(each is not None for each in drawn)
            rows.append(
                Better(
                    name,
                    values,  # type: ignore[arg-type]
                    values[1] - values[0] if known else None,  # type: ignore[operator]
                    tuple(interval(drawn[1] - drawn[0])) if known else None,  # type: ignore[arg-type, operator]
                )
            )
        return rows


def _label(found: tuple[str, ...]) -> str:
    return " + ".join(sorted(found)) or BACKGROUND


def _counts(
    ours: VideoView, theirs: VideoView, truth: Sequence[Annotation]
) -> list[tuple[int, int]]:
    """Numerator and denominator of segment accuracy and event F1, each of A and B."""
    marks = [
        (one.right, other.right)
        for one, other in zip(ours.cells, theirs.cells, strict=False)
        if one.right is not None and other.right is not None
    ]
    accuracy = [(sum(pair[side] for pair in marks), len(marks)) for side in (0, 1)]
    true = [Event(each.label, each.start, each.end, 1.0) for each in truth]
    f1 = []
    for view in (ours, theirs):
        events = view.result.events
        matched = match_events(true, events, iou_at_least(IOU_THRESHOLD))
        f1.append((2 * len(matched), len(true) + len(events)))
    return [*accuracy, *f1]


def _names(ours: str | Path, theirs: str | Path) -> tuple[str, str]:
    """Names of two folders: their last parts, as many as distinguish them."""
    one, other = (absolute(os.fspath(each), Path()).split("/") for each in (ours, theirs))
    for parts in range(1, max(len(one), len(other)) + 1):
        names = "/".join(one[-parts:]), "/".join(other[-parts:])
        if names[0] != names[1]:
            return printable(names[0]), printable(names[1])
    return "A", "B"


def _pairs(ours: str | Path, theirs: str | Path, page_folder: Path) -> Iterator[Pair]:
    """Results of each video, read one by one: in the order of A, then those of B alone."""

    def path_key(video: str) -> str:
        return absolute(video, page_folder)

    # A file on disk, because the shards of a run on a cluster have no order.
    with tempfile.TemporaryFile() as spool:
        offsets: list[tuple[str, int]] = []
        for result in read_all_results(theirs):
            offsets.append((result.video, spool.tell()))
            spool.write(result.to_json().encode() + b"\n")

        def read(offset: int | None) -> Result | None:
            if offset is None:
                return None
            spool.seek(offset)
            return Result.from_json(spool.readline())

        key: Callable[[str], str] = path_key
        places = {key(video): offset for video, offset in offsets}
        if not any(key(result.video) in places for result in read_all_results(ours)):
            key = os.path.basename
            places = {key(video): offset for video, offset in offsets}
        for result in read_all_results(ours):
            yield result, read(places.pop(key(result.video), None))
        for offset in places.values():
            yield None, read(offset)
