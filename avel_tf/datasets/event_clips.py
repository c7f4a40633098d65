"""Short clips of the events of results, as a data set for training."""

from __future__ import annotations

import contextlib
import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avel_tf.events.event import Event
from avel_tf.events.formats.mirror import Mirror
from avel_tf.events.result import Result
from avel_tf.synthesis.writer import VideoWriter
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.text import did_you_mean, one_line
from avel_tf.video.clip import MediaInfo
from avel_tf.video.decode import decode, read_header
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError

SELECTIONS = ("all", "random", "confident", "doubtful", "balanced")
# A clip has at most this size and rate; larger videos are scaled down.
LARGEST_WIDTH, LARGEST_HEIGHT, HIGHEST_RATE = 1280, 720, 30
# Rate of a file that declares none.
_USUAL_RATE = 25


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
        failed: Videos that could not be decoded, with the reason.
    """

    clips: int = 0
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
    media: DecodeSettings | None = None,
) -> ClipsSummary:
    """Write a clip of each event to `folder/clips/CLASS/`, and `folder/annotations.csv`.

    Clips begin and end at whole seconds, as segments do. Videos are decoded as they are for
    labelling, in a worker process with the limits of `media`, and encoded again: H.264 of at most
    1280 x 720 pixels and 30 frames per second, and the audio that a model receives, 16 kHz mono.
    Memory holds a few seconds, whatever the length of video and event.

    Args:
        results: The results, in the same order as for `select_events`.
        places: The events.
        folder: Output folder. Folders and files have names that are safe whatever the label is.
        margin: Seconds before and after each event.
        media: Limits and isolation of decoding.

    Returns:
        The number of clips and the videos that failed.

    Raises:
        ValueError: The margin is negative or not finite, or the folder holds an `annotations.csv`.
        OSError: A file cannot be written.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"The margin must be 0 or more seconds. Received: {margin}.")
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
                for clip in _cut(result.video, clips, media or DecodeSettings()):
                    rows.writerows(clip.rows)
                    summary.clips += 1
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

    @property
    def rows(self) -> Iterator[tuple[str, str, float, float, str, int]]:
        """Rows of all events in the clip, with times relative to it."""
        for event in self._result.events:
            start, end = max(event.start, self.first), min(event.end, self.last)
            if start < end:
                yield (
                    *(str(self.name), one_line(event.label)),
                    *(round(start - self.first, 3), round(end - self.first, 3)),
                    *(self._result.video, self.first),
                )


def _cut(video: str, clips: list[_Clip], settings: DecodeSettings) -> Iterator[_Clip]:
    """Decode a video once and write its clips; yields each one that is complete."""
    info = read_header(video, settings)
    rate = min(HIGHEST_RATE, max(1, round(info.frame_rate or _USUAL_RATE)))
    seconds = max(clip.last for clip in clips)
    request = DecodeRequest(video, rate, _size(info), seconds, 1, settings=settings)
    second = 0
    with contextlib.ExitStack() as stack:
        writers: dict[_Clip, tuple[contextlib.ExitStack, VideoWriter]] = {}
        for block in decode(request):
            for clip in clips:
                if clip.first == second:
                    own = stack.enter_context(contextlib.ExitStack())
                    writer = own.enter_context(
                        VideoWriter(clip.path, block.frames.shape[2:4], frame_rate=rate)
                    )
                    writers[clip] = own, writer
                if clip in writers:
                    parts = np.array_split(block.waveform, rate)
                    for image, samples in zip(block.frames[0], parts, strict=True):
                        writers[clip][1].add(image, samples)
                if clip in writers and clip.last == second + 1:
                    writers.pop(clip)[0].close()
                    yield clip
            second += 1
        for clip, (own, _) in writers.items():  # the video ended early
            own.close()
            yield clip


def _size(info: MediaInfo) -> tuple[int, int]:
    """Even (H, W) of the upright frame within the largest size."""
    height, width = info.height, info.width
    if info.rotation % 180:
        height, width = width, height
    scale = min(1.0, LARGEST_WIDTH / width, LARGEST_HEIGHT / height)
    return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)
