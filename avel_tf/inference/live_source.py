"""Segments of a live stream, received in a thread; a lost stream is opened again."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator

from avel_tf.reports.video_view import span_text
from avel_tf.video.clip import Clip
from avel_tf.video.decode import decode
from avel_tf.video.decode_request import STDIN, DecodeRequest
from avel_tf.video.errors import MediaError

logger = logging.getLogger(__name__)

# Decoded seconds that are queued if the model is slower than the stream. When the queue is full
# the decoder blocks, so the writer of a pipe blocks too, and network packets are dropped.
_BACKLOG = 30
# Interval at which blocked threads check whether to stop.
_POLL_SECONDS = 0.1
# A second that is later than this is missing while a stream is opened again.
_LATE_SECONDS = 1.5
# Pauses before a stream is opened again: the first, doubled with each attempt, and the longest.
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0
# Interruptions that are named in a result; all are counted.
_MOST_NAMED = 10


class LiveSource:
    """Segments of a live stream, which is opened again when it is lost.

    An address is lost when it closes, fails, or sends nothing for `max_stall_seconds`. The timeline
    continues by the clock: the seconds of the interruption are missing. Standard input, and a
    stream that declares its length, end like a file. A stream that cannot be opened the first time
    is not tried again.

    Args:
        request: A request of `live_request`.
        should_stop: Called several times a second; the segments end soon after it returns True.
        reconnects: Attempts in a row to open a lost stream again; None for any number.

    Attributes:
        problem: A sentence about all interruptions, or about damage; None without.
    """

    def __init__(
        self, request: DecodeRequest, should_stop: Callable[[], bool], reconnects: int | None
    ) -> None:
        self._request = request
        self._should_stop = should_stop
        self._reconnects = 0 if os.fsdecode(request.path) == STDIN else reconnects
        self._shown = os.fsdecode(request.shown_path)
        self._gaps: list[str] = []
        self._missing = 0
        self._end: str | None = None

    @property
    def problem(self) -> str | None:
        """Interruptions and the reason of the end; None for a whole stream."""
        parts = []
        if self._gaps:
            named = "; ".join(self._gaps[:_MOST_NAMED])
            more = "; …" if len(self._gaps) > _MOST_NAMED else ""
            parts.append(
                f"The stream was interrupted {_times(len(self._gaps))}; {self._missing} s are "
                f"missing: {named}{more}."
            )
        return " ".join([*parts, *([self._end] if self._end else [])]) or None

    def segments(self) -> Generator[tuple[float, Clip | None], None, None]:
        """Receive the stream.

        Yields:
            The time of arrival, and one second; None for a missing one. The missing ones at the
            end are those of a stream that did not come back.

        Raises:
            MediaError: The stream cannot be opened, or not be read to its end.
        """
        first: float | None = None  # arrival of the first second
        count = attempts = lost_at = 0
        while True:
            cause, failed, file_like = "it closed", False, False
            try:
                with contextlib.closing(_connection(self._request, self._should_stop)) as seconds:
                    received = False
                    for came, clip in seconds:
                        if clip is None:
                            if first is not None and not received:
                                late = _late(came, first, count)
                                yield from [(came, None)] * late
                                count += late
                            continue
                        if first is None:
                            first = came
                        elif not received:
                            gap = max(0, round(came - first) - count)
                            yield from [(came, None)] * gap
                            count += gap
                            self._record(lost_at, count)
                        received, attempts = True, 0
                        count += 1
                        file_like = clip.info.duration is not None
                        self._end = clip.problem
                        yield came, clip
                cause = (self._end or cause).rstrip(".")
            except MediaError as error:
                if first is None or self._reconnects == 0:
                    raise
                cause, failed = error.cause, True
            if self._should_stop() or first is None or (file_like and not failed):
                return
            if self._reconnects is not None and attempts >= self._reconnects:
                if attempts:
                    self._end = (
                        f"The stream was lost at {lost_at} s and did not come back: {cause}."
                    )
                return
            lost_at = lost_at if attempts else count
            attempts += 1
            for now in self._wait(attempts, cause):
                late = _late(now, first, count)
                yield from [(now, None)] * late
                count += late
            self._end = None

    def _record(self, start: int, end: int) -> None:
        span = span_text(start, end) if end > start else f"none at {start} s"
        self._gaps.append(span)
        self._missing += end - start
        logger.warning("%s is back. Missing seconds: %s.", self._shown, span)

    def _wait(self, attempt: int, cause: str) -> Iterator[float]:
        """Pause before an attempt; yields the time several times a second."""
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(attempt - 1, 30))
        delay = longest * random.uniform(0.5, 1.0)
        if attempt == 1:
            logger.warning("%s was lost (%s). Opening it again.", self._shown, cause)
        else:
            logger.warning("%s cannot be opened (%s). Attempt %d.", self._shown, cause, attempt)
        end = time.monotonic() + delay
        while not self._should_stop() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_SECONDS))
            yield time.monotonic()


def _late(now: float, first: float, count: int) -> int:
    """Number of seconds of an interrupted stream that can no longer come.

    They are missing at once, so that the seconds before the interruption, which wait for their
    look-ahead, are labelled during it.
    """
    return max(0, int(now - first - _LATE_SECONDS) + 1 - count)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _connection(
    request: DecodeRequest, should_stop: Callable[[], bool]
) -> Generator[tuple[float, Clip | None], None, None]:
    """Segments of a stream with the time of their arrival; ends soon after `should_stop`.

    Yields None as well, several times a second, while there is no segment.
    """
    clips = decode(request)
    ready: queue.Queue[tuple[float, Clip] | BaseException | None] = queue.Queue(_BACKLOG)
    closed = threading.Event()

    def put(item: tuple[float, Clip] | BaseException | None) -> bool:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=_POLL_SECONDS)
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

    # A thread, so that decoding and labelling overlap. A daemon, because a thread that blocks on
    # a silent stream cannot be joined.
    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            if should_stop():
                closed.set()
            try:
                item = ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if closed.is_set():
                    return
                yield time.monotonic(), None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
