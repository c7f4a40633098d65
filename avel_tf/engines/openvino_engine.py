"""Engine that runs the networks with OpenVINO."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.available import computes_in_bfloat16
from avel_tf.engines.engine import BatchSource, Graphs, LoadedGraphs
from avel_tf.engines.network_files import WEIGHT, with_batch
from avel_tf.engines.openvino_process import OpenVinoProcess
from avel_tf.engines.reuse import means
from avel_tf.utils.durable_files import exclusive_lock, publish
from avel_tf.utils.lazy_imports import load_openvino, load_tensorflow, root_logger_restored
from avel_tf.video.decode_request import BLOCK_SECONDS
from avel_tf.video.segment_loader import SegmentBatch, segments_per_batch

if TYPE_CHECKING:
    import tensorflow as tf

# Images in one call, measured in docs/design/performance.md.
IMAGES = 10
# Names of the converted networks and their files: both backbones in one or each by itself, and the
# localizer. Caches of older versions have a `label` without `valid`.
EMBED, FRAMES, AUDIO, LABEL = "embed", "embed-frames", "embed-audio", "label-valid"
# Backbones whose convolutions are quantized; the rest of that network is in bfloat16, or in float32
# on processors that do not compute in bfloat16.
QUANTIZED = "embed-int8"
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class _Network(NamedTuple):
    """A compiled network: its number, and the calls that keep the processors busy."""

    number: int
    calls: int


class _Call(NamedTuple):
    """A call of a network on inputs of one length."""

    name: str
    arrays: list[np.ndarray]


class _Embedding:
    """Calls of the backbones for one batch, and their outputs so far.

    Args:
        calls: The calls.
        places: Index of the image of each frame, int [n, F]; None if the calls embed segments.
    """

    def __init__(self, calls: list[_Call], places: np.ndarray | None) -> None:
        self.calls = calls
        self.outputs: list[list[np.ndarray]] = []
        self._places = places

    @property
    def complete(self) -> bool:
        """True if the outputs of all calls are there."""
        return len(self.outputs) == len(self.calls)

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Visual [n, Dv] and audio [n, Da] of the batch."""
        if self._places is None:
            visual, audio = map(np.concatenate, zip(*self.outputs, strict=True))  # [n, 1, D]
            return visual[:, 0], audio[:, 0]
        frames, audio = (
            np.concatenate(
                [
                    output[0]
                    for call, output in zip(self.calls, self.outputs, strict=True)
                    if call.name == name
                ]
            )
            for name in (FRAMES, AUDIO)
        )
        return means(frames, self._places), audio


