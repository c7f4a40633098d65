"""A stream, labelled second by second while it comes."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from avel_tf.engines.windows import Predict
from avel_tf.events.result import Result, Segment, labelled_seconds, span_record
from avel_tf.inference.localizer import Localizer
from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.decode import decode
from avel_tf.video.errors import MediaError
from avel_tf.video.live import live_request, without_login
from avel_tf.video.segment_loader import DecodeStatus

# Seconds of a stream that wait for a model that is slower than they come; then the decoder waits,
# and with it whoever writes to the pipe, or packets of the network are lost.
_BACKLOG = 30
# How often whoever waits for a second looks whether to stop.
_LOOK_SECONDS = 0.1
_INTERRUPTED = "interrupted before its first second"


class LiveSegment(NamedTuple):
    """A second of a stream and how late its label is.

    Attributes:
        second: Its place in the stream and its label.
        delay: Seconds from the moment when its last picture and sound had come and been decoded
            to its label; what has to come behind it first is part of that.
    """

    second: Segment
    delay: float

    def to_json(self) -> str:
        """One line of JSON, without the line's end."""
        return json.dumps({**span_record(self.second), "delay": round(self.delay, 3)})


class LiveWindow:
    """Labels each second by the latest window, as soon as enough has come behind it.

    Args:
        predict: The model.
        window_seconds: T of a window; fewer where the stream has only begun.
        lookahead_seconds: How many seconds must have come behind one.

    Example:
        >>> for second, probabilities in window.add(visual, audio, valid): ...
    """

    def __init__(self, predict: Predict, *, window_seconds: int, lookahead_seconds: int) -> None:
        self._predict = predict
        self._lookahead = lookahead_seconds
        self._columns: deque[tuple[np.ndarray, ...]] = deque(maxlen=window_seconds)
        self._seconds = 0

    def add(self, *columns: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The next second of the stream: visual float32 [Dv], audio float32 [Da] and valid bool [].

        Yields:
            At most one second: its place and its probabilities float32 [C+1].
        """
        self._columns.append(columns)
        self._seconds += 1
        if self._seconds > self._lookahead:
            place = self._seconds - 1 - self._lookahead
            yield place, self._window()[-1 - self._lookahead]

    def end(self) -> Iterator[tuple[int, np.ndarray]]:
        """The seconds behind which no more comes; by the last window."""
        left = min(self._seconds, self._lookahead)
        if left:
            yield from enumerate(self._window()[-left:], start=self._seconds - left)

    def _window(self) -> np.ndarray:
        columns = (np.stack(column)[None] for column in zip(*self._columns, strict=True))
        return self._predict(*columns)[0]  # [T, C+1] from [1, T, D]


def localize_live(
    localizer: Localizer,
    source: str,
    *,
    on_segment: Callable[[LiveSegment], None],
    should_stop: Callable[[], bool] = lambda: False,
    descriptor: int = 0,
) -> Result:
    """Label a stream while it comes.

    The networks are loaded before the stream is opened. Then memory holds a window of features,
    at most half a minute of pictures that wait, and the probabilities of each second that is done
    (4 bytes for each class).

    Args:
        localizer: The model at work.
        source: `-` for standard input, or an address.
        on_segment: Called with each second as soon as it is labelled, in their order; those that
            could not be decoded are left out. It ends the labelling, without a result, by raising
            an error; one that wants a result keeps its errors, and has `stopping` say yes.
        should_stop: Asked several times a second; once it says yes, what has come is labelled, and
            the stream is left.
        descriptor: What is read for `-`.

    Returns:
        What became of the stream as a whole.
    """
    engine = localizer.live_engine()
    shown = without_login(source)
    window = LiveWindow(
        engine.label,
        window_seconds=localizer.inference.window_seconds,
        lookahead_seconds=localizer.inference.live_lookahead_seconds,
    )
    width = len(localizer.labels) + 1
    given = array("f")  # probabilities [T, C+1], row after row
    valid = array("b")
    arrived: deque[float] = deque()  # of the seconds that have no label yet
    outcome = DecodeStatus(seconds=0)

    def tell(seconds: Iterator[tuple[int, np.ndarray]]) -> None:
        for place, probabilities in seconds:
            given.extend(probabilities.tolist())
            came = arrived.popleft()
            if valid[place]:
                one = localizer.postprocessing.scores(probabilities[None])  # [1]
                (found,) = labelled_seconds(
                    one.label_index(localizer.labels.background),
                    one.score,
                    localizer.labels,
                    label_scores=one.label_scores,
                )
                second = replace(found, start=float(place), end=place + 1.0)
                on_segment(LiveSegment(second, time.monotonic() - came))

    try:
        with contextlib.closing(_seconds(localizer, source, descriptor, should_stop)) as seconds:
            for came, clip in seconds:
                sound = clip.waveform.reshape(-1, SAMPLE_RATE)  # [1, 16000]
                visual, audio = engine.embed_seconds(clip.frames, sound)  # [1, Dv], [1, Da]
                valid.append(bool(clip.valid[0]))
                arrived.append(came)
                outcome = DecodeStatus(
                    len(valid),
                    float(len(valid)),
                    clip.has_sound,
                    clip.problem,
                    remark=clip.remark,
                    audio_track=clip.audio_track,
                )
                tell(window.add(visual[0], audio[0], clip.valid[0]))
    except MediaError as error:
        outcome = DecodeStatus(
            outcome.seconds, outcome.duration, outcome.has_sound, str(error), str(error)
        )
    tell(window.end())
    if not valid:
        return localizer.refused(shown, DecodeStatus(0, error=outcome.error or _INTERRUPTED))
    scores = localizer.postprocessing.scores(np.array(given, np.float32).reshape(-1, width))  # [T]
    return localizer.result(shown, scores, np.array(valid, bool), outcome)


def _seconds(
    localizer: Localizer, source: str, descriptor: int, should_stop: Callable[[], bool]
) -> Generator[tuple[float, Clip], None, None]:
    """Each second of a stream with the time when it was there; ends soon when it shall stop."""
    request = localizer.recipe.visual.decode_request(source, localizer.media)
    clips = decode(live_request(request, descriptor))
    ready: queue.Queue[tuple[float, Clip] | BaseException | None] = queue.Queue(_BACKLOG)
    closed = threading.Event()

    def put(item: tuple[float, Clip] | BaseException | None) -> bool:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=_LOOK_SECONDS)
                return True
        return False

    def work() -> None:
        try:
            with contextlib.closing(clips):  # type: ignore[type-var]
                for clip in clips:
                    if not put((time.monotonic(), clip)):
                        return
            put(None)
        except BaseException as error:  # to be raised where the seconds are read
            put(error)

    # A thread, so that the decoder never waits for the model while there is room; and a daemon,
    # because one that waits for a silent stream hears nothing else.
    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            if should_stop():
                closed.set()
            try:
                item = ready.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if closed.is_set():
                    return
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
