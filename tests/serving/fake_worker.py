"""A model process whose pipeline does what files say: `python -m tests.serving.fake_worker`.

A file that contains `poison` kills the process, `once` does so the first time only, `slow` and
`brief` take a quarter of a second for each of 40 and 12 seconds, `broken` is quarantined. A clip
whose first pixel is 66 kills the process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from avel_tf.engines.available import EngineChoice
from avel_tf.events.event import Event
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.events.result import Result, Segment
from avel_tf.features.features import Features
from avel_tf.inference.settings import InferenceSettings
from avel_tf.serving.model_worker import ModelSpec, main
from avel_tf.video.segment_loader import SegmentBatch

# Seconds of slow files, each of which takes a quarter of a second.
_SLOW = {b"slow": 40, b"brief": 12}
LABELS = Labels(["Bark", "Helicopter"])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FakePipeline:
    """Labels every second of every file as a bark."""

    def __init__(self) -> None:
        self.labels = LABELS
        self.inference = InferenceSettings()
        recipe = SimpleNamespace(
            visual=SimpleNamespace(frames_per_second=1, size=4, width=3),
            audio=SimpleNamespace(sample_rate=16_000, width=2),
        )
        self.model = SimpleNamespace(
            name="fake/1",
            folder=Path("/fake/1"),
            labels=LABELS,
            recipe=recipe,
            postprocessing=Postprocessing(),
            columns=None,
        )

    def choose_engine(self) -> EngineChoice:
        return EngineChoice("fake", "float32")

    def label_files(self, paths: Sequence[str], *, observer: Any) -> Iterator[tuple[int, Result]]:
        (path,) = paths
        content = Path(path).read_bytes()
        if b"poison" in content:
            die()
        marker = Path(path).parents[1] / f"{Path(path).stem}.died"
        if b"once" in content and not marker.exists():
            marker.touch()
            die()
        if b"broken" in content:
            yield 0, Result(path, "quarantined", f"{path} is broken.")
            return
        seconds = next((n for word, n in _SLOW.items() if word in content), 3)
        for _ in range(seconds):
            if seconds > 3:
                time.sleep(0.25)
            one = np.ones(1, bool)
            batch = SegmentBatch(
                0, np.zeros((1, 1, 4, 4, 3), np.uint8), np.zeros((1, 16_000), np.float32), one
            )
            features = (np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float32))
            observer.on_batch(batch, Features(*features, one))
        observer.on_probabilities(0, np.tile(np.float32([0.8, 0.1, 0.1]), (seconds, 1)))
        rows = tuple(Segment(float(s), s + 1.0, "Bark", 0.8) for s in range(seconds))
        event = Event("Bark", 0.0, float(seconds), 0.8)
        yield 0, Result(path, "ok", None, float(seconds), rows, (event,), "fake/1")

    def evidence(self, visual: np.ndarray, audio: np.ndarray) -> tuple:
        return ()

    def selected_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if (frames[:, 0, 0, 0, 0] == 66).any():
            die()
        first = frames[:, 0, 0, 0].astype(np.float32)  # [N, 3]
        return first, waveform[:, :2]

    def label_features(
        self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray
    ) -> np.ndarray:
        return visual / np.maximum(visual.sum(-1, keepdims=True), 1)


def load(spec: ModelSpec) -> Any:
    if spec.model == "missing":
        raise ValueError("There is no model 'missing'.")
    return FakePipeline()


if __name__ == "__main__":
    main(load)
