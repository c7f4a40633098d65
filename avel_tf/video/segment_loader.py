"""mp4 files as one stream of seconds, in batches."""

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

# How often a thread that waits looks whether it is still wanted.
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class DecodeStatus:
    """Status of the decoding of one file.

    Attributes:
        seconds: How many seconds it gave.
        duration: Length that the file declares, in seconds, where it does.
        has_sound: Whether there is an audio track.
        problem: What is wrong with a file of which some seconds could be decoded.
        error: Why a file gave nothing; `None` when it gave something.
        remark: What was assumed where one track has nothing and the other goes on, and how its
            sound was made where that is not plain.
        audio_track: The audio tracks that were used, counted from 1.
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
    """Consecutive seconds of one file.

    Attributes:
        file: The place of the file in the stream's `paths`.
        frames: uint8 [N, F, H, W, 3] RGB.
        waveform: float32 [N, 16000].
        valid: bool [N].
    """

    file: int
    frames: np.ndarray
    waveform: np.ndarray
    valid: np.ndarray


class SegmentLoader:
    """Decodes several files side by side into batches of seconds.

    Seconds rather than clips are the unit: embeddings look at one second at a time, so no file has
    to fit in memory. A batch holds seconds of one file only, and a second's place in its batch
    follows from its time. On some processors the last bits of a row depend on its place in a
    matrix (docs/architecture.md, Determinism); this way they are a function of the file alone.

    At most `workers` files are decoded at a time. Memory holds about four blocks of ten seconds
    for each of them, and nothing that grows with the files.

    Args:
        requests: The files and the form of their clips, one request a file. `threads` of 0
            divides the processors among the files decoded at the same time.
        workers: Number of files decoded at the same time.
        limit: Number of seconds after which the rest of a file is skipped; None decodes it all.
        on_open: Called with the index of a file in `requests` before the file is touched; from the
            decoding threads, several at a time.
        should_stop: Asked before each file; once it says yes, no further file is opened, and those
            in hand are read to their end.

    Attributes:
        outcomes: How each file ended, by its index in `requests`; complete once the batches have
            been read to their end. A reader may take away what it has used.
        failure: What ended the batches before their time; `tf.data` tells it in its own words.

    Example:
        >>> stream = SegmentLoader([DecodeRequest("dog.mp4", 4, (128, 128))], workers=2)
        >>> for batch in stream.batches(32): ...
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
        # Threads within a file cost an eighth more processor time than files side by side
        # (docs/design/performance.md), so they only get what those leave.
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
        """The seconds of all files; those of one file come in their order.

        The order of files depends on which decoder is faster.

        Args:
            seconds: N, a divisor of `BLOCK_SECONDS`. Batch k of a file holds its seconds from k N
                to (k + 1) N, the last one what is left.

        Yields:
            Batches of up to N seconds. A file that cannot be read has none; see `outcomes`.

        Raises:
            ValueError: N does not divide `BLOCK_SECONDS`.
        """
        if seconds < 1 or BLOCK_SECONDS % seconds:
            raise ValueError(f"seconds must divide {BLOCK_SECONDS}. Received: {seconds!r}.")
        self.outcomes.clear()
        with contextlib.closing(self._blocks()) as blocks:
            for file, clip in blocks:
                sound = clip.waveform.reshape(-1, SAMPLE_RATE)  # [T, 16000]
                for start in range(0, clip.seconds, seconds):
                    part = slice(start, start + seconds)
                    yield SegmentBatch(file, clip.frames[part], sound[part], clip.valid[part])

    def _blocks(self) -> Generator[tuple[int, Clip], None, None]:
        """Blocks of all files, decoded in threads of which each waits for a child process."""
        ready: queue.Queue[tuple[int, Clip] | BaseException | None] = queue.Queue(self.workers)
        closed = threading.Event()

        def put(item: tuple[int, Clip] | BaseException | None) -> bool:
            while not closed.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=_LOOK_SECONDS)
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
            except BaseException as error:  # to be raised where the batches are read
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
            # A thread that waits for its child sees it with the next block.
            closed.set()

    def _decode(self, file: int) -> Generator[Clip, None, None]:
        """The blocks of one file; how it ended is noted when the last one has been taken."""
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
            # What came before is good.
            what = "problem" if outcome.seconds else "error"
            outcome = replace(outcome, **{what: str(error)})  # type: ignore[arg-type]
        self.outcomes[file] = outcome


def segments_per_batch(images: int, frames_per_second: int) -> int:
    """Seconds in a batch of about so many images: the largest divisor of a block that fits.

    Args:
        images: Wanted images in a batch.
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
