"""Defects of the annotated times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from avel_tf.datasets import SPLITS, Annotation, Dataset, Video, active_classes
from avel_tf.datasets.audit.balance import AVE_SECONDS, video_seconds
from avel_tf.datasets.audit.file_checks import TOLERANCE_S
from avel_tf.datasets.audit.file_facts import FileFacts
from avel_tf.datasets.audit.report import Finding


def check_events(
    dataset: Dataset, facts: Mapping[Path, FileFacts], seconds: int | None
) -> Iterator[Finding]:
    """Checks for annotated times that are probably mistakes.

    Args:
        dataset: The data set.
        facts: Properties of its files.
        seconds: `AuditSettings.seconds`.

    Yields:
        One finding per kind of defect.
    """
    events = [(video, event) for video in dataset.videos for event in video.annotations]
    yield from _finding(
        "event-times",
        "error",
        "that begin before the video does or end before they begin.",
        "Correct the times; they label the wrong segments, or none.",
        [(v, e, e.end - e.start) for v, e in events if e.start < 0 or e.end < e.start],
    )
    yield from _finding(
        "event-empty",
        "warning",
        "too short to label a segment: they cover the middle of none.",
        "They count as background; lengthen what is meant to be learned.",
        [(v, e, e.end) for v, e in events if 0 <= e.start <= e.end and not _middles(e)],
    )
    late = []
    for video, event in events:
        duration = facts[video.path].duration
        if duration is not None and event.end > duration + TOLERANCE_S:
            late.append((video, event, duration - event.end))
    yield from _finding(
        "event-beyond-file",
        "error",
        "that end after the end of the file.",
        "Correct the times, or check that the file is complete.",
        late,
        lambda video: f"; the file has {facts[video.path].duration:.2f} s",
    )
    window = AVE_SECONDS if seconds is None and dataset.layout == "ave" else seconds
    if window is not None:
        yield from _finding(
            "event-beyond-window",
            "warning",
            f"that continue after the first {window} s; only those are read.",
            "Later parts are not used in training or evaluation; cut long videos into clips.",
            [(v, e, window - e.end) for v, e in events if e.end > window + TOLERANCE_S],
        )
    yield from _check_doubles(dataset)
    yield from _check_overlaps(dataset, facts, seconds)
    yield from _check_weak_splits(dataset)


def _finding(
    kind: str,
    severity: str,
    what: str,
    advice: str,
    events: list[tuple[Video, Annotation, float]],
    more: Callable[[Video], str] = lambda video: "",
) -> Iterator[Finding]:
    """Reports events with a number each, the smallest first."""
    if events:
        events.sort(key=lambda item: item[2])
        count = "1 event" if len(events) == 1 else f"{len(events):,} events"
        items = tuple((video.id, _spell(event) + more(video)) for video, event, _ in events)
        yield Finding(kind, severity, f"{count} {what}", advice, items)


def _check_doubles(dataset: Dataset) -> Iterator[Finding]:
    doubled = [
        (video.id, f"{_spell(event)}, {count} times")
        for video in dataset.videos
        for event, count in Counter(video.annotations).items()
        if count > 1
    ]
    if doubled:
        yield Finding(
            "duplicate-event",
            "warning",
            f"Events that are listed more than once: {len(doubled):,}.",
            "This changes no label, but hints at a table that was joined twice.",
            tuple(doubled),
        )


def _check_overlaps(
    dataset: Dataset, facts: Mapping[Path, FileFacts], seconds: int | None
) -> Iterator[Finding]:
    overlapping = []
    shared = covered = 0
    for video in dataset.videos:
        if video.split in dataset.weak_splits:
            continue  # its events span the video, so overlaps are unknown
        length = video_seconds(video, dataset.layout, facts.get(video.path), seconds)
        active = active_classes(video.annotations, dataset.labels, length)  # [T, C]
        held = active.sum(axis=1)  # [T]
        covered += int((held > 0).sum())
        shared += int((held > 1).sum())
        sets = Counter(
            " and ".join(sorted(dataset.labels.name(int(index)) for index in np.flatnonzero(row)))
            for row in active[held > 1]
        )
        overlapping += [(count, video.id, classes) for classes, count in sets.items()]
    overlapping.sort(key=lambda item: (-item[0], item[1], item[2]))
    if overlapping:
        yield Finding(
            "overlap",
            "warning",
            "Videos with events of different classes in the same segment: "
            f"{len({name for _, name, _ in overlapping}):,} of {len(dataset.videos):,}; "
            f"{shared:,} of {covered:,} segments with an event have several.",
            "The default head gives a segment one label: of several events, the one that began "
            "last. Set model.head=multi_label to learn and measure all of them.",
            tuple((name, f"{count} s: {classes}") for count, name, classes in overlapping),
        )


def _check_weak_splits(dataset: Dataset) -> Iterator[Finding]:
    weak = [split for split in SPLITS if split in dataset.weak_splits and dataset.split(split)]
    if weak:
        yield Finding(
            "weak-labels",
            "note",
            f"Annotations of {' and '.join(weak)} name the events of a video without their times.",
            "Train with training.supervision=weak. Counts of these splits, such as the segments "
            "of each class, assume that every event lasts as long as its video.",
            (),
        )


def _middles(event: Annotation) -> int:
    """Counts the segments whose middle is in the event."""
    return max(0, int(np.ceil(event.end - 0.5)) - int(np.ceil(event.start - 0.5)))


def _spell(event: Annotation) -> str:
    return f"{event.label}, {event.start:g} to {event.end:g} s"
