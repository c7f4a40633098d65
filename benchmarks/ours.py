"""avel-tf by its public API: embedding, whole pipeline, localizer.

python benchmarks/ours.py SCRATCH [ENGINE PRECISION F BACKBONES]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import Work
from worker import serve

SECONDS, SAMPLE_RATE = 10, 16_000
VISUAL, AUDIO, CLASSES = 2048, 128, 28


class Model:
    """An exported model of F frames per second, `large` or `compact`, run by one engine."""

    def __init__(
        self, scratch: Path, engine: str, precision: str, rate: int, backbones: str = "large"
    ) -> None:
        self.scratch, self.rate, self.backbones = scratch, rate, backbones
        self.engine, self.precision = engine, precision
        self.images: int | None = None  # in one call of the backbones; None takes the default
        self._pipeline: Any = None

    @property
    def pipeline(self) -> Any:
        """The pipeline, opened by the first case that uses it."""
        if self._pipeline is None:
            from avel_tf.inference.pipeline import InferencePipeline

            self._pipeline = InferencePipeline(self._folder(), engine=self._settings())
        return self._pipeline

    def embed(self, images: int) -> Callable[[], Work]:
        """The embedding stage on segments in memory; the amount is in images."""
        from avel_tf.engines.available import EngineChoice
        from avel_tf.engines.selection import make_engine
        from avel_tf.export.exported_model import ExportedModel

        model, settings = ExportedModel(self._folder()), self._settings()
        recipe = model.recipe
        graphs = model.graphs()
        engine = make_engine(EngineChoice(self.engine, self.precision), graphs, settings)

        def run(images: int = images) -> Work:
            stream = in_memory(images // self.rate, self.rate, recipe.visual.size)
            done = sum(len(batch.valid) for batch, _, _ in engine.embed(stream))
            assert done == images // self.rate
            return Work(images)

        run(2 * self.rate * engine.batch_seconds)
        return run

    def _folder(self) -> Path:
        return self.scratch / "models" / f"{self.backbones}-f{self.rate}" / "1"

    def _settings(self) -> Any:
        from avel_tf.engines.settings import EngineSettings

        return EngineSettings(
            self.engine,
            self.precision,
            batch_pictures=self.images,
            cache=str(self.scratch / "cache"),
        )

    def files(self, paths: list[str]) -> Callable[[], Work]:
        """mp4 to labels."""

        def run(paths: list[str] = paths) -> Work:
            results = [result for _, result in self.pipeline.label_files(paths)]
            assert {result.status for result in results} == {"ok"}
            assert {len(result.seconds) for result in results} == {SECONDS}
            return Work(len(paths))

        run(paths[:2])
        return run

    def predict(self, clips: int, batch: int) -> Callable[[], Work]:
        """Features to probabilities."""
        recipe = self.pipeline.model.recipe
        visual, audio, valid, _ = features(batch, recipe.visual.width, recipe.audio.width)

        def run() -> Work:
            for _ in range(clips // batch):
                self.pipeline.label_features(visual, audio, valid)
            return Work(clips // batch * batch)

        self.pipeline.label_features(visual, audio, valid)
        return run


def in_memory(seconds: int, rate: int, pixels: int) -> Any:
    """A loader of segments without decoding."""
    from avel_tf.video.segment_loader import SegmentBatch, SegmentLoader

    generator = np.random.default_rng(0)

    class InMemory(SegmentLoader):
        def batches(self, size: int) -> Generator[SegmentBatch, None, None]:
            frames = generator.integers(0, 256, (size, rate, pixels, pixels, 3)).astype(np.uint8)
            waveform = generator.uniform(-0.5, 0.5, (size, SAMPLE_RATE)).astype(np.float32)
            for first in range(0, seconds, size):
                n = min(size, seconds - first)
                yield SegmentBatch(0, frames[:n], waveform[:n], np.ones(n, bool))

    return InMemory([], workers=1)


def features(clips: int, visual: int = VISUAL, audio: int = AUDIO) -> tuple[np.ndarray, ...]:
    """Visual [B, T, Dv], audio [B, T, Da], valid [B, T], targets [B, T], drawn at random."""
    generator = np.random.default_rng(0)
    return (
        generator.uniform(0, 1, (clips, SECONDS, visual)).astype(np.float32),
        generator.uniform(0, 1, (clips, SECONDS, audio)).astype(np.float32),
        np.ones((clips, SECONDS), bool),
        generator.integers(0, CLASSES + 1, (clips, SECONDS)),
    )


def train(clips: int) -> Callable[[], Work]:
    """Training steps of the localizer, from arrays in memory."""
    from avel_tf.features.examples import Examples
    from avel_tf.models import ModelSettings, build
    from avel_tf.training.fit import compile_model
    from avel_tf.training.settings import TrainingSettings

    examples = Examples(*features(clips))
    settings = TrainingSettings()
    model = build(ModelSettings(), visual_width=VISUAL, audio_width=AUDIO, classes=CLASSES)
    steps = clips // settings.batch_size
    trained = compile_model(model, settings, steps)

    def run(epochs: int = 2) -> Work:
        batches = examples.batches(settings.batch_size, seed=0, first_epoch=0, epochs=epochs)
        trained.fit(batches, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0)
        return Work(epochs * steps)

    run(1)
    return run


def read_features(clips: int) -> Callable[[], Work]:
    """Reading of all examples of a feature store, as at the start of training."""
    from avel_tf.datasets import Annotation
    from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
    from avel_tf.events.labels import AVE_CLASSES, Labels
    from avel_tf.features.examples import load_examples
    from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
    from avel_tf.features.features import Features

    recipe = Recipe(
        VisualRecipe("random", "0" * 64, frames_per_second=1, size=224, width=VISUAL),
        AudioRecipe("random", "0" * 64, SAMPLE_RATE, "relu", width=AUDIO),
        versions={},
    )
    events = (Annotation(AVE_CLASSES[0], 2.0, 7.0),)
    columns = zip(*features(clips), strict=True)
    records = (
        (f"{number:06d}", Features(visual, audio, valid), events, targets)
        for number, (visual, audio, valid, targets) in enumerate(columns)
    )
    scratch = tempfile.TemporaryDirectory()
    with FeatureStoreWriter(
        scratch.name, recipe=recipe, labels=Labels(AVE_CLASSES), layout="ave"
    ) as writer:
        writer.write_split("train", records, expected=clips)
    store = FeatureStore(scratch.name)

    def run(kept: tempfile.TemporaryDirectory = scratch) -> Work:  # lives as long as the case
        return Work(len(load_examples(store, "train", seconds=SECONDS)))

    run()
    return run


if __name__ == "__main__":
    # Without an engine only cases that need none are available.
    words = sys.argv[1:]
    words += ["tensorflow", "float32", "1", "large"][len(words) - 1 :]
    scratch, engine, precision, rate, backbones = words
    model = Model(Path(scratch), engine, precision, int(rate), backbones)
    serve(
        {
            "embed": model.embed,
            "pipeline": model.files,
            "predict": model.predict,
            "train": train,
            "read_features": read_features,
        }
    )
