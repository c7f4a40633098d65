"""Defects of the annotated times."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from avel_tf.annotations import Annotation, Dataset, Video
from avel_tf.audit.balance import AVE_SECONDS, video_seconds
from avel_tf.audit.file_checks import TOLERANCE_S
from avel_tf.audit.file_facts import FileFacts
from avel_tf.audit.finding import Finding


def check_events(
    dataset: Dataset, facts: Mapping[Path, FileFacts], seconds: int | None
) -> Iterator[Finding]:
    """Looks for times that cannot be meant.

    Args:
        dataset: The data set.
        facts: What its files are like.
        seconds: `AuditSettings.seconds`.

    Yields:
        One finding per kind of defect.
    """
    events = [(video, event) for video in dataset.videos for event in video.annotations]
    yield from _finding(
        "event-times",
        "error",
        "that begin before the video does or end before they begin.",
        "Correct the times; they label the wrong seconds, or none.",
        [(v, e, e.end - e.start) for v, e in events if e.start < 0 or e.end < e.start],
    )
    yield from _finding(
        "event-empty",
        "warning",
        "too short to label a second: none has its middle there.",
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
            f"that go on after the first {window} s, which are all that is read.",
            "What comes later is neither trained on nor measured; cut long videos into clips.",
            [(v, e, window - e.end) for v, e in events if e.end > window + TOLERANCE_S],
        )
    yield from _check_doubles(dataset)
    yield from _check_overlaps(dataset, facts, seconds)


def _finding(
    kind: str,
    severity: str,
    what: str,
    advice: str,
    events: list[tuple[Video, Annotation, float]],
    more: Callable[[Video], str] = lambda video: "",
) -> Iterator[Finding]:
    """Reports events; those with the smallest number are the worst."""
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
    for video in dataset.videos:
        length = video_seconds(video, dataset.layout, facts.get(video.path), seconds)
        middles = np.arange(length) + 0.5  # [T]
        pairs: Counter[str] = Counter()
        for first, second in itertools.combinations(video.annotations, 2):
            if first.label != second.label:
                start, end = max(first.start, second.start), min(first.end, second.end)
                shared = int(((start <= middles) & (middles < end)).sum())
                pairs[" and ".join(sorted((first.label, second.label)))] += shared
        overlapping += [(count, video.id, pair) for pair, count in pairs.items() if count]
    overlapping.sort(key=lambda item: (-item[0], item[1], item[2]))
    if overlapping:
        yield Finding(
            "overlap",
            "warning",
            "Videos with events of different classes in the same second: "
            f"{len({name for _, name, _ in overlapping}):,} of {len(dataset.videos):,}.",
            "A second has one label: of several events, the one that began last has it.",
            tuple((name, f"{count} s: {pair}") for count, name, pair in overlapping),
        )


def _middles(event: Annotation) -> int:
    """Counts the whole seconds whose middle lies in the event."""
    return max(0, int(np.ceil(event.end - 0.5)) - int(np.ceil(event.start - 0.5)))


def _spell(event: Annotation) -> str:
    return f"{event.label}, {event.start:g} to {event.end:g} s"
