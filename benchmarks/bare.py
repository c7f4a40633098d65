"""Speed of bare networks and matrix products in each engine.

    python benchmarks/bare.py SCRATCH tensorflow|openvino float32|bfloat16|int8

The upper bound of the embedding stage: the module alone, with images in memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Work
from worker import serve

SIZE = 224
SAMPLE_RATE = 16_000
# Images per call at which each engine is fastest (docs/design/performance.md).
BATCH = {"tensorflow": 16, "openvino": 4}
PATCHES = 10
MATRIX = 2048
REPEATS = 16

Embed = Callable[[list[np.ndarray]], Any]


class TensorFlowEngine:
    """TensorFlow with oneDNN; bfloat16 by its graph rewrite."""

    def __init__(self, precision: str) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        if precision == "bfloat16":
            tf.config.optimizer.set_experimental_options(
                {"auto_mixed_precision_onednn_bfloat16": True}
            )
        self.tf = tf
        self.precision = precision

    def network(self, folder: Path, shape: list[int]) -> Embed:
        module = self.tf.saved_model.load(str(folder))
        # An outer function, because graph rewrites do not apply to loaded functions.
        call = self.tf.function(lambda x: module(x))
        return lambda arrays: [call(self.tf.constant(array)).numpy() for array in arrays]

    def product(self) -> Callable[[], Any]:
        tf = self.tf
        kind = tf.as_dtype(self.precision)
        left, right = (tf.cast(tf.random.normal([MATRIX, MATRIX]), kind) for _ in "ab")
        multiply = tf.function(lambda: tf.matmul(left, right))
        return lambda: [multiply() for _ in range(REPEATS)]


class OpenVinoEngine:
    """OpenVINO with its throughput settings and asynchronous requests."""

    def __init__(self, precision: str) -> None:
        import openvino

        self.openvino = openvino
        self.core = openvino.Core()
        self.hints = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16"}.get(precision, "f32"),
        }
        self.precision = precision

    def network(self, folder: Path, shape: list[int]) -> Embed:
        import tensorflow as tf

        # Without signatures a saved module loses its variables.
        module = tf.saved_model.load(str(folder))
        function = tf.function(lambda x: module(x), input_signature=[tf.TensorSpec(shape)])
        return self._compiled(self.openvino.convert_model(function.get_concrete_function()))

    def product(self) -> Callable[[], Any]:
        ops, numpy = self.openvino.opset13, np.random.default_rng(0)
        array = numpy.normal(size=(MATRIX, MATRIX)).astype(np.float32)
        given = ops.parameter([MATRIX, MATRIX], np.float32)
        # A chain, so that conversions at its ends are negligible.
        product = given
        for _ in range(8):
            factor = ops.constant(array / np.float32(MATRIX**0.5))
            if self.precision == "int8":
                product, factor = self._quantized(product, 256), self._quantized(factor, 255)
            product = ops.matmul(product, factor, False, False)
        run = self._compiled(self.openvino.Model([product], [given]))
        return lambda: run([array] * (REPEATS // 8))

    def _quantized(self, tensor: Any, levels: int) -> Any:
        """Rounded to so many levels, which makes OpenVINO compute products of it in int8."""
        ops, bound = self.openvino.opset13, np.float32(4)
        limits = [ops.constant(sign * bound) for sign in (-1, 1)]
        return ops.fake_quantize(tensor, *limits, *limits, levels)

    def _compiled(self, model: Any) -> Embed:
        compiled = self.core.compile_model(model, "CPU", self.hints)
        queue = self.openvino.AsyncInferQueue(compiled)  # the optimal number of requests

        def run(arrays: list[np.ndarray]) -> None:
            for array in arrays:
                queue.start_async([array])
            queue.wait_all()

        return run


class Cases:
    """Cases that the runner can request."""

    def __init__(self, scratch: Path, engine: str, precision: str) -> None:
        self.modules = scratch / "modules"
        make = {"tensorflow": TensorFlowEngine, "openvino": OpenVinoEngine}[engine]
        self.engine: Any = make(precision)
        self.batch = BATCH[engine]

    def images(self, images: int) -> Callable[[], Work]:
        """The visual module alone."""
        shape, calls = [self.batch, SIZE, SIZE, 3], images // self.batch
        embed = self.engine.network(self.modules / "visual", shape)
        pictures = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
        return self._run(embed, [pictures] * calls, self.batch * calls)

    def sounds(self, seconds: int) -> Callable[[], Work]:
        """The audio module alone, ten patches a call."""
        # A patch is 96 spectra, 10 ms apart; the last one reaches 15 ms further.
        length, calls = PATCHES * 96 * 160 + 240, seconds // PATCHES
        embed = self.engine.network(self.modules / "audio", [length])
        sound = np.random.default_rng(0).uniform(-0.5, 0.5, length).astype(np.float32)
        return self._run(embed, [sound] * calls, PATCHES * calls)

    def matmul(self) -> Callable[[], Work]:
        """Products of square matrices; the amount is in GFLOP."""
        product = self.engine.product()
        product()

        def run() -> Work:
            product()
            return Work(REPEATS * 2 * MATRIX**3 / 1e9)

        return run

    def _run(self, embed: Embed, arrays: list[np.ndarray], amount: int) -> Callable[[], Work]:
        embed(arrays[:4])

        def run() -> Work:
            embed(arrays)
            return Work(amount)

        return run


if __name__ == "__main__":
    cases = Cases(Path(sys.argv[1]), *sys.argv[2:4])
    serve({"images": cases.images, "sounds": cases.sounds, "matmul": cases.matmul})
