"""Digests of features and labels of files that are processed in different company.

    python -m tests.engines.arrangements MODEL "ENGINE PRECISION,..." FILE...

Prints JSON: for each engine that compiles the networks and each arrangement, a digest of each
file's features and probabilities. It is a program of its own because the switches of the numerical
libraries are read when a process starts.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence

import numpy as np

from avel_tf.engines.available import EngineChoice
from avel_tf.engines.selection import make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.engines.windows import WindowLabeller
from avel_tf.features.features import embed_files
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.video.segment_loader import SegmentLoader


def digests(pipeline: InferencePipeline, paths: Sequence[str], workers: int) -> dict[str, str]:
    """One digest a file, of its features and of its probabilities."""
    visual = pipeline.model.recipe.visual
    engine = pipeline._loaded_engine(paths)
    stream = SegmentLoader([visual.decode_request(path) for path in paths], workers=workers)
    windows = WindowLabeller(engine.label, window_seconds=4, hop_seconds=2, batch_size=2)
    found = {}
    for place, features, outcome in embed_files(stream, engine):
        assert features is not None, outcome.error
        windows.add(place, features.visual, features.audio, features.valid)
        arrays = (features.visual, features.audio, windows.end(place))
        content = b"".join(np.ascontiguousarray(each).tobytes() for each in arrays)
        found[paths[place]] = hashlib.sha256(content).hexdigest()
    return found


def arrangements(model: str, choice: EngineChoice, paths: Sequence[str]) -> dict[str, dict]:
    settings = EngineSettings(name=choice.engine, precision=choice.precision)
    pipeline = InferencePipeline(model, engine=settings)
    pipeline._engine = make_engine(choice, pipeline._graphs, settings)
    alone: dict[str, str] = {}
    for path in paths:
        alone |= digests(pipeline, [path], 1)
    return {
        "alone": alone,
        "together": digests(pipeline, paths, 1),
        "side by side in another order": digests(pipeline, paths[::-1], 3),
        "some of them": digests(pipeline, paths[::2], 2),
    }


def main(model: str, choices: str, *paths: str) -> None:
    found = {}
    for words in choices.split(","):
        try:
            found[words] = arrangements(model, EngineChoice(*words.split()), paths)
        except RuntimeError as error:
            if "OpenVINO failed" not in str(error):
                raise
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
