"""Short clips of the events of results, as a data set for training."""

from __future__ import annotations

import contextlib
import csv
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avel_tf.events.event import Event
from avel_tf.events.formats.mirror import Mirror
from avel_tf.events.result import Result
from avel_tf.synthesis.transcode import LARGEST_PICTURE, transcode
from avel_tf.utils.durable_files import atomic_path, atomic_text
from avel_tf.utils.text import did_you_mean, one_line
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.protocol import NONSENSE
from avel_tf.video.media_job import run_media_job
from avel_tf.video.media_reader import MediaReader
from avel_tf.video.stream_copy import copy_span

SELECTIONS = ("all", "random", "confident", "doubtful", "balanced")


class EventPlace(NamedTuple):
    """Place of an event in results.

    Attributes:
        result: Number of its result.
        event: Number of the event in the result.
        label: Its class.
        score: Its score.
    """

    result: int
    event: int
    label: str
    score: float


@dataclass
class ClipsSummary:
    """Outcome of `write_clips`.

    Attributes:
        clips: Number of clips.
        copied: Number of those that were copied without encoding them again.
        failed: Videos that could not be decoded, with the reason.
    """

    clips: int = 0
    copied: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def select_events(
    results: Iterable[Result], selection: str = "all", count: int | None = None, *, seed: int = 0
) -> list[EventPlace]:
    """Select events of results.

    Args:
        results: The results.
        selection: `all`; `random`; `confident` or `doubtful`, by the highest or lowest score; or
            `balanced`, equally many of each class at random.
        count: Number of events; None takes all, of `balanced` as many as the rarest class has.
        seed: Seed of the random selections.

    Returns:
        The events in the order of the results.

    Raises:
        ValueError: The selection is unknown, or the count is not positive.
    """
    if selection not in SELECTIONS:
        raise ValueError(
            f"Unknown selection {selection!r}.{did_you_mean(selection, SELECTIONS)} Expected one "
            f"of {', '.join(SELECTIONS)}."
        )
    if count is not None and count < 1:
        raise ValueError(f"The number of clips must be at least 1. Received: {count}.")
    places = [
        EventPlace(number, index, event.label, event.score)
        for number, result in enumerate(results)
        for index, event in enumerate(result.events)
    ]
    if selection in ("random", "balanced"):
        places = [places[i] for i in np.random.default_rng(seed).permutation(len(places))]
    elif selection != "all":
        places.sort(key=lambda place: place.score, reverse=selection == "confident")
    if selection == "balanced":
        places = _by_turns(places, everything=count is not None)
    return sorted(places[:count])


def _by_turns(places: list[EventPlace], *, everything: bool) -> list[EventPlace]:
    """One event of each class after the other; until the first class has no more if not all."""
    of_class: dict[str, list[EventPlace]] = defaultdict(list)
    for place in places:
        of_class[place.label].append(place)
    sizes = [len(each) for each in of_class.values()]
    turns = (max if everything else min)(sizes, default=0)
    return [each[turn] for turn in range(turns) for each in of_class.values() if turn < len(each)]


def write_clips(
    results: Iterable[Result],
    places: Iterable[EventPlace],
    folder: Path,
    *,
    margin: float = 1.0,
    tolerance: float = 0.5,
    media: DecodeSettings | None = None,
) -> ClipsSummary:
    """Write a clip of each event to `folder/clips/CLASS/`, and `folder/annotations.csv`.

    A clip is copied without a change if a key frame is within `tolerance` before its start and mp4
    holds its codecs; it begins with the key frame. Others begin and end at whole seconds, as
    segments do, and are encoded again: H.264 of at most 1920 x 1080 square pixels, with the times
    of the frames, and AAC at the rate of the source, mono or stereo. Times in the table count from
    the true start of the clip. Files are read in a worker process with the limits of `media`.
    Memory holds a few seconds, whatever the length of video and event.

    Args:
        results: The results, in the same order as for `select_events`.
        places: The events.
        folder: Output folder. Folders and files have names that are safe whatever the label is.
        margin: Seconds before and after each event.
        tolerance: Seconds by which a copied clip may begin earlier. Without any, a key frame must
            be exactly at the start.
        media: Limits and isolation of decoding.

    Returns:
        The number of clips and the videos that failed.

    Raises:
        ValueError: The margin or the tolerance is negative or not finite, or the folder holds an
            `annotations.csv`.
        OSError: A file cannot be written.
    """
    for name, value in (("margin", margin), ("tolerance", tolerance)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"The {name} must be 0 or more seconds. Received: {value}.")
    table = folder / "annotations.csv"
    if table.exists():
        raise ValueError(f"{table} exists. Choose another folder for the clips, or remove it.")
    chosen: dict[int, list[int]] = defaultdict(list)
    for place in places:
        chosen[place.result].append(place.event)
    summary = ClipsSummary()
    names = Mirror(".mp4")
    with atomic_text(table) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["video", "label", "start", "end", "source", "source_start"])
        for number, result in enumerate(results):
            if number not in chosen:
                continue
            clips = [_Clip(result, result.events[i], folder, names, margin) for i in chosen[number]]
            try:
                for clip, start, copied in _cut(result.video, clips, tolerance, media):
                    rows.writerows(clip.rows(start))
                    summary.clips += 1
                    summary.copied += copied
            except MediaError as error:
                summary.failed[result.video] = error.cause
    return summary


