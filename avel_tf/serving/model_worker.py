"""Main program of the model process: `python -m avel_tf.serving.model_worker DESCRIPTOR`.

It answers requests of `ModelProcess`, and ends with it. Three threads share one engine: one labels
the files of jobs, one the short files of synchronous requests, one predicts micro-batches.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avel_tf.config import Config
from avel_tf.serving.errors import DISK_FULL, is_disk_full
from avel_tf.serving.micro_batcher import MicroBatcher, Request
from avel_tf.utils import lazy_imports
from avel_tf.video.decode_request import BLOCK_SECONDS

if TYPE_CHECKING:
    from avel_tf.inference.pipeline import InferencePipeline


@dataclass(frozen=True)
class ModelSpec:
    """The model that a process loads.

    Attributes:
        model: Folder of an exported model; the pretrained one when None.
        classes: Classes that are labelled, as of `resolve_classes`.
        class_table: CSV file with further classes of the pretrained model.
        config: Settings of inference, decoder, engine and server.
        trust_model: Use a model whose files do not match its manifest.
    """

    model: str | None = None
    classes: str | tuple[str, ...] | None = None
    class_table: str | None = None
    config: Config = field(default_factory=Config)
    trust_model: bool = False


class _Cancelled(Exception):
    pass


class Worker:
    """Answers the requests of one server.

    Args:
        connection: Connection to the server.
        pipeline: The model.
        wait_seconds: Time that a prediction request waits for others.
    """

    def __init__(
        self, connection: Connection, pipeline: InferencePipeline, wait_seconds: float
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._sending = threading.Lock()
        self._cancelled: set[int] = set()
        self._files: dict[str, queue.Queue] = {"job": queue.Queue(), "direct": queue.Queue()}
        self._batcher = MicroBatcher(pipeline.embed_seconds, pipeline.label_features, wait_seconds)

    def run(self) -> None:
        """Answer requests until the server ends."""
        threads: list[Callable[[], None]] = [self._batcher.run]
        threads += [lambda lane=lane: self._label_files(lane) for lane in self._files]  # type: ignore[misc]
        for target in threads:
            threading.Thread(target=target, daemon=True).start()
        self._send(None, "ready", describe(self._pipeline))
        while True:
            number, method, arguments = self._connection.recv()
            if method == "cancel":
                self._cancelled.add(number)
            elif method == "label_file":
                self._files[arguments.pop("lane")].put((number, arguments))
            else:
                self._batcher.put(Request(method, arguments["arrays"], self._answer(number)))

    def _send(self, number: int | None, kind: str, value: Any) -> None:
        with self._sending:
            self._connection.send((number, kind, value))

    def _answer(self, number: int) -> Callable[[Any], None]:
        def answer(value: Any) -> None:
            if isinstance(value, Exception):
                self._send(number, "failed", _sentence(value))
            else:
                self._send(number, "done", value)

        return answer

    def _label_files(self, lane: str) -> None:
        while True:
            number, arguments = self._files[lane].get()
            try:
                answer: Any = self._label_file(number, **arguments)
            except _Cancelled:
                answer = None
            except Exception as error:
                answer = error
            self._cancelled.discard(number)
            self._answer(number)(answer)

    def _label_file(
        self, number: int, path: str, analysis: str | None, record: str | None = None
    ) -> str:
        """Label a file, or the features of a former record; returns the JSON line of its result."""
        from avel_tf.serving.analysis import AnalysisWriter, relabel

        if record is not None and analysis is not None:
            return relabel(Path(analysis), self._pipeline, record).to_json()

        def on_progress(seconds: int) -> None:
            if number in self._cancelled:
                raise _Cancelled
            self._send(number, "progress", seconds)

        if number in self._cancelled:
            raise _Cancelled
        writer = AnalysisWriter(self._pipeline, on_progress)
        ((_, result),) = self._pipeline.label_files([path], observer=writer)
        if analysis is not None and result.status != "quarantined":
            writer.save(Path(analysis))
        return result.to_json()


def _sentence(error: Exception) -> str:
    if is_disk_full(error):
        return DISK_FULL
    return str(error) or type(error).__name__


def describe(pipeline: InferencePipeline) -> dict[str, Any]:
    """Description of a loaded model for the server."""
    model = pipeline.model
    visual, audio = model.recipe.visual, model.recipe.audio
    return {
        "name": model.name,
        "folder": str(model.folder),
        "labels": list(pipeline.labels.names),
        "all_labels": list(model.labels.names),
        "frames_per_second": visual.frames_per_second,
        "size": visual.size,
        "widths": [visual.width, audio.width],
        "multi_label": model.postprocessing.multi_label,
        "zero_shot": model.columns is not None,
        "engine": pipeline.choose_engine().description,
    }


def load_pipeline(spec: ModelSpec) -> InferencePipeline:
    """Load the model of a process and run it once, so that the first request does not wait.

    Raises:
        ValueError: The model cannot be opened or lacks a class.
    """
    from avel_tf.engines.reuse import differing_frames
    from avel_tf.inference.batch import open_exported, pipeline_of

    config = spec.config
    model = open_exported(
        spec.model, trust=spec.trust_model, engine=config.engine, class_table=spec.class_table
    )
    classes = list(spec.classes) if isinstance(spec.classes, tuple) else spec.classes
    pipeline = pipeline_of(model, config, classes)
    visual, audio = model.recipe.visual, model.recipe.audio
    # A whole block, and an incomplete one, which may be computed by another network.
    seconds = BLOCK_SECONDS + 1
    frames = differing_frames(seconds, visual)
    waveform = np.zeros((seconds, audio.sample_rate), np.float32)
    features = pipeline.embed_seconds(frames, waveform)
    pipeline.label_features(features[0][None], features[1][None], np.ones((1, seconds), bool))
    return pipeline


def main(load: Callable[[ModelSpec], InferencePipeline] = load_pipeline) -> None:
    """Serve one connection, whose descriptor is the last argument of the command line.

    Args:
        load: Loads the model.
    """
    lazy_imports.is_command = True
    connection = Connection(int(sys.argv[-1]))
    try:
        spec: ModelSpec = connection.recv()
        try:
            pipeline = load(spec)
        except Exception as error:
            connection.send((None, "unavailable", _sentence(error)))
            return
        Worker(connection, pipeline, spec.config.serving.micro_batch_wait_ms / 1000).run()
    except (EOFError, OSError):
        # The server has ended. Threads in C++ code need no orderly end.
        os._exit(0)


if __name__ == "__main__":
    # The specification is pickled with the name of this module.
    from avel_tf.serving.model_worker import main as run

    run()
