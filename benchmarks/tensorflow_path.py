"""Plain TensorFlow pipeline from mp4 to labels: a loop around OpenCV, and modules in float32."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from measuring import Work
from peer_decoding import READERS, SAMPLE_RATE, SECONDS, SIZE
from worker import serve

BATCH = 32  # images in one call; 10 to 64 differ by less than the noise


class TensorFlowPath:
    """Modules from `hub.load`, and the localizer of the exported model."""

    def __init__(self, scratch: Path) -> None:
        self.visual = tf.saved_model.load(str(scratch / "modules" / "visual"))
        self.audio = tf.saved_model.load(str(scratch / "modules" / "audio"))
        exported = tf.saved_model.load(str(scratch / "models" / "large-f1" / "1"))
        self.head = exported.signatures["from_features"]

    def embed(self, frames: np.ndarray, waveform: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Frames uint8 [T, F, H, W, 3] and audio [T*16000] to [T, 2048] and [T, 128]."""
        seconds, rate = frames.shape[:2]
        pictures = frames.reshape(-1, SIZE, SIZE, 3)  # [T*F, H, W, 3]
        parts = [
            self.visual(tf.constant(pictures[first : first + BATCH], tf.float32) / 255.0)
            for first in range(0, len(pictures), BATCH)
        ]
        visual = tf.reshape(tf.concat(parts, 0), [seconds, rate, -1])  # [T, F, 2048]
        audio = tf.nn.relu(self.audio(tf.constant(waveform)))[:seconds]  # [T, 128]
        return tf.reduce_mean(visual, 1), audio

    def embed_case(self, images: int) -> Callable[[], Work]:
        """Both backbones on segments in memory, one image each."""
        generator = np.random.default_rng(0)
        frames = generator.integers(0, 256, (images, 1, SIZE, SIZE, 3)).astype(np.uint8)
        waveform = generator.uniform(-0.5, 0.5, images * SAMPLE_RATE).astype(np.float32)

        def run() -> Work:
            self.embed(frames, waveform)
            return Work(images)

        self.embed(frames[:BATCH], waveform[: BATCH * SAMPLE_RATE])
        return run

    def pipeline(self, paths: list[str], rate: int, reader: str) -> Callable[[], Work]:
        """mp4 to labels, one file after the other."""
        # The codec's threads are the only parallelism of decoding in a plain loop.
        read, threads = READERS[reader], 0

        def run(paths: list[str] = paths) -> Work:
            for path in paths:
                visual, audio = self.embed(*read(path, rate, threads))
                labels = self.head(visual=visual[None], audio=audio[None])["label_index"].numpy()
                assert labels.shape == (1, SECONDS)
            return Work(len(paths))

        run(paths[:1])
        return run


if __name__ == "__main__":
    path = TensorFlowPath(Path(sys.argv[1]))
    serve({"pipeline": path.pipeline, "embed": path.embed_case})
