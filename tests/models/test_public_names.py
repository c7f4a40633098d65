"""`avel_tf.layers`, `avel_tf.losses` and `avel_tf.metrics` in a plain Keras model."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import avel_tf.layers
import avel_tf.losses
import avel_tf.metrics

CLASSES, WIDTH = 3, 8
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(6, 5, WIDTH)).astype("float32")
TARGETS = RNG.integers(0, CLASSES + 1, size=(6, 5))
VALID = np.ones((6, 5), "float32")
VALID[0, 3:] = 0


def inputs() -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    return (
        keras.Input((None, WIDTH), name="visual"),
        keras.Input((None, WIDTH), name="audio"),
        keras.Input((None,), dtype="bool", name="valid"),
    )


def plain_model() -> keras.Model:
    """A model of one's own that uses every layer."""
    visual, audio, valid = inputs()
    normalised = avel_tf.layers.FeatureNormalization()(visual)
    first, second = avel_tf.layers.PositiveSamplePropagation(WIDTH)(normalised, audio, valid)
    first = avel_tf.layers.attend(first, second, valid, "attention", heads=2)
    first, second = avel_tf.layers.suppress_background(first, second, normalised, audio)
    clip = avel_tf.layers.class_activation_logits(first, second, valid, CLASSES)
    segments = keras.layers.Concatenate()([first, second])
    segments = avel_tf.layers.temporal_encoder(segments, valid, 4)
    segments, _ = avel_tf.layers.BackgroundContrast()(segments)
    logits = keras.layers.Dense(CLASSES + 1)(segments)
    added = keras.layers.ZeroPadding1D((0, 1))(keras.layers.Reshape((CLASSES, 1))(clip))
    return keras.Model(
        [visual, audio, valid], logits + keras.layers.Reshape((1, CLASSES + 1))(added)
    )


@pytest.mark.slow
def test_a_plain_model_of_our_layers_is_fitted_and_loaded(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = plain_model()
    model.compile(
        keras.optimizers.Adam(0.01),
        avel_tf.losses.SegmentCrossEntropy(label_smoothing=0.1),
        weighted_metrics=[avel_tf.metrics.SegmentAccuracy(), avel_tf.metrics.ClipAccuracy()],
        jit_compile=False,
    )
    data = [FEATURES, FEATURES[::-1], VALID > 0]
    before = model.evaluate(data, TARGETS, sample_weight=VALID, verbose=0)[0]
    model.fit(data, TARGETS, sample_weight=VALID, epochs=30, verbose=0)
    assert model.evaluate(data, TARGETS, sample_weight=VALID, verbose=0)[0] < before
    model.save(tmp_path / "plain.keras")
    loaded = keras.saving.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))
    again = loaded.evaluate(data, TARGETS, sample_weight=VALID, verbose=0, return_dict=True)
    assert again == model.evaluate(data, TARGETS, sample_weight=VALID, verbose=0, return_dict=True)


SEGMENT_LOSSES = [
    avel_tf.losses.SegmentCrossEntropy(),
    pytest.param(avel_tf.losses.SegmentBinaryCrossEntropy(), marks=pytest.mark.slow),
    pytest.param(avel_tf.losses.MultipleInstanceCrossEntropy(CLASSES), marks=pytest.mark.slow),
    avel_tf.losses.MultipleInstanceBinaryCrossEntropy(CLASSES),
]
METRICS = [getattr(avel_tf.metrics, name) for name in avel_tf.metrics.__all__]


@pytest.mark.parametrize("loss", SEGMENT_LOSSES, ids=lambda loss: type(loss).__name__)
def test_every_segment_loss_compiles_with_every_metric(
    loss: keras.losses.Loss, tmp_path: Path
) -> None:
    model = keras.Sequential([keras.Input((None, WIDTH)), keras.layers.Dense(CLASSES + 1)])
    metrics = [metric() for metric in METRICS]
    model.compile("adam", loss, weighted_metrics=metrics, jit_compile=False)
    model.fit(FEATURES, TARGETS, sample_weight=VALID, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    data = {"x": FEATURES, "y": TARGETS, "sample_weight": VALID, "verbose": 0}
    assert loaded.evaluate(**data) == pytest.approx(model.evaluate(**data))


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_need_no_sample_weight(metric: type[keras.metrics.Metric]) -> None:
    targets = np.repeat(TARGETS[:, :1], 5, axis=1)
    perfect = 10.0 * np.eye(CLASSES + 1, dtype="float32")[targets] - 5.0
    one, other = metric(), metric.from_config(metric(name="mine").get_config())
    for each in (one, other):
        each.update_state(targets, perfect)
    assert float(one.result()) == float(other.result()) == 1.0 and other.name == "mine"


@pytest.mark.parametrize("name", avel_tf.losses.__all__)
def test_losses_are_made_anew_from_their_configuration(name: str) -> None:
    kind = getattr(avel_tf.losses, name)
    loss = kind() if name.startswith("Segment") else kind(CLASSES)
    assert kind.from_config(loss.get_config()).get_config() == loss.get_config()