class _Clip:
    """A clip to be cut.

    Attributes:
        first: First second of the video in it.
        last: Second after its last one.
    """

    def __init__(
        self, result: Result, event: Event, folder: Path, names: Mirror, margin: float
    ) -> None:
        self.first = math.floor(max(0.0, event.start - margin))
        end = max([event.end, *(second.end for second in result.seconds[-1:])])
        self.last = math.ceil(min(end, event.end + margin))
        label = event.label.replace("/", "_") or "_"
        stem = Path(result.video).stem
        self.name = names.place(f"clips/{label}/{stem}-{self.first}-{self.last}")
        self.path = folder / self.name
        self._result = result

    def rows(self, first: float) -> Iterator[tuple[str, str, float, float, str, float]]:
        """Rows of all events in the clip, with times relative to its true start."""
        for event in self._result.events:
            start, end = max(event.start, first), min(event.end, self.last)
            if start < end:
                yield (
                    *(str(self.name), one_line(event.label)),
                    *(round(start - first, 3), round(end - first, 3)),
                    *(self._result.video, round(first, 3)),
                )


def _cut(
    video: str, clips: list[_Clip], tolerance: float, media: DecodeSettings | None
) -> Iterator[tuple[_Clip, float, bool]]:
    """Cut the clips of a video; yields each that is complete, its start, and if it is a copy."""
    with contextlib.ExitStack() as stack:
        files = []
        for clip in clips:
            own = stack.enter_context(contextlib.ExitStack())
            files.append((own, own.enter_context(atomic_path(clip.path))))
        spans = [
            {"out": os.path.abspath(path), "start": clip.first, "end": clip.last}
            for clip, (_, path) in zip(clips, files, strict=True)
        ]
        arguments = {"spans": spans, "tolerance": tolerance}
        waiting = dict(enumerate(zip(clips, files, strict=True)))
        for step in run_media_job(cut_spans, video, media or DecodeSettings(), arguments):
            if step is None:
                continue
            # The worker may have been taken over by the file.
            try:
                number, start, copied = int(step[0]), float(step[1]), bool(step[2])
                clip, (own, _) = waiting.pop(number)
                if not clip.first - tolerance - 0.001 <= start <= clip.first:
                    raise ValueError("a clip that begins elsewhere")
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise MediaError(video, NONSENSE) from error
            own.close()
            yield clip, start, copied
        if waiting:
            raise MediaError(video, NONSENSE)


def cut_spans(
    path: str, settings: DecodeSettings, arguments: dict[str, Any]
) -> Iterator[tuple[int, float, bool] | None]:
    """Cuts spans of a video; runs in the worker process of `write_clips`.

    Yields:
        None while working, and (number, start, copied) of each span that is complete.

    Raises:
        MediaError: A span could not be cut; raised after the others.
    """
    tolerance, failure = arguments["tolerance"], None
    for number, span in enumerate(arguments["spans"]):
        out, start, end = span["out"], span["start"], span["end"]
        try:
            begun = copy_span(path, settings, out, start=start, end=end, tolerance=tolerance)
            if begun is None:
                with MediaReader.open(path, settings, start=start) as reader:
                    size = reader.size(LARGEST_PICTURE)
                    for _ in transcode(reader, Path(out), size=size, seconds=end - start):
                        yield None
        except MediaError as error:
            failure = failure or error
            continue
        yield number, start if begun is None else begun, begun is not None
    if failure:
        raise failure
