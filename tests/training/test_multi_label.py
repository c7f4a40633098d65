"""Training with any number of labels a second, on features that say each class by itself."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from avel_tf.datasets import Annotation, Dataset, Video
from avel_tf.evaluation.fitting import fit_postprocessing
from avel_tf.evaluation.on_features import predict_split
from avel_tf.features.annotation_changes import annotation_changes, relabel
from avel_tf.features.examples import load_examples
from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features
from avel_tf.features.overlaps import count_overlaps
from avel_tf.models import ModelSettings, check_head
from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.training.fit import TrainingError, fit
from avel_tf.training.run import probabilities_of
from avel_tf.training.settings import TrainingSettings
from tests.training.stores import AUDIO_WIDTH, LABELS, RECIPE, VISUAL_WIDTH, write_store

SECONDS = 6
SEVERAL = ModelSettings("audio_only", width=16, heads=2, lstm_units=0, head="multi_label",
                        dropout=0.1, input_dropout=0.1)  # fmt: skip
QUICK = TrainingSettings(epochs=12, batch_size=8, learning_rate=0.01, window_seconds=SECONDS)


def records(split: str, count: int, *, event: int = 3):
    """Clips in which sound is the sum of the classes that are there; half of them overlap."""
    rng = np.random.default_rng([7, len(split)])
    centres = 3 * np.random.default_rng(99).normal(size=(len(LABELS), AUDIO_WIDTH))
    for number in range(count):
        events, active = [], np.zeros((SECONDS, len(LABELS)), bool)
        for label in rng.choice(len(LABELS), 2, replace=False):
            start = int(rng.integers(0, SECONDS - event + 1))
            active[start : start + event, label] = True
            events.append(Annotation(LABELS.name(int(label)), start, start + event))
        audio = active @ centres + 0.3 * rng.normal(size=(SECONDS, AUDIO_WIDTH))
        visual = rng.normal(size=(SECONDS, VISUAL_WIDTH))
        features = Features(
            visual.astype("float32"), audio.astype("float32"), np.ones(SECONDS, bool)
        )
        index = np.where(active.any(axis=1), active.argmax(axis=1), LABELS.background)
        yield f"{split}{number}", features, events, index


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("several") / "features"
    return write_store(
        folder, **{name: list(records(name, n)) for name, n in
                   (("train", 48), ("validation", 16), ("test", 16))}
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(store, tmp_path_factory):
    return fit(store, tmp_path_factory.mktemp("run"), model_settings=SEVERAL, training=QUICK)


def test_the_record_holds_every_class_of_a_second(store) -> None:
    expected = {}
    for name, _, events, _ in records("test", 16):
        active = np.zeros((SECONDS, len(LABELS)), bool)
        for event in events:
            active[int(event.start) : int(event.end), LABELS.index(event.label)] = True
        expected[name.encode()] = active
    for reader in (store.dataset, store.seconds):
        for record in reader("test").as_numpy_iterator():
            np.testing.assert_array_equal(record["active"], expected[record["id"]])


def test_the_stored_label_counts_where_no_event_is_stored(tmp_path) -> None:
    features = Features(np.ones((2, VISUAL_WIDTH), "float32"), np.ones((2, AUDIO_WIDTH), "float32"),
                        np.ones(2, bool))  # fmt: skip
    old = write_store(tmp_path / "old", train=[("a", features, (), np.array([1, 3]))])
    (record,) = old.seconds("train").as_numpy_iterator()
    np.testing.assert_array_equal(record["active"], [[False, True, False], [False] * 3])


def test_targets_are_sets_of_classes_and_their_absence(store) -> None:
    full = load_examples(store, "train", seconds=4, multi_label=True)
    weak = load_examples(store, "train", seconds=4, multi_label=True, supervision="weak")
    assert full.targets.shape == weak.targets.shape == (96, 4, 4)
    padding = full.targets[~full.valid]
    np.testing.assert_array_equal(padding, np.tile([0, 0, 0, 1], (len(padding), 1)))
    none = full.targets[..., :-1].max(axis=-1) == 0
    np.testing.assert_array_equal(full.targets[..., -1], none)
    assert (weak.targets[..., :-1].sum(axis=-1) == 2).all()  # each video has two classes
    assert (weak.targets[..., -1] == 0).all()


@pytest.mark.slow
def test_several_labels_are_learned(store, model) -> None:
    predict = probabilities_of(model)
    postprocessing = fit_postprocessing(
        predict_split(predict, store, "validation", window_seconds=SECONDS, multi_label=True)
    )
    measured = predict_split(
        probabilities_of(model, postprocessing.temperature), store, "test", window_seconds=SECONDS,
        multi_label=True,
    ).metrics(postprocessing)  # fmt: skip
    assert len(postprocessing.thresholds or ()) == len(LABELS)
    # What the best single label could reach: the overlapping seconds have two.
    overlaps = count_overlaps(store, "test")
    every = overlaps.event_seconds + overlaps.seconds
    ceiling = 2 * overlaps.event_seconds / (overlaps.event_seconds + every)
    assert measured["segment_f1"] > ceiling
    assert measured["segment_map"] > 0.9


@pytest.mark.slow
def test_a_resumed_run_ends_like_an_uninterrupted_one(store, tmp_path) -> None:
    training = replace(
        QUICK, epochs=4, augmentation=AugmentationSettings(mixup=0.3, cross_modal_mixup=0.3)
    )

    class Killed(Exception):
        pass

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Killed

    whole = fit(store, tmp_path / "whole", model_settings=SEVERAL, training=training)
    with pytest.raises(Killed):
        fit(store, tmp_path / "cut", model_settings=SEVERAL, training=training, on_epoch=kill)
    again = fit(store, tmp_path / "cut", model_settings=SEVERAL, training=training, resume=True)
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    header = (tmp_path / "cut" / "history.csv").read_text().splitlines()[0]
    assert "val_segment_f1" in header


def test_one_label_a_second_says_what_it_leaves_out(store, tmp_path, caplog, monkeypatch) -> None:
    class Enough(Exception):
        pass

    def no_training(*_: object) -> None:
        raise Enough

    monkeypatch.setattr("avel_tf.training.fit.compile_model", no_training)
    single = replace(SEVERAL, head="per_second")
    with caplog.at_level(logging.WARNING), pytest.raises(Enough):
        fit(store, tmp_path, model_settings=single, training=QUICK)
    overlaps = count_overlaps(store, "train")
    assert overlaps.seconds > 0
    assert f"{overlaps.seconds:,} of {overlaps.event_seconds:,} segments" in caplog.text
    assert "model.head=multi_label" in caplog.text


@pytest.mark.slow
def test_weak_supervision_names_several_events(store, tmp_path) -> None:
    weak = replace(QUICK, epochs=6, supervision="weak")
    fit(store, tmp_path, model_settings=SEVERAL, training=weak)
    rows = (tmp_path / "history.csv").read_text().splitlines()
    place = rows[0].split(",").index("val_clip_f1")
    assert float(rows[-1].split(",")[place]) > 0.8


def test_labels_of_clips_are_not_trained_as_labels_of_seconds(tmp_path) -> None:
    with FeatureStoreWriter(
        tmp_path / "weak", recipe=RECIPE, labels=LABELS, layout="llp", weak_splits=["train"]
    ) as writer:
        for name in ("train", "validation", "test"):
            writer.write_split(name, records(name, 4), expected=4)
    with pytest.raises(TrainingError, match="training.supervision=weak"):
        fit(FeatureStore(tmp_path / "weak"), tmp_path / "run", model_settings=SEVERAL)


def test_the_factorised_head_names_both_ways_out() -> None:
    given = (np.array([[0, 1]]), np.ones((1, 2), bool), LABELS.names)
    with pytest.raises(ValueError, match=r"per_second.*multi_label"):
        check_head(ModelSettings(head="factorised"), *given)
    check_head(ModelSettings(head="multi_label"), *given)


def test_a_corrected_label_below_another_is_noticed(tmp_path) -> None:
    """The event that began last keeps the second; the other one is an annotation all the same."""
    events = (Annotation("Bark", 0, 3), Annotation("Clock", 1.0000004, 2))
    label = LABELS.index
    targets = np.array([label("Bark"), label("Clock"), label("Bark")])
    features = Features(np.ones((3, VISUAL_WIDTH), "float32"), np.ones((3, AUDIO_WIDTH), "float32"),
                        np.ones(3, bool))  # fmt: skip
    store = write_store(tmp_path / "store", train=[("a", features, events, targets)])

    def dataset(*annotations: Annotation) -> Dataset:
        video = Video("a", tmp_path / "a.mp4", annotations, "train", "a")
        return Dataset(tmp_path, "table", LABELS, (video,))

    assert not annotation_changes(store, dataset(*events))
    shorter = (Annotation("Bark", 0, 1), events[1], Annotation("Bark", 2, 3))
    changed = dataset(*shorter)
    assert annotation_changes(store, changed).relabelled == ["a"]
    again = relabel(store, changed)
    assert not annotation_changes(again, changed)
    (record,) = again.seconds("train").as_numpy_iterator()
    assert record["active"].sum(axis=1).tolist() == [1, 1, 1]
