"""Intermediate values of labelling, for programs that show more than a result."""

from pathlib import Path

import numpy as np
import pytest

from avel_tf.inference.inputs import find_inputs
from avel_tf.inference.pipeline import InferencePipeline
from tests.conftest import FLOAT32


class Recorder:
    def __init__(self) -> None:
        self.batches: dict[int, list] = {}
        self.probabilities: dict[int, np.ndarray] = {}

    def on_batch(self, batch, features) -> None:
        assert batch.file not in self.probabilities
        self.batches.setdefault(batch.file, []).append((batch, features))

    def on_probabilities(self, index, probabilities) -> None:
        self.probabilities[index] = probabilities


@pytest.mark.usefixtures("one_engine")
def test_an_observer_receives_what_made_the_result(clips: Path, exported: Path) -> None:
    paths = find_inputs([str(clips)])[:3]
    recorder, pipeline = Recorder(), InferencePipeline(exported, engine=FLOAT32)
    results = dict(pipeline.label_files(paths, observer=recorder))
    assert sorted(results) == sorted(recorder.probabilities) == [0, 1, 2]
    for index, result in results.items():
        batches = recorder.batches[index]
        valid = np.concatenate([features.valid for _, features in batches])
        waveform = np.concatenate([batch.waveform for batch, _ in batches])
        assert valid.sum() == len(result.seconds) == len(waveform)
        probabilities = recorder.probabilities[index]
        assert [second.label for second in result.seconds] == [
            pipeline.labels.name(int(each)) for each in probabilities.argmax(-1)
        ]
        # The same features give the same probabilities.
        visual, audio = (
            np.concatenate([getattr(features, name) for _, features in batches])[None]
            for name in ("visual", "audio")
        )
        again = pipeline.label_features(visual, audio, valid[None])[0]
        np.testing.assert_allclose(again, probabilities, atol=1e-4)


@pytest.mark.usefixtures("one_engine")
def test_results_are_the_same_without_an_observer(clips: Path, exported: Path) -> None:
    paths = find_inputs([str(clips)])[:1]
    pipeline = InferencePipeline(exported, engine=FLOAT32)
    assert dict(pipeline.label_files(paths)) == dict(
        pipeline.label_files(paths, observer=Recorder())
    )
