"""Postprocessing is fitted on the validation split alone."""

from __future__ import annotations

import numpy as np
import pytest

from avel_tf.config import Config
from avel_tf.evaluation.fitting import decoders, fit_postprocessing
from avel_tf.evaluation.on_features import predict_split
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.evaluation.summary import summary
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.training.job import train
from avel_tf.training.settings import TrainingSettings
from tests.training import stores

LABELS = Labels(["Bark", "Cat"])


def predictions(clips: int = 30, *, flicker: float = 0.0, seed: int = 0) -> SplitPredictions:
    """Events of five seconds, in the middle of which a model sometimes fails for one."""
    generator = np.random.default_rng(seed)
    reference, probabilities = {}, {}
    for number in range(clips):
        truth = np.full(10, LABELS.background)
        truth[2:7] = number % 2
        said = np.where((np.arange(10) == 4) & (generator.random() < flicker), 2, truth)
        reference[str(number)] = truth
        probabilities[str(number)] = 0.8 * np.eye(3)[said] + 0.2 / 3
    return SplitPredictions("validation", LABELS, reference, probabilities, None, None, [])


def test_the_plain_decoder_stays_where_nothing_is_better() -> None:
    found = fit_postprocessing(predictions())
    assert found.events == EventPostprocessor()
    assert (found.fitted_on, found.clips) == ("validation", 30)


def test_the_grid_begins_with_the_plain_rule_without_doubles() -> None:
    grid = list(decoders())
    assert grid[0] == EventPostprocessor() and len(set(grid)) == len(grid) == 135


def test_flicker_is_bridged_by_no_more_than_it_takes() -> None:
    split = predictions(flicker=0.5)
    found = fit_postprocessing(split)
    assert found.events == EventPostprocessor(fill_gap_seconds=1)
    plain, fitted = split.metrics(), split.metrics(found)
    assert plain["event_f1"] < fitted["event_f1"] == 1.0
    assert fitted["plain_events"]["event_f1"] == plain["event_f1"]
    assert fitted["segment_accuracy"] == plain["segment_accuracy"]
    assert fitted["decoder"]["fitted_on"] == "validation"


def test_a_split_without_events_or_seconds_leaves_the_defaults() -> None:
    silent = SplitPredictions(
        "validation", LABELS, {"a": np.full(4, 2)}, {"a": np.eye(3)[[2] * 4]}, None, None, []
    )
    assert fit_postprocessing(silent).events == EventPostprocessor()
    unseen = SplitPredictions(
        "validation", LABELS, silent.reference, silent.probabilities,
        {"a": np.zeros(4, bool)}, None, [],
    )  # fmt: skip
    assert fit_postprocessing(unseen).temperature == 1.0


@pytest.mark.slow
def test_the_test_split_is_never_seen(tmp_path) -> None:
    """Other labels there change the figures, and nothing of what was fitted."""

    config = Config(model=stores.QUICKEST, training=TrainingSettings(epochs=2, batch_size=8))
    found = []
    for name, poisoned in (("clean", False), ("poisoned", True)):
        records = {split: stores.records(split, 12) for split in ("train", "validation", "test")}
        if poisoned:
            records["test"] = [
                (video, features, rows, np.full_like(targets, 1))
                for video, features, rows, targets in records["test"]
            ]
        store = stores.write_store(tmp_path / name / "features", **records)
        metrics = train(store, tmp_path / name / "run", config).metrics
        found.append((metrics, (tmp_path / name / "run" / "decoder.json").read_bytes()))
    (clean, decoder), (poisoned, same) = found
    assert decoder == same
    assert clean["calibration"]["temperature"] == poisoned["calibration"]["temperature"] != 1.0
    assert clean["segment_accuracy"] != poisoned["segment_accuracy"]


@pytest.mark.slow
def test_without_a_validation_split_nothing_is_fitted(tmp_path) -> None:

    store = stores.write_store(
        tmp_path / "features", train=stores.records("train", 8), test=stores.records("test", 4)
    )
    config = Config(model=stores.QUICKEST, training=TrainingSettings(epochs=1))
    metrics = train(store, tmp_path / "run", config).metrics
    assert metrics["decoder"]["fitted_on"] is None
    assert metrics["calibration"]["temperature"] == 1.0
    assert metrics["calibration"]["ece"] == metrics["calibration"]["uncalibrated"]["ece"]
    assert Postprocessing.load(tmp_path / "run") == Postprocessing()
    assert "there is no validation split" in summary(metrics)


def test_evaluation_on_the_split_of_the_fit_is_marked() -> None:

    split = predictions(flicker=0.5)
    assert "are optimistic" in summary(split.metrics(fit_postprocessing(split)))
    assert "are optimistic" not in summary(split.metrics(Postprocessing()))


def test_seconds_that_are_not_counted_take_no_part(tmp_path) -> None:
    split = predictions(flicker=0.5)
    wild = {name: one.copy() for name, one in split.probabilities.items()}
    for one in wild.values():
        one[8:] = [0.9, 0.05, 0.05]
    valid = {name: np.arange(10) < 8 for name in wild}
    masked = SplitPredictions("validation", LABELS, split.reference, wild, valid, None, [])
    cut = SplitPredictions(
        "validation", LABELS,
        {name: one[:8] for name, one in split.reference.items()},
        {name: one[:8] for name, one in split.probabilities.items()}, None, None, [],
    )  # fmt: skip
    assert fit_postprocessing(masked) == fit_postprocessing(cut)


def test_predictions_of_a_split_are_counted_as_the_protocol_says(tmp_path) -> None:
    store = stores.write_store(tmp_path / "features", validation=stores.records("validation", 3))

    def predict(visual, audio, valid):
        return np.full((*valid.shape, len(stores.LABELS) + 1), 0.25)

    probabilities, reference = predict_split(predict, store, "validation").counted_seconds()
    assert probabilities.shape == (18, 4) and reference.shape == (18,)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"schema": 2}', '{"schema": 1, "events": {}, "temprature": 2}',
     '{"schema": 1, "temperature": 0, "events": {}}',
     '{"schema": 1, "events": {"min_seconds": 0}}'],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, content: str) -> None:
    (tmp_path / "decoder.json").write_text(content)
    with pytest.raises(ValueError, match="decoder.json is not a valid postprocessing file"):
        Postprocessing.load(tmp_path)


def test_it_comes_back_as_it_was_written(tmp_path) -> None:
    postprocessing = Postprocessing(1.25, EventPostprocessor(0.7, 0.4, 2, 3), "validation", 40)
    postprocessing.save(tmp_path)
    assert Postprocessing.load(tmp_path) == postprocessing
    assert Postprocessing.load(tmp_path / "nowhere") == Postprocessing()
