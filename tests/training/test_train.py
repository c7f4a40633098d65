"""Training: what it learns, what it listens to, and what it must not look at."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.features.examples import load_examples
from avel_tf.features.feature_store import FeatureStore
from avel_tf.features.features import Features
from avel_tf.models import ModelSettings, build, load_model
from avel_tf.training.checkpoint import EpochCheckpoint
from avel_tf.training.fit import TrainingError, compile_model, fit
from avel_tf.training.run import probabilities_of
from avel_tf.training.settings import TrainingSettings
from tests.training import stores

QUICK = TrainingSettings(epochs=3, batch_size=8, window_seconds=6)


def rows_of(folder: Path) -> list[dict[str, float]]:
    with open(folder / "history.csv", newline="") as table:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(table)]


def accuracy(model: keras.Model, store, split: str) -> float:
    examples = load_examples(store, split, seconds=6)
    found = probabilities_of(model)(examples.visual, examples.audio, examples.valid).argmax(-1)
    return float((found == examples.targets)[examples.valid].mean())


def same_weights(one: keras.Model, other: keras.Model) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("informative", "network"),
    [
        ("audio", stores.TINY),
        ("visual", replace(stores.TINY, name="visual_only", lstm_units=0)),
    ],
)
def test_what_one_sense_tells_is_learned(tmp_path, informative, network):
    store = stores.write_store(
        tmp_path / "features",
        train=stores.records("train", 64, informative=informative),
        validation=stores.records("validation", 16, informative=informative),
        test=stores.records("test", 24, informative=informative, seed=1),
    )
    model = fit(
        store,
        tmp_path / "run",
        model_settings=network,
        training=replace(QUICK, epochs=12, learning_rate=1e-2),
    )
    assert accuracy(model, store, "test") > 0.9


@pytest.fixture(scope="module")
def splits() -> dict[str, list[stores.Record]]:
    return {
        "train": stores.records("train", 24),
        "validation": stores.records("validation", 8),
        "test": stores.records("test", 8, seed=1),
    }


@pytest.fixture(scope="module")
def trained(splits, tmp_path_factory) -> tuple[keras.Model, Path]:
    """A run of three epochs on `splits`."""
    folder = tmp_path_factory.mktemp("trained")
    store = stores.write_store(folder / "features", **splits)
    return fit(store, folder / "run", model_settings=stores.QUICKEST, training=QUICK), folder


@pytest.mark.slow
def test_the_test_split_has_no_say(splits, trained, tmp_path):
    """Were a model chosen, stopped or scaled by the test split, other test data would show."""
    model, folder = trained
    spoiled = [
        (name, Features(1e3 - 7 * f.visual, -f.audio, f.valid), (), 3 - targets)
        for name, f, _, targets in splits["test"] * 3
    ]
    store = stores.write_store(tmp_path / "features", **{**splits, "test": spoiled})
    again = fit(store, tmp_path / "run", model_settings=stores.QUICKEST, training=QUICK)
    assert same_weights(model, again)
    history = (tmp_path / "run" / "history.csv").read_bytes()
    assert history == (folder / "run" / "history.csv").read_bytes()


@pytest.mark.slow
def test_the_validation_split_chooses_and_does_not_teach(splits, trained, tmp_path):
    _, folder = trained
    spoiled = [(name, f, (), 3 - targets) for name, f, _, targets in splits["validation"]]
    store = stores.write_store(tmp_path / "features", **{**splits, "validation": spoiled})
    fit(store, tmp_path / "run", model_settings=stores.QUICKEST, training=QUICK)
    plain, other = rows_of(folder / "run"), rows_of(tmp_path / "run")
    for row, changed in zip(plain, other, strict=True):
        assert row["loss"] == changed["loss"]
        assert row["segment_accuracy"] == changed["segment_accuracy"]
        assert row["val_loss"] != changed["val_loss"]


def test_the_model_that_is_kept_is_the_best_on_validation(trained):
    _, folder = trained
    best = max(row["val_segment_accuracy"] for row in rows_of(folder / "run"))
    store = FeatureStore(folder / "features")
    model = load_model(folder / "run" / "model.keras")
    assert accuracy(model, store, "validation") > best - 1e-6
    evidence = model.get_layer("clip_evidence")
    evidence.peak_weight.assign(evidence.network_weight)  # as in training; then it was chosen
    assert accuracy(model, store, "validation") == pytest.approx(best, abs=1e-6)


def test_features_are_scaled_by_the_training_split(trained, splits):
    model, _ = trained
    values = np.concatenate([features.audio for _, features, _, _ in splits["train"]])
    mean, variance = model.get_layer("audio_normalization").get_weights()
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, values.var(0), rtol=1e-4)


def test_what_lies_in_the_folder(trained):
    _, folder = trained
    run = folder / "run"
    assert (run / "model.keras").is_file()
    assert list((run / "tensorboard" / "train").iterdir())
    rows = rows_of(run)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert {"loss", "segment_accuracy", "val_loss", "val_segment_accuracy"} <= set(rows[0])


@pytest.mark.slow
def test_seconds_that_are_not_there_teach_nothing(splits, tmp_path):
    """Neither what stands in them nor what they are labelled changes a weight."""

    def spoil(records, visual: float, audio: float, target: int):
        changed = []
        for name, features, _, targets in records:
            holes = np.arange(6) >= 4
            spoiled = Features(
                np.where(holes[:, None], np.float32(visual), features.visual),
                np.where(holes[:, None], np.float32(audio), features.audio),
                ~holes,
            )
            changed.append((name, spoiled, (), np.where(holes, target, targets)))
        return changed

    models = []
    for number, junk in enumerate([(0.0, 0.0, 3), (50.0, -20.0, 1)]):
        store = stores.write_store(
            tmp_path / f"features{number}",
            **{name: spoil(records, *junk) for name, records in splits.items()},
        )
        folder = tmp_path / f"run{number}"
        models.append(fit(store, folder, model_settings=stores.QUICKEST, training=QUICK))
    histories = [rows_of(tmp_path / f"run{number}") for number in range(2)]
    for one, other in zip(*histories, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_features_beyond_memory_give_the_same_weights(trained, tmp_path):
    model, folder = trained
    again = fit(
        FeatureStore(folder / "features"),
        tmp_path,
        model_settings=stores.QUICKEST,
        training=replace(QUICK, memory_gb=0),
    )
    assert same_weights(model, again)
    history = (tmp_path / "history.csv").read_bytes()
    assert history == (folder / "run" / "history.csv").read_bytes()


@pytest.mark.slow
def test_without_validation_the_last_epoch_is_kept(splits, tmp_path, caplog):
    store = stores.write_store(tmp_path / "features", train=splits["train"])
    seen = []
    training = replace(QUICK, epochs=2)
    model = fit(
        store,
        tmp_path / "run",
        model_settings=stores.QUICKEST,
        training=training,
        on_epoch=seen.append,
    )
    assert "no validation split" in caplog.text
    assert [row["epoch"] for row in seen] == [1, 2] and "val_loss" not in seen[0]
    last = build(stores.QUICKEST, visual_width=6, audio_width=5, classes=3)
    trained = compile_model(last, training, steps=3)
    assert EpochCheckpoint(tmp_path / "run", tmp_path / "unused.keras").restore(trained) == 2
    assert same_weights(model, last)


def test_nothing_to_learn_from(splits, tmp_path):
    empty = stores.write_store(tmp_path / "empty", test=splits["test"])
    with pytest.raises(TrainingError, match="empty. 0 videos"):
        fit(empty, tmp_path / "run")
    silent = [(n, f, (), np.full(6, stores.LABELS.background)) for n, f, _, _ in splits["train"]]
    store = stores.write_store(tmp_path / "silent", train=silent)
    with pytest.raises(TrainingError, match="are background. .*avel audit DATA"):
        fit(store, tmp_path / "run")


def test_one_event_for_clips_of_two_is_refused_before_training(splits, tmp_path):
    two = [(n, f, (), np.array([0, 0, 3, 1, 1, 3])) for n, f, _, _ in splits["train"]]
    store = stores.write_store(tmp_path / "features", train=two)
    with pytest.raises(ValueError, match="24 of 24 training clips have events of several classes"):
        fit(store, tmp_path / "run", model_settings=ModelSettings(head="factorised"))


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_rate_rises_over_one_epoch_and_falls_to_zero(epochs):
    model = build(stores.QUICKEST, visual_width=6, audio_width=5, classes=3)
    trained = compile_model(model, TrainingSettings(epochs=epochs, learning_rate=0.01), steps=10)
    schedule = trained.optimizer._learning_rate
    rates = [float(schedule(step)) for step in range(10 * epochs + 1)]
    peak = min(10, 10 * epochs - 1)
    assert rates[peak] == max(rates) == pytest.approx(0.01, rel=1e-5)
    assert rates[0] == 0.0 and rates[-1] == pytest.approx(0.0, abs=1e-6)
    assert all(a < b for a, b in zip(rates[:peak], rates[1 : peak + 1], strict=True))
    assert all(a > b for a, b in zip(rates[peak:], rates[peak + 1 :], strict=False))


def test_weight_decay_leaves_biases_and_scales_alone():
    model = build(stores.QUICKEST, visual_width=6, audio_width=5, classes=3)
    settings = replace(QUICK, learning_rate=0.01, weight_decay=0.5)
    trained = compile_model(model, settings, steps=4)
    for weight in trained.trainable_variables:
        weight.assign(keras.ops.ones_like(weight))
    trained.optimizer.iterations.assign(4)  # the rate is at its peak
    trained.optimizer.apply([keras.ops.zeros_like(each) for each in trained.trainable_variables])
    for weight in trained.trainable_variables:
        spared = weight.name in ("bias", "gamma", "beta")
        np.testing.assert_allclose(weight, 1 if spared else 0.995, atol=1e-6, err_msg=weight.path)


def test_one_step_in_all_still_learns():
    """A single step is no time to rise in: it is taken at the full rate."""
    model = build(stores.QUICKEST, visual_width=6, audio_width=5, classes=3)
    trained = compile_model(model, TrainingSettings(epochs=1, learning_rate=0.01), steps=1)
    assert float(trained.optimizer._learning_rate(0)) == pytest.approx(0.01)


def test_names_of_classes_with_scores_reach_the_clip_evidence(tmp_path, monkeypatch):
    """It is fitted before the training."""
    fitted = []

    class Enough(Exception):
        pass

    def no_training(model: keras.Model, *_: object) -> None:
        fitted.append(model)
        raise Enough

    monkeypatch.setattr("avel_tf.training.fit.compile_model", no_training)
    recipe = replace(  # Clock is seen, but not heard
        stores.RECIPE,
        visual=replace(stores.RECIPE.visual, vocabulary="imagenet-1000", scores=(151, 409, 497)),
        audio=replace(stores.RECIPE.audio, vocabulary="audioset-527", scores=(75, 201, 405)),
    )
    records = [
        (name, Features(np.abs(made.visual), np.abs(made.audio), made.valid), events, targets)
        for name, made, events, targets in stores.records("train", 8)
    ]
    store = stores.write_store(tmp_path / "features", recipe, train=records)
    with pytest.raises(Enough):
        fit(store, tmp_path / "run", model_settings=stores.TINY, training=QUICK)
    layer = fitted[0].get_layer("clip_evidence")
    assert layer.score_widths == [3, 3]
    assert [stores.LABELS.names[each] for each in layer.names.classes] == ["Bark", "Church bell"]
    assert np.isfinite(np.asarray(layer.kernel)).all()