class OpenVinoEngine:
    """Engine that runs graphs converted by OpenVINO, several calls in parallel.

    The TensorFlow graphs themselves are converted. Converted and compiled networks are cached on
    disk, so later runs do not import TensorFlow. The localizer is computed in float32 in any
    precision, because it is small.

    OpenVINO compiles and runs the networks in a child process, which ends with this object. All
    methods raise `EngineCrashed` if that process ends earlier.

    Args:
        graphs: The graphs.
        precision: `float32`, `bfloat16`, or `int8` if the cache has a quantized network
            (`avel_tf.engines.quantization`), whose other layers are in bfloat16 where the processor
            computes in it.
        batch_pictures: Most images in one call; None uses the default.
        cache: Cache folder of compiled networks.

    Attributes:
        batch_seconds: N, most segments in one batch.
        device: None; only CPUs are used.

    Raises:
        ImportError: OpenVINO is not installed.
        EngineCrashed: The child process cannot be started.
    """

    device: str | None = None

    def __init__(
        self,
        graphs: Graphs,
        precision: str = "float32",
        *,
        batch_pictures: int | None = None,
        cache: Path,
    ) -> None:
        recipe = graphs.recipe.visual
        call_seconds = segments_per_batch(batch_pictures or IMAGES, recipe.frames_per_second)
        # Only the network of whole segments is quantized.
        self._reuse = None if precision == "int8" else graphs.reuse
        self._embed = QUANTIZED if precision == "int8" else EMBED
        self.batch_seconds = BLOCK_SECONDS if self._reuse else call_seconds
        # Length of the inputs of a full call of each network.
        self._lengths = {
            self._embed: call_seconds,
            FRAMES: call_seconds * recipe.frames_per_second,
            AUDIO: BLOCK_SECONDS,
        }
        self._graphs = graphs
        self._cache = network_folder(graphs, cache)
        self._compiled = self._cache / "compiled"
        self._compiled.mkdir(parents=True, exist_ok=True)
        if precision == "int8":  # what is not quantized
            precision = "bfloat16" if computes_in_bfloat16() else "float32"
        self._properties = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        }
        # By name and batch size, which is None for the localizer. Networks for single segments and
        # frames run what is left of a batch.
        self._networks: dict[tuple[str, int | None], _Network] = {}
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        """Start the child process, which waits for the networks."""
        self._owner = os.getpid()
        self._process = OpenVinoProcess()
        self._networks.clear()
        weakref.finalize(self, self._process.close)

    def embed(self, stream: BatchSource) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed the batches of a loader; see `Engine`."""
        running: deque[tuple[SegmentBatch, _Embedding, Future]] = deque()

        def oldest() -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
            batch, embedding, future = running.popleft()
            embedding.outputs.append(future.result())
            if embedding.complete:
                yield batch, *embedding.vectors()

        with contextlib.closing(stream.batches(self.batch_seconds)) as batches:
            for batch in batches:
                embedding = self._embedding(batch.frames, batch.waveform)
                for call in embedding.calls:
                    # As many calls as keep the processors busy, and one more.
                    while len(running) > self._network_of(call).calls:
                        yield from oldest()
                    running.append((batch, embedding, self._run(call)))
            while running:
                yield from oldest()

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch; see `Engine`."""
        embedding = self._embedding(frames, waveform)
        futures = [self._run(call) for call in embedding.calls]
        embedding.outputs = [future.result() for future in futures]
        return embedding.vectors()

    def _embedding(self, frames: np.ndarray, waveform: np.ndarray) -> _Embedding:
        """Divide a batch into calls.

        Args:
            frames: uint8 [n, F, H, W, 3], n at most N.
            waveform: float32 [n, 16000].
        """
        selected = self._reuse.select(frames) if self._reuse else None
        if selected is None:
            return _Embedding(self._calls(self._embed, frames, waveform), None)
        images, places = selected
        return _Embedding([*self._calls(FRAMES, images), *self._calls(AUDIO, waveform)], places)

    def _calls(self, name: str, *arrays: np.ndarray) -> list[_Call]:
        """Full calls of a network, and calls of one row each for the rest of the arrays."""
        count, length = len(arrays[0]), self._lengths[name]
        full = count - count % length
        starts = [*range(0, full, length), *range(full, count), count]
        parts = zip(starts, starts[1:], strict=False)
        return [_Call(name, [each[first:end] for each in arrays]) for first, end in parts]

    def _run(self, call: _Call) -> Future:
        """Start a call of the backbones."""
        return self._process.run(self._network_of(call).number, call.arrays)

    def _network_of(self, call: _Call) -> _Network:
        return self._network(call.name, len(call.arrays[0]))

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Compute probabilities from features; see `Engine`."""
        network = self._network(LABEL, None)
        return self._process.run(network.number, [visual, audio, valid]).result()[0]

    def _network(self, name: str, batch: int | None) -> _Network:
        """A network compiled for a batch size; None for the localizer."""
        with self._lock:
            if self._owner != os.getpid():
                self._start()  # after a fork, the child belongs to the process that started it
            if (name, batch) not in self._networks:
                self._networks[name, batch] = self._compile(name, batch)
            return self._networks[name, batch]

    def _compile(self, name: str, batch: int | None) -> _Network:
        path = self._cache / f"{name}.xml"
        properties = {"INFERENCE_PRECISION_HINT": "f32"} if name == LABEL else self._properties
        # One process at a time converts and compiles; the others use its files.
        with exclusive_lock(self._cache / "lock"):
            if not path.is_file():
                self._convert(name)
            if batch is not None:
                path = with_batch(path, batch)
            properties = {**properties, "CACHE_DIR": str(self._compiled.resolve())}
            return _Network(*self._process.compile(path, properties))

    def quantize(self, sample: Path, to: Path) -> dict[str, int]:
        """Quantize the backbones; see `avel_tf.engines.quantize_network.quantize`.

        Raises:
            EngineCrashed: The child process has ended.
            RuntimeError: The network cannot be quantized.
        """
        path = self._cache / f"{EMBED}.xml"
        with exclusive_lock(self._cache / "lock"):
            if not path.is_file():
                self._convert(EMBED)
        return self._process.quantize(path, sample, to)

    def _convert(self, name: str) -> None:
        """Convert a network to `NAME.xml` and `NAME.bin` in the cache."""
        with tempfile.TemporaryDirectory(dir=self._cache) as folder:
            if stored := self._graphs.stored_network(name):
                stored.write(Path(folder), name)
            else:
                model = convert(name, self._graphs.loaded, self._graphs.recipe)
                load_openvino().save_model(
                    model, Path(folder, f"{name}.xml"), compress_to_fp16=False
                )
            # The .xml is last, so that it exists only with a complete .bin, also after a power cut.
            for suffix in (".bin", ".xml"):
                path = Path(folder, name + suffix)
                publish(path, self._cache / path.name)


def network_folder(graphs: Graphs, cache: Path) -> Path:
    """Folder of the converted, quantized and compiled networks of some graphs."""
    return cache / "openvino" / importlib.metadata.version("openvino") / graphs.key


def convert(name: str, loaded: LoadedGraphs, recipe: Recipe, variables: Sequence[Any] = ()) -> Any:
    """Convert a TensorFlow function to an `openvino.Model`.

    Args:
        name: `EMBED`, `FRAMES`, `AUDIO` or `LABEL`.
        loaded: The functions.
        recipe: Their input and output shapes.
        variables: Keras variables of the functions that become inputs of the model, `weight_0`,
            `weight_1` and so on, after those of the function. The functions must not have been
            called before.

    Raises:
        ValueError: The graphs have no localizer, or no single backbones.
    """
    load_tensorflow()
    import tensorflow as tf

    function, inputs = _function_of(name, loaded, recipe)
    weights = [
        tf.TensorSpec(variable.shape, variable.dtype, f"{WEIGHT}{number}")
        for number, variable in enumerate(variables)
    ]

    def with_weights(*arguments: tf.Tensor) -> Any:
        import keras

        mapping = zip(variables, arguments[len(inputs) :], strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            return function(*arguments[: len(inputs)])

    concrete = tf.function(with_weights if weights else function, autograph=False)
    concrete = concrete.get_concrete_function(*inputs, *weights)
    openvino = load_openvino()
    with root_logger_restored(), _variables_found_once():
        return openvino.convert_model(concrete)


def _function_of(
    name: str, loaded: LoadedGraphs, recipe: Recipe
) -> tuple[Callable[..., Any], list[tf.TensorSpec]]:
    """TensorFlow function that is converted to `NAME.xml`, and its inputs."""
    import tensorflow as tf

    if name == LABEL:
        if loaded.label is None:
            raise ValueError(
                "These graphs have no localizer; load a whole model to compute probabilities."
            )
        visual, audio = (
            tf.TensorSpec([None, None, part.width], tf.float32, modality)
            for part, modality in ((recipe.visual, "visual"), (recipe.audio, "audio"))
        )
        return loaded.label, [visual, audio, tf.TensorSpec([None, None], tf.bool, "valid")]
    image = [recipe.visual.size, recipe.visual.size, 3]
    waveform = tf.TensorSpec([None, recipe.audio.sample_rate], tf.float32, "waveform")
    if name in (FRAMES, AUDIO):
        if loaded.backbones is None:
            raise ValueError(
                "These graphs embed whole segments, and cannot reuse frames. Received: graphs of a "
                "SavedModel without the signatures embed_frames and embed_audio."
            )
        if name == AUDIO:
            return loaded.backbones.audio, [waveform]
        return loaded.backbones.frames, [tf.TensorSpec([None, *image], tf.uint8, "frames")]
    frames = tf.TensorSpec([None, recipe.visual.frames_per_second, *image], tf.uint8, "frames")

    def embed(frames: tf.Tensor, waveform: tf.Tensor) -> Any:
        return loaded.embed(frames[:, None], waveform)

    return embed, [frames, waveform]


@contextlib.contextmanager
def _variables_found_once() -> Iterator[None]:
    """Remember the variable of each operation during a conversion.

    OpenVINO searches all variables of the graph eleven times for each variable, which is most of
    the time of a conversion (EfficientNet-Lite2 with the audio network: 1.2 of 2.1 s).
    """
    from unittest import mock

    try:
        from openvino.frontend.tensorflow.node_decoder import TFGraphNodeDecoder
    except ImportError:  # not part of OpenVINO's interface; without it conversions are only slower
        yield
        return
    found = cache(TFGraphNodeDecoder.get_variable)
    with mock.patch.object(TFGraphNodeDecoder, "get_variable", staticmethod(found)):
        yield
