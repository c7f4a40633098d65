"""mp4 files as one stream of seconds, in batches."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avel_tf.media.clip import SAMPLE_RATE, Clip
from avel_tf.media.decode import DecodeSettings, decode_blocks
from avel_tf.media.errors import MediaError
from avel_tf.media.isolated import shared_decoder

logger = logging.getLogger(__name__)

# Seconds decoded ahead of what a file's reader takes. Blocks keep a long file's memory bounded.
BLOCK_SECONDS = 10
# In `SecondBatch.file`: no file's second, there to fill the last batch.
PADDING = -1
# How often a thread that waits looks whether it is still wanted.
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """How the decoding of one file ended.

    Attributes:
        seconds: How many seconds it gave.
        duration: Length that the file declares, in seconds, where it does.
        has_sound: Whether there is a sound track.
        problem: What is wrong with a file of which some seconds could be decoded.
        error: Why a file gave nothing; `None` when it gave something.
        remark: How its sound was made where that is not plain.
        audio_track: The sound tracks that were used, counted from 1.
    """

    seconds: int
    duration: float | None = None
    has_sound: bool = True
    problem: str | None = None
    error: str | None = None
    remark: str | None = None
    audio_track: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class SecondBatch:
    """Seconds of one or several files.

    Attributes:
        frames: uint8 [N, F, H, W, 3] RGB.
        waveform: float32 [N, 16000].
        file: int64 [N], the place of each second's file; `PADDING` where there is no second.
        valid: bool [N].
    """

    frames: np.ndarray
    waveform: np.ndarray
    file: np.ndarray
    valid: np.ndarray


class SecondStream:
    """Decodes several files side by side into batches of seconds.

    Seconds rather than clips are the unit, because embeddings look at one second at a time: files
    of any length mix in full batches, and no file has to fit in memory. Every batch has the same
    shape, the last one being filled up.

    At most `workers` files are decoded at a time. Memory holds about four blocks of ten seconds
    for each of them, and nothing that grows with the files.

    Args:
        paths: The files.
        frames_per_second: F.
        size: Height and width in pixels of the pictures.
        workers: Files decoded at the same time.
        limit: Seconds after which a file is left; `None` reads it to its end.
        settings: Limits of the decoder, and whether it runs in child processes, one per worker.
            Its `threads` of 0 divide the processors among the files decoded at the same time.
        opening: Called with a file's place in `paths` before the file is touched; from the
            decoding threads, several at a time.
        finishing: Asked before each file; once it says yes, no further file is opened, and those
            in hand are read to their end.

    Attributes:
        outcomes: How each file ended, by its place in `paths`; complete once the batches have
            been read to their end. A reader may take away what it has used.
        failure: What ended the batches before their time; `tf.data` tells it in its own words.

    Example:
        >>> stream = SecondStream(["dog.mp4"], frames_per_second=4, size=128, workers=2)
        >>> for batch in stream.batches(32): ...
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        frames_per_second: int,
        size: int,
        workers: int,
        limit: int | None = None,
        settings: DecodeSettings | None = None,
        opening: Callable[[int], None] | None = None,
        finishing: Callable[[], bool] | None = None,
    ) -> None:
        self.paths = list(paths)
        self.frames_per_second = frames_per_second
        self.size = size
        self.workers = workers
        self.limit = limit
        self.settings = settings or DecodeSettings()
        if not self.settings.threads:
            # Threads within a file cost an eighth more processor time than files side by side
            # (docs/performance.md), so they only get what those leave.
            beside = max(1, min(workers, len(self.paths)))
            threads = max(1, len(os.sched_getaffinity(0)) // beside)
            self.settings = replace(self.settings, threads=threads)
        self.opening = opening
        self.finishing = finishing or (lambda: False)
        self.outcomes: dict[int, Outcome] = {}
        self.failure: BaseException | None = None

    def batches(self, seconds: int) -> Generator[SecondBatch, None, None]:
        """The seconds of all files; those of one file come in their order.

        Which file's seconds come first depends on which decoder is faster.

        Args:
            seconds: N.

        Yields:
            Batches of N seconds. A file that cannot be read has none; see `outcomes`.
        """
        self.outcomes.clear()
        batch, filled = self.empty_batch(seconds), 0
        with contextlib.closing(self._blocks()) as blocks:
            for file, clip in blocks:
                taken = 0
                while taken < clip.seconds:
                    count = min(clip.seconds - taken, seconds - filled)
                    here, there = slice(filled, filled + count), slice(taken, taken + count)
                    batch.frames[here] = clip.frames[there]
                    batch.waveform[here] = clip.waveform.reshape(-1, SAMPLE_RATE)[there]
                    batch.valid[here] = clip.valid[there]
                    batch.file[here] = file
                    taken += count
                    filled += count
                    if filled == seconds:
                        yield batch
                        batch, filled = self.empty_batch(seconds), 0
        if filled:
            yield batch

    def empty_batch(self, seconds: int) -> SecondBatch:
        """A batch of N seconds in which there is nothing yet."""
        return SecondBatch(
            np.zeros((seconds, self.frames_per_second, self.size, self.size, 3), np.uint8),
            np.zeros((seconds, SAMPLE_RATE), np.float32),
            np.full(seconds, PADDING, np.int64),
            np.zeros(seconds, bool),
        )

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

        todo = iter(range(len(self.paths)))
        taking = threading.Lock()

        def work() -> None:
            try:
                while not (closed.is_set() or self.finishing()):
                    with taking:
                        file = next(todo, None)
                    if file is None:
                        break
                    if self.opening is not None:
                        self.opening(file)
                    with contextlib.closing(self._decode(file)) as clips:
                        for clip in clips:
                            if not put((file, clip)):
                                return
                put(None)
            except BaseException as error:  # to be raised where the batches are read
                put(error)

        try:
            working = min(self.workers, len(self.paths))
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
        decode = shared_decoder().decode_blocks if self.settings.isolated else decode_blocks
        outcome = Outcome(seconds=0)
        blocks = decode(
            self.paths[file],
            block_seconds=BLOCK_SECONDS,
            frames_per_second=self.frames_per_second,
            size=(self.size, self.size),
            settings=self.settings,
        )
        try:
            with contextlib.closing(blocks):  # type: ignore[type-var]
                for clip in blocks:
                    if self.limit is not None:
                        clip = _cut(clip, self.limit - outcome.seconds)
                    given = outcome.seconds + clip.seconds
                    outcome = Outcome(
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


def _cut(clip: Clip, seconds: int) -> Clip:
    if clip.seconds <= seconds:
        return clip
    return replace(
        clip,
        frames=clip.frames[:seconds],
        waveform=clip.waveform[: seconds * SAMPLE_RATE],
        valid=clip.valid[:seconds],
    )
