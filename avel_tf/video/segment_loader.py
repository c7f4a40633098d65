"""Parallel decoding of files into batches of segments."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.decode import decode
from avel_tf.video.decode_request import BLOCK_SECONDS, DecodeRequest
from avel_tf.video.errors import MediaError

logger = logging.getLogger(__name__)

# Interval in seconds at which a waiting thread checks whether it should end.
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class DecodeStatus:
    """Status of the decoding of one file.

    Attributes:
        seconds: Number of decoded seconds.
        duration: Declared length in seconds; None if not declared.
        has_sound: Whether there is an audio track that can be decoded.
        problem: Damage of a file that was decoded in part, else None.
        error: Cause of the failure of a file that was not decoded at all, else None.
        remark: Assumptions and choices that are no damage, else None; see `Clip.remark`.
        audio_track: Numbers of the audio tracks that were used, counted from 1.
    """

    seconds: int
    duration: float | None = None
    has_sound: bool = True
    problem: str | None = None
    error: str | None = None
    remark: str | None = None
    audio_track: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class SegmentBatch:
    """Consecutive segments of one file.

    Attributes:
        file: Index of the file in the loader's `requests`.
        frames: uint8 [N, F, H, W, 3] RGB.
        waveform: float32 [N, 16000].
        valid: bool [N].
    """

    file: int
    frames: np.ndarray
    waveform: np.ndarray
    valid: np.ndarray


class SegmentLoader:
    """Loader that decodes several files in parallel into batches of segments.

    The unit is the segment and not the clip, so no file has to fit in memory. A batch contains
    segments of one file only, and the position of a segment in its batch follows from its time. On
    some processors the last bits of a row depend on its position in a matrix
    (docs/architecture.md, Determinism); this way results depend on their file alone.

    At most `workers` files are decoded at a time. Memory holds about four blocks of ten seconds for
    each of them.

    Args:
        requests: The files and the form of their clips, one request a file. `threads` of 0
            divides the processors among the files decoded at the same time.
        workers: Number of files decoded at the same time.
        limit: Number of seconds after which the rest of a file is skipped; None decodes it all.
        on_open: Called with the index of a file in `requests` before the file is touched; from the
            decoding threads, several at a time.
        should_stop: Called before each file; once it returns True, no further file is opened, and
            files in progress are decoded to their end.

    Attributes:
        outcomes: Status of each finished file, by its index in `requests`. Readers may remove
            entries.
        failure: Exception that ended the batches early; `tf.data` raises another one for it.

    Example:
        >>> loader = SegmentLoader([DecodeRequest("dog.mp4", 4, (128, 128))], workers=2)
        >>> for batch in loader.batches(10): ...
    """

    def __init__(
        self,
        requests: Sequence[DecodeRequest],
        *,
        workers: int,
        limit: int | None = None,
        on_open: Callable[[int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        # Threads within a file take an eighth more processor time than parallel files
        # (docs/design/performance.md), so they only use the remaining cores.
        beside = max(1, min(workers, len(requests)))
        threads = max(1, len(os.sched_getaffinity(0)) // beside)
        self.requests = [
            replace(
                each,
                block_seconds=BLOCK_SECONDS,
                settings=replace(each.settings, threads=each.settings.threads or threads),
            )
            for each in requests
        ]
        self.workers = workers
        self.limit = limit
        self.on_open = on_open
        self.should_stop = should_stop or (lambda: False)
        self.outcomes: dict[int, DecodeStatus] = {}
        self.failure: BaseException | None = None

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        """Yields the segments of all files, those of one file in order.

        The order of the files depends on the speed of their decoders.

        Args:
            seconds: N, a divisor of `BLOCK_SECONDS`. Batch k of a file contains its segments from
                k N to (k + 1) N; the last batch may be shorter.

        Yields:
            Batches of up to N segments. A file that cannot be decoded has none; see `outcomes`.

        Raises:
            ValueError: N does not divide `BLOCK_SECONDS`.
        """
        if seconds < 1 or BLOCK_SECONDS % seconds:
            raise ValueError(f"seconds must divide {BLOCK_SECONDS}. Received: {seconds!r}.")
        self.outcomes.clear()
        with contextlib.closing(self._blocks()) as blocks:
            for file, clip in blocks:
                waveform = clip.waveform.reshape(-1, SAMPLE_RATE)  # [T, 16000]
                for start in range(0, clip.seconds, seconds):
                    part = slice(start, start + seconds)
                    yield SegmentBatch(file, clip.frames[part], waveform[part], clip.valid[part])

    def _blocks(self) -> Generator[tuple[int, Clip], None, None]:
        """Yields blocks of all files from threads that each wait for a worker process."""
        ready: queue.Queue[tuple[int, Clip] | BaseException | None] = queue.Queue(self.workers)
        closed = threading.Event()

        def put(item: tuple[int, Clip] | BaseException | None) -> bool:
            while not closed.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=_POLL_SECONDS)
                    return True
            return False

        todo = iter(range(len(self.requests)))
        taking = threading.Lock()

        def work() -> None:
            try:
                while not (closed.is_set() or self.should_stop()):
                    with taking:
                        file = next(todo, None)
                    if file is None:
                        break
                    if self.on_open is not None:
                        self.on_open(file)
                    with contextlib.closing(self._decode(file)) as clips:
                        for clip in clips:
                            if not put((file, clip)):
                                return
                put(None)
            except BaseException as error:  # raised again in the reader of the batches
                put(error)

        try:
            working = min(self.workers, len(self.requests))
            for _ in range(working):
                threading.Thread(target=work, daemon=True).start()
            while working:
                item = ready.get()
                if item is None:
                    working -= 1
                elif isinstance(item, BaseException):
                    self.failure = item
                    raise item
                else:
                    yield item
        finally:
            # A thread that waits for its worker process ends with the next block.
            closed.set()

    def _decode(self, file: int) -> Generator[Clip, None, None]:
        """Yields the blocks of one file; its status is stored after the last one."""
        outcome = DecodeStatus(seconds=0)
        blocks = decode(self.requests[file])
        try:
            with contextlib.closing(blocks):  # type: ignore[type-var]
                for clip in blocks:
                    if self.limit is not None:
                        clip = _cut(clip, self.limit - outcome.seconds)
                    given = outcome.seconds + clip.seconds
                    outcome = DecodeStatus(
                        given,
                        clip.info.duration,
                        clip.has_sound,
                        clip.problem,
                        remark=clip.remark,
                        audio_track=clip.audio_track,
                    )
                    yield clip
                    if given == self.limit:
                        break
        except MediaError as error:
            logger.info("%s", error)
            # Segments decoded before the error are valid.
            what = "problem" if outcome.seconds else "error"
            outcome = replace(outcome, **{what: str(error)})  # type: ignore[arg-type]
        self.outcomes[file] = outcome


def segments_per_batch(images: int, frames_per_second: int) -> int:
    """Number of segments in a batch: the largest divisor of a block that fits.

    Args:
        images: Most images in a batch.
        frames_per_second: F.

    Returns:
        N, at least 1.
    """
    fitting = (n for n in range(1, BLOCK_SECONDS + 1) if BLOCK_SECONDS % n == 0)
    return max((n for n in fitting if n * frames_per_second <= images), default=1)


def _cut(clip: Clip, seconds: int) -> Clip:
    if clip.seconds <= seconds:
        return clip
    return replace(
        clip,
        frames=clip.frames[:seconds],
        waveform=clip.waveform[: seconds * SAMPLE_RATE],
        valid=clip.valid[:seconds],
    )
