"""Engine that runs the networks with TensorFlow."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from avel_tf.engines.engine import BatchSource, Graphs
from avel_tf.engines.reuse import means
from avel_tf.utils.tf_data import without_autotune
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode_request import BLOCK_SECONDS
from avel_tf.video.segment_loader import SegmentBatch, segments_per_batch

# Images in one call (docs/design/performance.md). Larger batches are no faster on a CPU; a GPU
# takes all images of a block.
CPU_IMAGES = 20
GPU_IMAGES = 256
# Grappler's rewrites, which cast operations that are safe in lower precision
# (https://www.tensorflow.org/api_docs/python/tf/config/optimizer/set_experimental_options).
_REWRITES = {
    "float32": {},
    "bfloat16": {"auto_mixed_precision_onednn_bfloat16": True},
    "float16": {"auto_mixed_precision": True},
}


class TensorFlowEngine:
    """Engine that runs graphs with TensorFlow, on a GPU if there is one.

    Args:
        graphs: The graphs.
        precision: `float32`; `bfloat16` by oneDNN's rewrite on a CPU; `float16` on a GPU, with XLA
            over what it can compile.
        batch_pictures: Most images in one call; None uses the default.

    Attributes:
        batch_seconds: N, most segments in one batch.
        device: Name of the GPU in use, or None.
    """

    def __init__(
        self, graphs: Graphs, precision: str = "float32", *, batch_pictures: int | None = None
    ) -> None:
        gpus = tf.config.list_logical_devices("GPU")
        if precision == "float16" and not gpus:
            raise ValueError(
                "The engine tensorflow needs a GPU for float16, and TensorFlow found none. "
                "Set engine.precision to float32 or auto."
            )
        self.device = gpus[0].name if gpus else None
        visual = graphs.recipe.visual
        most = batch_pictures or (GPU_IMAGES if gpus else CPU_IMAGES)
        self._rate = visual.frames_per_second
        self._call_seconds = segments_per_batch(most, self._rate)
        self._reuse = graphs.reuse
        self.batch_seconds = BLOCK_SECONDS if self._reuse else self._call_seconds
        # Free sizes, because the last batch of a file is smaller and the graph resizes images.
        frames = tf.TensorSpec((None, self._rate, None, None, 3), tf.uint8)
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        waveform = tf.TensorSpec((None, SAMPLE_RATE), tf.float32)
        self._specs = (images, waveform)
        self._precision = precision
        loaded = graphs.loaded
        self._embed = _traced_anew(
            lambda frames, waveform: loaded.embed(frames[:, None], waveform), frames, waveform
        )
        if self._reuse:
            self._embed_frames = _traced_anew(graphs.backbones.frames, images)
            self._embed_audio = _traced_anew(graphs.backbones.audio, waveform)
        self._label = loaded.label
        # The rewrites are options of the whole process.
        self._lock = threading.Lock()

    def embed(self, stream: BatchSource) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed the batches of a loader; see `Engine`."""
        pending: deque[tuple[SegmentBatch, np.ndarray | None]] = deque()

        def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            with contextlib.closing(stream.batches(self.batch_seconds)) as batches:
                for batch in batches:
                    images, places = self._select(batch.frames)
                    pending.append((batch, places))
                    yield images, batch.waveform

        # `tf.data` copies the next batch to the device at the same time.
        dataset = without_autotune(
            tf.data.Dataset.from_generator(read, output_signature=self._specs)
        )
        if self.device:
            dataset = dataset.apply(tf.data.experimental.prefetch_to_device(self.device, 2))
        else:
            dataset = dataset.prefetch(2)
        try:
            for images, waveform in dataset:
                batch, places = pending.popleft()
                yield batch, *self._run(images, places, waveform)
        except tf.errors.OpError as error:
            # An error of a decoding thread arrives as another exception.
            if stream.failure is not None:
                raise stream.failure from error
            raise

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch; see `Engine`."""
        return self._run(*self._select(frames), waveform)

    def _select(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Images to embed, uint8 [m, H, W, 3], and those of each frame, int [n, F].

        They are None if all frames are embedded.
        """
        selected = self._reuse.select(frames) if self._reuse else None
        return selected or (frames.reshape(-1, *frames.shape[2:]), None)

    def _run(
        self, images: np.ndarray, places: np.ndarray | None, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed the result of `_select`."""
        images, waveform = tf.convert_to_tensor(images), tf.convert_to_tensor(waveform)
        seconds, most = self._call_seconds, self._call_seconds * self._rate
        parts = [images[start : start + most] for start in range(0, len(images), most)]
        with self._lock, _Rewrites(self._precision):
            if places is not None:
                vectors = [self._embed_frames(part).numpy() for part in parts]
                return means(np.concatenate(vectors), places), self._embed_audio(waveform).numpy()
            outputs = [
                self._embed(
                    tf.reshape(part, [-1, self._rate, *part.shape[1:]]),
                    waveform[number * seconds : (number + 1) * seconds],
                )
                for number, part in enumerate(parts)
            ]
        visual, audio = (np.concatenate(column) for column in zip(*outputs, strict=True))
        return visual[:, 0], audio[:, 0]  # [n, Dv], [n, Da] from [n, 1, D] each

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Compute probabilities from features; see `Engine`."""
        if self._label is None:
            raise ValueError(
                "These graphs have no localizer; load a whole model to compute probabilities."
            )
        return self._label(*map(tf.constant, (visual, audio, valid))).numpy()


def _traced_anew(function: Callable[..., Any], *specs: tf.TensorSpec) -> Any:
    """A new TensorFlow function, which keeps a rewritten graph of one precision."""
    return tf.function(lambda *inputs: function(*inputs), input_signature=specs, autograph=False)


class _Rewrites:
    """Context manager that sets Grappler's options for one precision and restores them."""

    def __init__(self, precision: str) -> None:
        self._wanted: dict[str, Any] = _REWRITES[precision]
        self._jit = precision == "float16"

    def __enter__(self) -> None:
        options = tf.config.optimizer.get_experimental_options()
        self._before = {name: options.get(name, False) for name in self._wanted}
        self._jit_before = tf.config.optimizer.get_jit()
        tf.config.optimizer.set_experimental_options(self._wanted)
        if self._jit:
            tf.config.optimizer.set_jit("autoclustering")

    def __exit__(self, *_: object) -> None:
        tf.config.optimizer.set_experimental_options(self._before)
        if self._jit:
            tf.config.optimizer.set_jit(self._jit_before or False)
