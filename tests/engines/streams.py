"""Seconds that need no file."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.segment_loader import SegmentBatch, SegmentLoader


class MadeStream(SegmentLoader):
    """Seconds of noise and of flat colours, each after its own number, in an order to choose.

    Args:
        numbers: The seconds, by number; the same number is the same second in any stream.
    """

    def __init__(self, numbers: list[int], *, frames_per_second: int = 2, size: int = 160) -> None:
        super().__init__([], workers=1)
        self.frames_per_second, self.size = frames_per_second, size
        self.numbers = numbers

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        for first in range(0, len(self.numbers), seconds):
            numbers = self.numbers[first : first + seconds]
            frames, waveform = map(np.stack, zip(*map(self._second, numbers), strict=True))
            yield SegmentBatch(0, frames, waveform, np.ones(len(numbers), bool))

    def _second(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        noise = rng.integers(0, 256, (self.frames_per_second, self.size, self.size, 3), np.uint8)
        frames = noise // 4 + rng.integers(0, 192, 3, np.uint8)  # [F, H, W, 3]
        waveform = rng.normal(size=SAMPLE_RATE) * rng.uniform(0.01, 0.3)  # [16000]
        return frames, waveform.astype(np.float32)
