"""Loading of an engine, and its replacement when it crashes or fails."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from avel_tf.engines.available import (
    INT8,
    REFERENCE,
    EngineChoice,
    EngineUnavailableError,
    cache_folder,
    engines_for,
)
from avel_tf.engines.crashes import record_crash
from avel_tf.engines.engine import BatchSource, Engine, EngineCrashed, EngineFailed, Graphs
from avel_tf.engines.quantization import find_quantized
from avel_tf.engines.settings import AUTO, EngineSettings
from avel_tf.utils.lazy_imports import load_tensorflow
from avel_tf.video.segment_loader import SegmentBatch

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


def load_engine(choice: EngineChoice, graphs: Graphs, settings: EngineSettings) -> Engine:
    """Load or compile the networks with the libraries of the chosen engine only.

    Raises:
        EngineCrashed: The process of the engine cannot be started.
    """
    if choice.precision == INT8:
        _require_network(choice, graphs, settings)
    if choice.engine == "openvino":
        from avel_tf.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(
            graphs,
            choice.precision,
            batch_pictures=settings.batch_pictures,
            cache=cache_folder(settings),
        )
    load_tensorflow()
    from avel_tf.engines.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(graphs, choice.precision, batch_pictures=settings.batch_pictures)


def _require_network(choice: EngineChoice, graphs: Graphs, settings: EngineSettings) -> None:
    found = find_quantized(graphs, settings)
    if found is None or found.choice != choice:
        raise EngineUnavailableError(
            f"The cache {cache_folder(settings)} has "
            f"{f'the quantized network {found.choice.network}' if found else 'no such network'}, "
            f"but this run uses {choice.network}. Choose another engine.precision, or copy the "
            "cache of the machine that quantized it."
        )


class FallbackEngine:
    """Engine that is replaced by the next one when its process crashes or its library fails.

    The batches that it had not finished are computed again by the next one. That is the next engine
    in float32: others would have to be verified first. If the settings demand one engine and
    precision, there is no other.

    Args:
        choice: The first engine.
        graphs: The graphs.
        settings: Requested engine and precision.
        engine: The first engine if it is loaded already.

    Attributes:
        choice: The engine in use.

    Raises:
        EngineUnavailableError: An engine ended that must not be replaced. All methods raise it.
    """

    def __init__(
        self,
        choice: EngineChoice,
        graphs: Graphs,
        settings: EngineSettings,
        engine: Engine | None = None,
    ) -> None:
        self.choice = choice
        self._graphs = graphs
        self._settings = settings
        self._failed: list[EngineChoice] = []
        self._lock = threading.Lock()
        self._engine = engine or self._load()

    @property
    def batch_seconds(self) -> int:
        """N, most segments in one call of the backbones."""
        return self._engine.batch_seconds

    @property
    def device(self) -> str | None:
        """Name of the GPU in use, or None."""
        return self._engine.device

    def embed(self, stream: BatchSource) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed the batches of a loader; see `Engine`."""
        with contextlib.closing(_RepeatableSource(stream, self.batch_seconds)) as source:
            while True:
                engine = self._engine
                try:
                    for batch, visual, audio in engine.embed(source):
                        source.unfinished.popleft()
                        yield batch, visual, audio
                    return
                except (EngineCrashed, EngineFailed) as error:
                    self._replace(engine, error)

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch; see `Engine`."""
        return self._call(lambda engine: engine.embed_seconds(frames, waveform))

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Compute probabilities from features; see `Engine`."""
        return self._call(lambda engine: engine.label(visual, audio, valid))

    def _call(self, function: Callable[[Engine], Value]) -> Value:
        while True:
            engine = self._engine
            try:
                return function(engine)
            except (EngineCrashed, EngineFailed) as error:
                self._replace(engine, error)

    def _replace(self, engine: Engine, error: EngineCrashed | EngineFailed) -> None:
        with self._lock:
            if engine is self._engine:  # else another thread has replaced it
                self._set_next(error)
                self._engine = self._load()

    def _load(self) -> Engine:
        while True:
            try:
                return load_engine(self.choice, self._graphs, self._settings)
            except (EngineCrashed, EngineFailed) as error:
                self._set_next(error)

    def _set_next(self, error: EngineCrashed | EngineFailed) -> None:
        """Record a crash and let the next choice be the present one."""
        stopped, reason = self.choice, " ".join(str(error).split())
        what = "failed"
        if isinstance(error, EngineCrashed):
            what = "crashed"
            record_crash(stopped, error, self._graphs, self._settings)
        self._failed.append(stopped)
        if AUTO not in (self._settings.name, self._settings.precision):
            raise EngineUnavailableError(
                f"The engine {stopped.description} {what} ({reason}). No media file is the cause. "
                "Choose --engine auto, which takes another engine in this case."
            ) from error
        settings = self._settings
        if settings.precision == INT8:
            settings = replace(settings, precision=AUTO)
        others = [*engines_for(settings), REFERENCE]
        self.choice = next(
            each for each in others if each.precision == "float32" and each not in self._failed
        )
        logger.warning(
            "The engine %s %s (%s); %s replaces it. No media file is the cause.",
            *(stopped.description, what, reason, self.choice.description),
        )


class _RepeatableSource:
    """Batches of a loader, of which the unfinished ones can be read again.

    Attributes:
        unfinished: Batches that were read; the reader removes those that are finished.
    """

    def __init__(self, source: BatchSource, seconds: int) -> None:
        self._source = source
        self._rest = source.batches(seconds)
        self._reading = threading.Lock()
        self.unfinished: deque[SegmentBatch] = deque()

    @property
    def failure(self) -> BaseException | None:
        """Exception that ended the batches early."""
        return self._source.failure

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        """Yield the unfinished batches, then further ones; their size is that of the first reader.

        An engine takes batches that are smaller than its own; larger ones are those of an engine
        that takes any size.
        """
        yield from list(self.unfinished)
        while True:
            with self._reading:
                batch = next(self._rest, None)
            if batch is None:
                return
            self.unfinished.append(batch)
            yield batch

    def close(self) -> None:
        """Close the loader, once it has read the batch that it is reading.

        TensorFlow reads in a thread of its own, also while an interrupt ends this one. A generator
        that runs cannot be closed.
        """
        with self._reading:
            self._rest.close()
