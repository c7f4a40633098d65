"""Live streams, labelled segment by segment while they are received."""

from __future__ import annotations

import contextlib
import json
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from avel_tf.engines.windows import Predict
from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment, labelled_seconds, span_record
from avel_tf.inference.live_events import LiveEvents
from avel_tf.inference.live_source import LiveSource
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode_request import without_login
from avel_tf.video.errors import MediaError
from avel_tf.video.segment_loader import DecodeStatus

_INTERRUPTED = "interrupted before its first second"


class LiveSegment(NamedTuple):
    """A segment of a stream and the delay of its label.

    Attributes:
        second: Start, end, label and score.
        delay: Seconds from the time when its last frame and audio were decoded to its label. This
            includes the wait for the segments of the look-ahead.
    """

    second: Segment
    delay: float

    def to_json(self) -> str:
        """One line of JSON, without a newline."""
        return json.dumps({**span_record(self.second), "delay": round(self.delay, 3)})


class LiveWindow:
    """Labels each segment by the latest window, once its look-ahead has been received.

    Args:
        predict: The model.
        window_seconds: T of a window; shorter at the beginning of a stream.
        lookahead_seconds: Number of later segments that must have been received.

    Example:
        >>> for second, probabilities in window.add(visual, audio, valid): ...
    """

    def __init__(self, predict: Predict, *, window_seconds: int, lookahead_seconds: int) -> None:
        self._predict = predict
        self._lookahead = lookahead_seconds
        self._columns: deque[tuple[np.ndarray, ...]] = deque(maxlen=window_seconds)
        self._seconds = 0
        self._latest: np.ndarray | None = None

    def add(self, *columns: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Add the next segment: visual float32 [Dv], audio float32 [Da] and valid bool [].

        Yields:
            At most one segment: its index and its probabilities float32 [C+1].
        """
        self._columns.append(columns)
        self._seconds += 1
        if self._seconds > self._lookahead:
            place = self._seconds - 1 - self._lookahead
            # A missing segment has no label, so hours of them need no model.
            if self._latest is None or self._columns[-1 - self._lookahead][-1]:
                self._latest = self._window()[-1 - self._lookahead]
            yield place, self._latest

    def end(self) -> Iterator[tuple[int, np.ndarray]]:
        """Label the last segments of the stream, whose look-ahead is incomplete."""
        left = min(self._seconds, self._lookahead)
        if left:
            yield from enumerate(self._window()[-left:], start=self._seconds - left)

    def _window(self) -> np.ndarray:
        columns = (np.stack(column)[None] for column in zip(*self._columns, strict=True))
        return self._predict(*columns)[0]  # [T, C+1] from [1, T, D]


def localize_live(
    pipeline: InferencePipeline,
    source: str,
    *,
    on_segment: Callable[[LiveSegment], None],
    on_event: Callable[[Event], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    descriptor: int = 0,
) -> Result:
    """Label a live stream while it is received.

    A lost stream is opened again, as `LiveSource` does; the seconds in between get no label.
    The networks are loaded before the stream is opened. Memory holds one window of features, at
    most 30 s of decoded frames, and the scores of each labelled segment (4 bytes per class; 12
    of a zero-shot model).

    Args:
        pipeline: The model.
        source: `-` for standard input, or an address.
        on_segment: Called with each segment as soon as it is labelled, in order; segments that
            could not be decoded are left out. An error that it raises ends the labelling without
            a result.
        on_event: Called with each event as soon as it is over, as of `LiveEvents`.
        should_stop: Called several times a second. Once it returns True, the segments received so
            far are labelled and the stream is closed.
        descriptor: File descriptor that is read for `-`.

    Returns:
        The result of the whole stream.
    """
    engine = pipeline.live_engine()
    shown = without_login(source)
    model = pipeline.model
    window = LiveWindow(
        engine.label,
        window_seconds=pipeline.inference.window_seconds,
        lookahead_seconds=pipeline.inference.live_lookahead_seconds,
    )
    width = len(model.labels) + 1
    given = array("f")  # probabilities [T, C+1], row after row
    evidence: list[tuple[np.ndarray, ...]] = []  # of each segment
    valid = array("b")
    arrived: deque[float] = deque()  # of the segments that have no label yet
    status = DecodeStatus(seconds=0)
    columns: tuple[np.ndarray, ...] = ()
    trailing = 0  # missing segments at the end, which are no part of the stream
    events = LiveEvents(pipeline, on_event) if on_event else None

    def report(segments: Iterator[tuple[int, np.ndarray]]) -> None:
        for place, probabilities in segments:
            given.extend(probabilities.tolist())
            if events:
                events.add(probabilities, bool(valid[place]))
            came = arrived.popleft()
            if valid[place]:
                one = pipeline.scores(probabilities[None])  # [1]
                (found,) = labelled_seconds(
                    one.label_index(pipeline.labels.background),
                    one.score,
                    pipeline.labels,
                    label_scores=one.label_scores,
                    evidence=evidence[place],
                    evidence_labels=model.labels,
                )
                segment = replace(found, start=float(place), end=place + 1.0)
                on_segment(LiveSegment(segment, time.monotonic() - came))

    from avel_tf.video.live import live_request

    request = live_request(model.recipe.visual.decode_request(source, pipeline.media), descriptor)
    stream = LiveSource(request, should_stop, pipeline.inference.live_reconnects)
    try:
        with contextlib.closing(stream.segments()) as segments:
            for came, clip in segments:
                arrived.append(came)
                if clip is None:
                    trailing += 1
                    evidence.append(evidence[-1])  # not used, as the segment is not valid
                    valid.append(False)
                    report(window.add(*map(np.zeros_like, columns)))
                    continue
                trailing = 0
                sound = clip.waveform.reshape(-1, SAMPLE_RATE)  # [1, 16000]
                visual, audio = engine.embed_seconds(clip.frames, sound)  # [1, Dv], [1, Da]
                evidence.append(pipeline.evidence(visual, audio))  # [1, C] each
                valid.append(bool(clip.valid[0]))
                status = DecodeStatus(
                    len(valid),
                    has_sound=clip.has_sound,
                    remark=clip.remark,
                    audio_track=clip.audio_track,
                )
                columns = visual[0], audio[0], clip.valid[0]  # [Dv], [Da], []
                report(window.add(*columns))
        status = replace(status, problem=stream.problem)
    except MediaError as error:
        status = DecodeStatus(
            status.seconds, None, status.has_sound, _joined(stream.problem, str(error)), str(error)
        )
    report(window.end())
    if events:
        events.end()
    del valid[len(valid) - trailing :], evidence[len(evidence) - trailing :]
    status = replace(status, seconds=len(valid), duration=float(len(valid)))
    if not valid:
        return pipeline.refusal(shown, DecodeStatus(0, error=status.error or _INTERRUPTED))
    probabilities = np.array(given, np.float32).reshape(-1, width)[: len(valid)]  # [T, C+1]
    joined = [np.concatenate(each) for each in zip(*evidence, strict=True)]  # [T, C]
    return pipeline.result(shown, probabilities, np.array(valid, bool), status, joined)


def _joined(*sentences: str | None) -> str:
    return " ".join(filter(None, sentences))
