"""Training that knows what each video holds must not know when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.evaluation.history import best_epoch
from avel_tf.features.examples import clip_label, load_examples
from avel_tf.models import ModelSettings
from avel_tf.reports.training_figures import draw_curves, read_history
from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.training.fit import TrainingError, fit
from avel_tf.training.settings import TrainingSettings
from tests.training import stores

WEAK = TrainingSettings(epochs=3, batch_size=8, window_seconds=4, supervision="weak")
MODEL = ModelSettings("bi_avatt", width=8, heads=2, lstm_units=0)


def shuffled(records: list[stores.Record], seed: int = 5) -> list[stores.Record]:
    """The same clips with the labels of their seconds in another order."""
    rng = np.random.default_rng(seed)
    return [(name, features, (), rng.permutation(labels)) for name, features, _, labels in records]


def trained_on(
    folder: Path, splits, training: TrainingSettings, model: ModelSettings = MODEL
) -> tuple[keras.Model, bytes]:
    store = stores.write_store(folder / "features", **splits)
    kept = fit(store, folder / "run", model_settings=model, training=training)
    return kept, (folder / "run" / "history.csv").read_bytes()


@pytest.mark.slow
def test_when_an_event_happens_changes_nothing(tmp_path):
    """Windows are shorter than clips, so which of them an event lies in would show as well."""
    splits = {name: stores.records(name, 16) for name in ("train", "validation")}
    mixed = {name: shuffled(records) for name, records in splits.items()}
    training = replace(
        WEAK,
        augmentation=AugmentationSettings(
            cross_modal_mixup=0.3, mixup=0.4, modality_dropout=0.3, feature_noise=0.2
        ),
    )
    model, history = trained_on(tmp_path / "one", splits, training)
    other, history_too = trained_on(tmp_path / "other", mixed, training)
    for one, another in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, another)
    assert history == history_too  # nor does the choice of the epoch look at seconds
    rows = read_history(tmp_path / "one" / "run" / "history.csv")
    assert set(rows[0]) == {"epoch", "loss", "clip_accuracy", "val_loss", "val_clip_accuracy"}
    best = max(row["val_clip_accuracy"] for row in rows)
    assert rows[best_epoch(rows) - 1]["val_clip_accuracy"] == best
    assert "Clip accuracy" in draw_curves(rows)


@pytest.mark.slow
def test_clip_labels_teach_which_event_it_is(tmp_path):
    splits = {
        "train": stores.records("train", 64),
        "validation": stores.records("validation", 24),
    }
    training = replace(WEAK, epochs=12, learning_rate=1e-2, window_seconds=6)
    trained_on(tmp_path, splits, training, replace(stores.QUICKEST, width=16))
    rows = read_history(tmp_path / "run" / "history.csv")
    assert max(row["val_clip_accuracy"] for row in rows) > 0.9  # one of three classes


def test_targets_hold_the_same_at_every_second_of_every_window(tmp_path):
    records = stores.records("train", 6)
    store = stores.write_store(tmp_path / "features", train=records)
    targets = load_examples(store, "train", seconds=4, supervision="weak").targets
    assert targets.shape == (12, 4, 4) and targets.dtype == "float32"
    for number, (_, _, _, labels) in enumerate(records):
        expected = np.zeros(4)
        expected[[each for each in set(labels) if each != stores.LABELS.background]] = 1
        windows = targets[2 * number : 2 * number + 2].reshape(-1, 4)
        np.testing.assert_array_equal(windows, np.tile(expected, (8, 1)))


@pytest.mark.parametrize(
    ("seconds", "shares"),
    [([3, 3], [0, 0, 0, 1]), ([3, 1, 1], [0, 1, 0, 0]), ([2, 0, 3, 0], [0.5, 0, 0.5, 0])],
)
def test_what_a_clip_holds(seconds, shares):
    np.testing.assert_array_equal(clip_label(np.array(seconds), 3), shares)


def test_clips_of_background_alone_teach_nothing(tmp_path):
    silent = [(name, f, (), np.full(6, 3)) for name, f, _, _ in stores.records("train", 4)]
    store = stores.write_store(tmp_path / "features", train=silent)
    with pytest.raises(TrainingError, match="are background"):
        fit(store, tmp_path / "run", model_settings=MODEL, training=WEAK)


@pytest.mark.parametrize("supervision", ["full", "weak"])
def test_one_event_a_clip_cannot_be_trained_on_clips_of_several(tmp_path, supervision):
    records = stores.records("train", 4)
    name, features, _, _ = records[2]
    records[2] = (name, features, (), np.array([0, 0, 3, 2, 2, 2]))
    store = stores.write_store(tmp_path / "features", train=records)
    with pytest.raises(ValueError, match="'Bark' and 'Clock'.* model.head=per_second"):
        fit(
            store,
            tmp_path / "run",
            model_settings=replace(MODEL, head="factorised"),
            training=replace(WEAK, supervision=supervision, window_seconds=6),
        )
