from __future__ import annotations

import keras
import numpy as np
import pytest

from avel_tf.models import (
    ModelSettings,
    build,
    calibrate_clip_evidence,
    fit_clip_evidence,
    load_model,
    training_outputs,
)
from avel_tf.models.layers import ClipEvidence
from avel_tf.models.layers.clip_evidence import FACTORS, PEAK_WEIGHTS, PENALTIES, _fit_ridge
from tests.models.conftest import CLASSES, random_inputs, small_model

VALID = np.ones((12, 5), bool)
VALID[0, 3:] = False
TARGETS = np.repeat(np.arange(12) % CLASSES, 5).reshape(12, 5)


def probabilities(logits: object) -> np.ndarray:
    return np.asarray(keras.ops.softmax(logits))


def evidence_of(model: keras.Model) -> ClipEvidence:
    return next(layer for layer in model.layers if isinstance(layer, ClipEvidence))


def fitted(name: str = "avel") -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A model whose clips have their class in the first visual features, and their inputs."""
    model, inputs = small_model(name), random_inputs(VALID)
    inputs["visual"][..., :CLASSES] += 40 * np.eye(CLASSES)[TARGETS]
    inputs["visual"][0, 3:] = np.nan
    fit_clip_evidence(model, inputs["visual"], inputs["audio"], VALID, TARGETS)
    return model, inputs


def test_unfitted_evidence_leaves_the_logits_as_they_are() -> None:
    model, inputs = small_model("avel"), random_inputs(VALID)
    network = training_outputs(model, ("logits",))(inputs)["logits"]
    np.testing.assert_allclose(model(inputs), network, atol=1e-5)


def test_evidence_names_the_class_of_an_untrained_network() -> None:
    model, inputs = fitted()
    named = np.asarray(model(inputs))[..., :-1].argmax(-1)
    assert (named == TARGETS)[VALID].all()


def test_peak_weight_0_keeps_the_probability_of_background() -> None:
    model, inputs = fitted()
    evidence_of(model).peak_weight.assign(0.0)
    outputs = training_outputs(model)(inputs)
    before, after = probabilities(outputs["logits"]), probabilities(outputs["output"])
    np.testing.assert_allclose(after[..., -1], before[..., -1], atol=1e-6)
    assert np.abs(after - before).max() > 0.1


def test_peak_weight_1_keeps_the_largest_class_logit() -> None:
    model, inputs = fitted()
    evidence_of(model).peak_weight.assign(1.0)
    outputs = training_outputs(model)(inputs)
    before, after = (np.asarray(outputs[name]) for name in ("logits", "output"))
    np.testing.assert_allclose(after[..., :-1].max(-1), before[..., :-1].max(-1), atol=1e-5)
    assert (before.argmax(-1) != after.argmax(-1)).any()


def test_validation_chooses_the_best_peak_weight() -> None:
    model, inputs = fitted()
    layer, accuracies = evidence_of(model), {}
    # Background just below the sum of the events, so that only some weights find it.
    logits = np.asarray(training_outputs(model)(inputs)["logits"])
    targets = np.where(logits.argmax(-1) == CLASSES, CLASSES, TARGETS)
    for weight in PEAK_WEIGHTS:
        layer.peak_weight.assign(weight)
        accuracies[weight] = (np.asarray(model(inputs)).argmax(-1) == targets)[VALID].mean()
    # Tensors, as training passes them.
    batches = [(inputs, keras.ops.convert_to_tensor(targets), VALID.astype("float32"))]
    assert calibrate_clip_evidence(model, batches)
    assert accuracies[float(layer.peak_weight)] == max(accuracies.values())
    assert not calibrate_clip_evidence(small_model("avel", clip_evidence=False), batches)


def test_evidence_without_signal_gets_the_factor_zero() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 4))
    shares = np.eye(3)[generator.permutation(np.arange(60) % 3)]
    informative = x + 3 * shares @ generator.normal(size=(3, 4))
    assert (
        np.abs(_fit_ridge(x, shares)[0]).max()
        < np.abs(_fit_ridge(informative, shares)[0]).max() / 3
    )


@pytest.mark.parametrize("width", [4, 40])
def test_leave_one_out_equals_fits_without_each_clip(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(1)
    shares = np.eye(3)[np.arange(15) % 3]
    x = generator.normal(size=(15, width)) + shares @ generator.normal(size=(3, width))
    wanted = shares - shares.mean(axis=0)
    unit = (x**2).sum(axis=1).mean()
    losses = {}
    for penalty in PENALTIES:
        left_out = np.empty((15, 3))
        for row in range(15):
            rest = np.delete(np.arange(15), row)
            gram = x[rest].T @ x[rest] + penalty * unit * np.eye(width)
            left_out[row] = x[row] @ np.linalg.solve(gram, x[rest].T @ wanted[rest])
        for factor in FACTORS:
            logs = factor * left_out
            logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
            losses[penalty, factor] = -(shares * logs).sum(axis=1).mean()
    penalty, factor = min(losses, key=losses.__getitem__)
    gram = x.T @ x + penalty * unit * np.eye(width)
    expected = factor * np.linalg.solve(gram, x.T @ wanted)
    np.testing.assert_allclose(_fit_ridge(x, shares)[0], expected, atol=1e-8)


def test_weight_of_the_network_grows_with_clips_per_class() -> None:
    weights = []
    for repeats in (1, 10):
        model, inputs = small_model("avel"), random_inputs(VALID)
        columns = (inputs["visual"], inputs["audio"], VALID, TARGETS)
        fit_clip_evidence(
            model, *(np.tile(each, (repeats, *[1] * (each.ndim - 1))) for each in columns)
        )
        weights.append(float(evidence_of(model).network_weight))
    np.testing.assert_allclose(weights, [4 / 14, 40 / 50], rtol=1e-6)


def test_shares_as_targets_equal_their_classes() -> None:
    inputs = random_inputs(VALID)
    kernels = []
    for targets in (TARGETS, np.eye(CLASSES + 1, dtype="float32")[TARGETS]):
        model = small_model("avel")
        fit_clip_evidence(model, inputs["visual"], inputs["audio"], VALID, targets)
        kernels.append(np.asarray(evidence_of(model).kernel))
    np.testing.assert_array_equal(*kernels)


def test_background_alone_fits_nothing() -> None:
    model, inputs = small_model("avel"), random_inputs(VALID)
    nothing = np.full_like(TARGETS, CLASSES)
    fit_clip_evidence(model, inputs["visual"], inputs["audio"], VALID, nothing)
    assert not np.asarray(evidence_of(model).kernel).any()


@pytest.mark.parametrize("name", ["audio_only", "visual_only"])
def test_unimodal_models_read_their_modality_alone(name: str) -> None:
    model, inputs = fitted(name)
    before = np.asarray(model(inputs))
    inputs["visual" if name == "audio_only" else "audio"] += 5
    np.testing.assert_array_equal(model(inputs), before)


def test_places_of_maps_are_averaged() -> None:
    inputs = random_inputs(VALID)
    maps, vectors = (
        small_model("avel", visual_places=3),
        build(
            ModelSettings("avel", width=8, heads=2, lstm_units=5),
            visual_width=4,
            audio_width=inputs["audio"].shape[-1],
            classes=CLASSES,
        ),
    )
    fit_clip_evidence(maps, inputs["visual"], inputs["audio"], VALID, TARGETS)
    mean = inputs["visual"].reshape(12, 5, 3, 4).mean(axis=2)
    fit_clip_evidence(vectors, mean, inputs["audio"], VALID, TARGETS)
    np.testing.assert_allclose(
        evidence_of(maps).kernel, evidence_of(vectors).kernel, rtol=1e-3, atol=1e-4
    )


def test_a_saved_model_keeps_its_evidence(tmp_path: object) -> None:
    model, inputs = fitted()
    model.save(f"{tmp_path}/model.keras")
    np.testing.assert_array_equal(load_model(f"{tmp_path}/model.keras")(inputs), model(inputs))


def test_other_heads_and_the_setting_false_have_no_evidence() -> None:
    for settings in ({"head": "factorised"}, {"head": "multi_label"}, {"clip_evidence": False}):
        model = small_model("avel", **settings)
        assert not any(isinstance(layer, ClipEvidence) for layer in model.layers)
