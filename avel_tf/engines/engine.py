"""The interface of engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from avel_tf.video.segment_loader import SegmentBatch, SegmentLoader


class Engine(Protocol):
    """Runs the networks of a model on one kind of arithmetic.

    Attributes:
        batch_seconds: N, the most seconds in one call of the backbones.
        device: The GPU that is used, if one is.
    """

    batch_seconds: int
    device: str | None

    def embed(self, stream: SegmentLoader) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed a stream's batches, the next ones decoded and begun meanwhile.

        Args:
            stream: The files.

        Yields:
            Each batch in its order with visual float32 [N, Dv] and audio float32 [N, Da].
        """
        ...

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch, and wait for it.

        Args:
            frames: uint8 [n, F, H, W, 3] RGB of at most N seconds.
            waveform: float32 [n, 16000].

        Returns:
            visual float32 [n, Dv] and audio float32 [n, Da].
        """
        ...

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities from features.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; the other seconds do not affect these.

        Returns:
            float32 [B, T, C+1], background last.
        """
        ...
