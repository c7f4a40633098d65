"""The networks run by TensorFlow."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from avel_tf.engines.engine import Graphs
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.segment_loader import SegmentBatch, SegmentLoader, segments_per_batch

# Images in one call (docs/design/performance.md): larger batches gain nothing on a CPU, and a GPU
# takes as many as the seconds of a block have.
CPU_IMAGES = 20
GPU_IMAGES = 256
# Grappler's rewrites, which put casts around what is safe in the lower precision
# (https://www.tensorflow.org/api_docs/python/tf/config/optimizer/set_experimental_options).
_REWRITES = {
    "float32": {},
    "bfloat16": {"auto_mixed_precision_onednn_bfloat16": True},
    "float16": {"auto_mixed_precision": True},
}


class TensorFlowEngine:
    """Runs graphs as they are, by TensorFlow's own kernels; on a GPU where there is one.

    Args:
        graphs: What to run.
        precision: `float32`; `bfloat16` by oneDNN's rewrite on a CPU; `float16` on a GPU, with XLA
            over what it can compile.
        batch_pictures: About how many pictures one call gets; `None` takes the measured best.

    Attributes:
        batch_seconds: N, the most seconds in one call.
        device: The GPU that is used, if one is.
    """

    def __init__(
        self, graphs: Graphs, precision: str = "float32", *, batch_pictures: int | None = None
    ) -> None:
        gpus = tf.config.list_logical_devices("GPU")
        if precision == "float16" and not gpus:
            raise ValueError(
                "The engine tensorflow computes in float16 on GPUs, and TensorFlow sees none. "
                "Set engine.precision to float32 or auto."
            )
        self.device = gpus[0].name if gpus else None
        visual = graphs.recipe.visual
        images = batch_pictures or (GPU_IMAGES if gpus else CPU_IMAGES)
        self.batch_seconds = segments_per_batch(images, visual.frames_per_second)
        # The last batch of a file is smaller, and the graph resizes images of another size.
        frames = (None, visual.frames_per_second, None, None, 3)
        self._specs = (
            tf.TensorSpec(frames, tf.uint8),
            tf.TensorSpec((None, SAMPLE_RATE), tf.float32),
        )
        self._precision = precision
        loaded = graphs.loaded
        # A function of its own: TensorFlow keeps one rewritten graph for each function, so the
        # same function could not be had in two precisions.
        self._embed = tf.function(
            lambda frames, waveform: loaded.embed(frames[:, None], waveform),
            input_signature=self._specs,
            autograph=False,
        )
        self._label = loaded.label

    def embed(self, stream: SegmentLoader) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed a stream's batches; see `Engine`."""
        on_their_way: deque[SegmentBatch] = deque()

        def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            with contextlib.closing(stream.batches(self.batch_seconds)) as batches:
                for batch in batches:
                    on_their_way.append(batch)
                    yield batch.frames, batch.waveform

        # `tf.data` brings the next batch to the device meanwhile.
        dataset = tf.data.Dataset.from_generator(read, output_signature=self._specs)
        if self.device:
            dataset = dataset.apply(tf.data.experimental.prefetch_to_device(self.device, 2))
        else:
            dataset = dataset.prefetch(2)
        try:
            for frames, waveform in dataset:
                visual, audio = self.embed_seconds(frames, waveform)
                yield on_their_way.popleft(), visual, audio
        except tf.errors.OpError as error:
            # Raised in a decoding thread, it comes here in the guise of another error.
            if stream.failure is not None:
                raise stream.failure from error
            raise

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch; see `Engine`."""
        with _Rewrites(self._precision):
            visual, audio = self._embed(*map(tf.convert_to_tensor, (frames, waveform)))
        # [n, 1, D] each
        return visual.numpy()[:, 0], audio.numpy()[:, 0]  # [n, Dv], [n, Da]

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities from features; see `Engine`."""
        if self._label is None:
            raise ValueError("These graphs embed only; they name no classes.")
        return self._label(*map(tf.constant, (visual, audio, valid))).numpy()


class _Rewrites:
    """Grappler's options for one precision, and those from before afterwards."""

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
