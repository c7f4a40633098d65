"""Padding, damaged numbers and wrong shapes in what an exported model is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from avel_tf.embeddings.audio import SAMPLE_RATE
from avel_tf.engines.engine import LoadedGraphs
from avel_tf.export.loading import load_graphs
from avel_tf.export.manifest import SIGNATURES
from avel_tf.utils.lazy_imports import root_logger_restored
from tests.conftest import FRAMES_PER_SECOND

few = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LABELS = ("probabilities", "label_index", "score", "valid")


@pytest.fixture(scope="module")
def model(exported: Path):
    return tf.saved_model.load(str(exported))


def given_clips(seconds: int, batch: int = 1) -> dict[str, np.ndarray]:
    """Noise to see and to hear."""
    rng = np.random.default_rng(seconds)
    return {
        "frames": rng.integers(0, 256, (batch, seconds, FRAMES_PER_SECOND, 40, 40, 3), "uint8"),
        "waveform": rng.uniform(-0.5, 0.5, (batch, seconds * SAMPLE_RATE)).astype("float32"),
    }


def call(model, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    found = model.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
    return {name: tensor.numpy() for name, tensor in found.items()}


def assert_background(found: dict[str, np.ndarray], seconds: np.ndarray) -> None:
    """Those seconds, bool [B, T], are background and nothing else."""
    classes = found["probabilities"].shape[-1]
    np.testing.assert_array_equal(found["valid"], ~seconds)
    assert (found["label_index"][seconds] == classes - 1).all()
    assert (found["probabilities"][seconds] == np.eye(classes)[-1]).all()
    assert (found["score"][seconds] == 1.0).all()


@pytest.mark.slow
@few
@example(valid=[True] * 5 + [False] * 5)
@given(valid=st.lists(st.booleans(), min_size=1, max_size=6))
def test_padding_changes_nothing_wherever_it_is(model, valid):
    there = np.array([valid])
    padded = given_clips(there.shape[1])
    found = call(model, "serving_default_with_valid", **padded, valid=there)
    assert_background(found, ~there)
    if there.any():
        sound = padded["waveform"].reshape(1, -1, SAMPLE_RATE)
        bare = call(
            model,
            "serving_default",
            frames=padded["frames"][:, there[0]],
            waveform=sound[:, there[0]].reshape(1, -1),
        )
        np.testing.assert_allclose(
            found["probabilities"][:, there[0]], bare["probabilities"], atol=1e-5
        )


def test_a_clip_in_a_padded_batch_is_as_alone(model):
    """Five seconds beside ten: what `valid` is for."""
    both = given_clips(10, batch=2)
    valid = np.ones((2, 10), bool)
    valid[0, 5:] = False
    found = call(model, "serving_default_with_valid", **both, valid=valid)
    short = {"frames": both["frames"][:1, :5], "waveform": both["waveform"][:1, : 5 * SAMPLE_RATE]}
    alone = call(model, "serving_default", **short)
    np.testing.assert_allclose(found["probabilities"][:1, :5], alone["probabilities"], atol=1e-5)
    # Without `valid`, padding is a black picture in silence, and does take part.
    both["frames"][0, 5:], both["waveform"][0, 5 * SAMPLE_RATE :] = 0, 0.0
    without = call(model, "serving_default", **both)
    assert without["valid"].all()


def test_the_three_signatures_agree_on_what_is_valid(model):
    clips = given_clips(4)
    valid = np.array([[True, False, True, True]])
    labels = call(model, "serving_default_with_valid", **clips, valid=valid)
    features = call(model, "embed_with_valid", **clips, valid=valid)
    np.testing.assert_array_equal(features["valid"], valid)
    assert not features["visual"][~valid].any() and not features["audio"][~valid].any()
    # The features carry it on, and so does `valid` for features that were made without it.
    of_zeros = call(model, "from_features", visual=features["visual"], audio=features["audio"])
    whole = call(model, "embed", **clips)
    assert whole["valid"].all()
    of_valid = call(
        model,
        "from_features_with_valid",
        visual=whole["visual"],
        audio=whole["audio"],
        valid=valid,
    )
    for found in (of_zeros, of_valid):
        for name in LABELS:
            np.testing.assert_allclose(found[name], labels[name], atol=1e-5)


@few
@given(
    number=st.sampled_from([np.nan, np.inf, -np.inf]),
    place=st.integers(0, 4 * SAMPLE_RATE - 1),
    twin=st.booleans(),
)
def test_a_sample_that_is_no_number_costs_its_second(model, number, place, twin):
    clips = given_clips(4)
    clips["waveform"][0, place] = number
    broken = np.arange(4)[None] == place // SAMPLE_RATE
    more = {"valid": np.ones((1, 4), bool)} if twin else {}
    found = call(model, "serving_default" + "_with_valid" * twin, **clips, **more)
    assert_background(found, broken)
    clips["waveform"][0, place] = 0.0
    expected = call(model, "serving_default_with_valid", **clips, valid=~broken)
    np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])
    clips["waveform"][0, place] = number
    features = call(model, "embed" + "_with_valid" * twin, **clips, **more)
    assert np.isfinite(features["visual"]).all() and np.isfinite(features["audio"]).all()


@few
@given(number=st.sampled_from([np.nan, np.inf]), name=st.sampled_from(["visual", "audio"]))
def test_a_feature_that_is_no_number_costs_its_second(model, number, name):
    features = call(model, "embed", **given_clips(3))
    del features["valid"]
    features[name][0, 1, 0] = number
    found = call(model, "from_features", **features)
    assert_background(found, np.array([[False, True, False]]))
    assert all(np.isfinite(found[each]).all() for each in ("probabilities", "score"))


@pytest.mark.parametrize("largest", [1e16, 1e18, 3e38])
def test_a_power_beyond_float32_costs_its_second(model, largest):
    clips = given_clips(2)
    clips["waveform"][0, 5] = largest
    found = call(model, "serving_default", **clips)
    assert_background(found, np.array([[True, False]]))


@pytest.mark.parametrize(
    ("seconds", "samples", "batch"),
    [(10, 159_999, 1), (10, 160_001, 1), (4, 5 * 16_000, 1), (2, 32_000, 2)],
)
def test_a_waveform_of_another_length_is_named(model, extractor, seconds, samples, batch):
    frames = given_clips(seconds)["frames"]
    waveform = np.zeros((batch, samples), "float32")
    expected = (
        rf"`waveform` must hold 16000 samples for each second of `frames`.*"
        rf"\[1 {seconds}\] \[1 {seconds * 16_000}\] \[{batch} {samples}\]"
    )
    for signature in ("serving_default", "embed"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
            call(model, signature, frames=frames, waveform=waveform)
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        extractor(frames, waveform)


def test_a_waveform_alone_must_hold_whole_seconds(extractor):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`waveform` must hold.*15999"):
        extractor.audio(np.zeros(15_999, "float32"))


def test_a_mask_of_another_shape_is_named(model):
    clips = given_clips(3)
    features = call(model, "embed", **clips)
    del features["valid"]
    valid = np.ones((1, 4), bool)
    for signature, inputs, of in (
        ("serving_default_with_valid", clips, "frames"),
        ("embed_with_valid", clips, "frames"),
        ("from_features_with_valid", features, "visual"),
    ):
        expected = rf"`valid` must have one value per segment of `{of}`.*\[1 3\] \[1 4\]"
        with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
            call(model, signature, **inputs, valid=valid)
    features["audio"] = features["audio"][:, :2]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"same clips and segments.*\[1 3\] \[1 2\]"
    ):
        call(model, "from_features", **features)


def test_an_older_export_knows_absence_by_zeros(tmp_path):
    """Models of older versions have no signature with `valid`."""
    specs = [tf.TensorSpec([None, None, 3], name=name) for name in ("visual", "audio")]

    @tf.function(input_signature=specs)
    def from_features(visual: tf.Tensor, audio: tf.Tensor) -> dict[str, tf.Tensor]:
        both = tf.concat([visual, audio], -1)
        present = tf.reduce_any(both != 0.0, -1, keepdims=True)  # [B, T, 1]
        mean = tf.reduce_sum(both, 1) / tf.reduce_sum(tf.cast(present, tf.float32), 1)
        return {"probabilities": both + mean[:, None]}

    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path), signatures=dict.fromkeys(SIGNATURES, from_features))
    old: LoadedGraphs = load_graphs(tmp_path)
    visual, audio = np.random.default_rng(0).random((2, 1, 6, 3), "float32")
    valid = np.array([[1, 1, 1, 1, 0, 0]], bool)
    found = old.label(*map(tf.constant, (visual, audio, valid))).numpy()
    alone = from_features(visual[:, :4], audio[:, :4])["probabilities"]
    np.testing.assert_allclose(found[:, :4], alone, atol=1e-5)


def converted(model):
    with root_logger_restored():
        return openvino.convert_model(model)


@pytest.mark.slow
def test_openvino_takes_any_signature_of_frames_of_one_size(model, extractor):
    """The recipe of docs/design/engines.md: the folder itself cannot be converted."""
    size = extractor.recipe.visual.size
    signature = model.signatures["serving_default_with_valid"]

    def localize(frames: tf.Tensor, waveform: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        return signature(frames=frames, waveform=waveform, valid=valid)["probabilities"]

    specs = (
        tf.TensorSpec([1, 3, FRAMES_PER_SECOND, size, size, 3], tf.uint8),
        tf.TensorSpec([1, 3 * SAMPLE_RATE], tf.float32),
        tf.TensorSpec([1, 3], tf.bool),
    )
    function = tf.function(localize, autograph=False).get_concrete_function(*specs)
    compiled = openvino.Core().compile_model(
        converted(function), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    rng = np.random.default_rng(0)
    clips = given_clips(3)
    clips["frames"] = rng.integers(0, 256, specs[0].shape, "uint8")
    clips["waveform"][0, 0] = np.nan
    valid = np.array([[True, True, False]])
    found = compiled([clips["frames"], clips["waveform"], valid])[0]
    expected = call(model, "serving_default_with_valid", **clips, valid=valid)
    np.testing.assert_allclose(found, expected["probabilities"], atol=1e-3)
    np.testing.assert_array_equal(found[0, [0, 2]], np.eye(found.shape[-1])[[-1, -1]])


@pytest.mark.slow
def test_openvino_takes_the_signatures_of_features_as_they_are(model):
    features = call(model, "embed", **given_clips(3))
    del features["valid"]
    compiled = openvino.Core().compile_model(
        converted(model.signatures["from_features"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = {each.get_any_name(): value for each, value in compiled(features).items()}
    expected = call(model, "from_features", **features)
    assert set(found) == set(expected) == set(LABELS)
    for name in LABELS:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


@pytest.mark.slow
def test_openvino_does_not_take_the_folder(exported):
    """Should a later OpenVINO take it, docs/design/engines.md is to say so."""
    with pytest.raises(Exception, match="ScaleAndTranslate"):
        converted(str(exported))
