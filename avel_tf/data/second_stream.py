"""mp4 files as one `tf.data` stream of seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from avel_tf.media.clip import SAMPLE_RATE
from avel_tf.media.decode import DecodeSettings, decode_blocks
from avel_tf.media.errors import MediaError
from avel_tf.media.isolated import shared_decoder

logger = logging.getLogger(__name__)

# Seconds decoded ahead of what a file's reader takes. Blocks keep a long file's memory bounded.
BLOCK_SECONDS = 10


@dataclass(frozen=True)
class Outcome:
    """How the decoding of one file ended.

    Attributes:
        seconds: How many seconds it gave.
        duration: Length that the file declares, in seconds, where it does.
        has_sound: Whether there is a sound track.
        problem: What is wrong with a file of which some seconds could be decoded.
        error: Why a file gave nothing; `None` when it gave something.
    """

    seconds: int
    duration: float | None = None
    has_sound: bool = True
    problem: str | None = None
    error: str | None = None


class SecondStream:
    """Decodes several files side by side into one ordered stream of seconds.

    Seconds rather than clips are the unit, because embeddings look at one second at a time: files
    of any length mix in full batches, and no file has to fit in memory.

    Args:
        paths: The files.
        frames_per_second: F.
        size: Height and width in pixels of the pictures.
        workers: Files decoded at the same time.
        limit: Seconds after which a file is left; `None` reads it to its end.
        settings: Limits of the decoder, and whether it runs in child processes, one per worker.
        opening: Called with a file's place in `paths` before the file is touched; from the
            decoding threads, several at a time.

    Attributes:
        outcomes: How each file ended, by its place in `paths`; complete once the data set has
            been read to its end.

    Example:
        >>> stream = SecondStream(["dog.mp4"], frames_per_second=4, size=128, workers=2)
        >>> for batch in stream.dataset().batch(32): ...
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
    ) -> None:
        self.paths = list(paths)
        self.frames_per_second = frames_per_second
        self.size = size
        self.workers = workers
        self.limit = limit
        self.settings = settings or DecodeSettings()
        self.opening = opening
        self.outcomes: dict[int, Outcome] = {}

    def dataset(self) -> tf.data.Dataset:
        """The stream.

        Its order depends on the files and `workers` alone, not on which thread is faster.

        Returns:
            Elements `file` int64, `frames` uint8 [F, H, W, 3], `waveform` float32 [16000] and
            `valid` bool. A file that cannot be read gives no element; see `outcomes`.
        """
        self.outcomes.clear()
        size = self.size
        signature = {
            "file": tf.TensorSpec([], tf.int64),
            "frames": tf.TensorSpec([self.frames_per_second, size, size, 3], tf.uint8),
            "waveform": tf.TensorSpec([SAMPLE_RATE], tf.float32),
            "valid": tf.TensorSpec([], tf.bool),
        }
        files = tf.data.Dataset.range(len(self.paths))
        return files.interleave(
            lambda file: tf.data.Dataset.from_generator(
                self._seconds, args=(file,), output_signature=signature
            ),
            cycle_length=self.workers,
            num_parallel_calls=self.workers,
            deterministic=True,
        )

    def _seconds(self, file: np.int64) -> Iterator[dict[str, np.ndarray | bool | int]]:
        path = self.paths[int(file)]
        if self.opening is not None:
            self.opening(int(file))
        given = 0
        outcome = Outcome(seconds=0)
        decode = shared_decoder().decode_blocks if self.settings.isolated else decode_blocks
        try:
            for block in decode(
                path,
                block_seconds=BLOCK_SECONDS,
                frames_per_second=self.frames_per_second,
                size=(self.size, self.size),
                settings=self.settings,
            ):
                outcome = Outcome(
                    seconds=given,
                    duration=block.info.duration,
                    has_sound=block.has_sound,
                    problem=block.problem,
                )
                for second in range(len(block.valid)):
                    if self.limit is not None and given == self.limit:
                        break
                    given += 1
                    start = second * SAMPLE_RATE
                    yield {
                        "file": int(file),
                        "frames": block.frames[second],
                        "waveform": block.waveform[start : start + SAMPLE_RATE],
                        "valid": bool(block.valid[second]),
                    }
                if self.limit is not None and given == self.limit:
                    break
        except MediaError as error:
            logger.info("%s", error)
            self.outcomes[int(file)] = Outcome(seconds=given, error=str(error))
            return
        self.outcomes[int(file)] = Outcome(
            seconds=given,
            duration=outcome.duration,
            has_sound=outcome.has_sound,
            problem=outcome.problem,
        )
