from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, log_expit, log_softmax, softmax

from avel_tf.models.heads.factorised import product_logits, relevance_weights
from tests.models.conftest import AUDIO_WIDTH, CLASSES, normalised, random_inputs, small_model

HOLES = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
relevances = hnp.arrays("float32", (3, 4, 1), elements=st.floats(-80, 80, width=32))
quick = settings(max_examples=20, deadline=None, derandomize=True)


@quick
@given(
    relevance=relevances,
    logits=hnp.arrays("float32", (3, 5), elements=st.floats(-50, 50, width=32)),
)
def test_is_the_product_of_event_and_class(relevance: np.ndarray, logits: np.ndarray) -> None:
    found = np.asarray(product_logits(relevance, logits))
    assert np.isfinite(found).all()
    event = expit(relevance.astype(float))  # [B, T, 1]
    expected = np.concatenate([event * softmax(logits.astype(float))[:, None], 1 - event], -1)
    expected[..., :-1] = event * softmax(logits.astype(float), axis=-1)[:, None]
    np.testing.assert_allclose(np.exp(found.astype(float)), expected, atol=1e-6)
    # A softmax of what is already a distribution's logarithm changes nothing.
    np.testing.assert_allclose(softmax(found, axis=-1), expected, atol=1e-5)
    logs = log_expit(relevance.astype(float)) + log_softmax(logits.astype(float), axis=-1)[:, None]
    np.testing.assert_allclose(found[..., :-1], logs, rtol=1e-5, atol=1e-5)


@quick
@given(relevance=relevances)
def test_weights_are_relevance_over_its_sum(relevance: np.ndarray) -> None:
    found = np.asarray(relevance_weights(relevance, HOLES))[..., 0]
    shares = expit(relevance[..., 0].astype(float)) * HOLES
    expected = shares / np.maximum(shares.sum(1, keepdims=True), 1e-300)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[~HOLES] == 0).all()


def test_a_clip_has_one_class() -> None:
    """Whatever the second, its events stand in the same proportion."""
    model = normalised(small_model("avel", head="factorised"))
    events = np.asarray(model(random_inputs(HOLES[:1])))[0, :, :-1]
    np.testing.assert_allclose(
        log_softmax(events, axis=-1), np.tile(log_softmax(events[:1], axis=-1), (4, 1)), atol=1e-5
    )
    assert np.ptp(events, axis=0).min() > 1e-6  # but not the same probability


def test_linear_path_is_a_regression_on_mean_features() -> None:
    model = normalised(small_model("audio_only", head="factorised"))
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(AUDIO_WIDTH, CLASSES)).astype("float32")
    bias = rng.normal(size=CLASSES).astype("float32")
    model.get_layer("linear_path").set_weights([kernel, bias])
    for name in ("clip_class", "event_relevance"):
        layer = model.get_layer(name)
        layer.set_weights([0 * each for each in layer.get_weights()])
    inputs = random_inputs(HOLES)
    mean, variance = model.get_layer("audio_normalization").get_weights()
    for clip in (0, 1):
        features = ((inputs["audio"][clip][HOLES[clip]] - mean) / np.sqrt(variance)).mean(0)  # [Da]
        expected = log_softmax(features / AUDIO_WIDTH**0.5 @ kernel + bias)
        found = np.asarray(model(inputs))[clip, 0, :-1] - np.log(0.5)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_linear_path_begins_at_nothing_and_can_be_left_out() -> None:
    kernel, bias = small_model("avel", head="factorised").get_layer("linear_path").get_weights()
    assert not kernel.any() and not bias.any()
    without = small_model("avel", head="factorised", linear_path=False)
    with pytest.raises(ValueError, match="linear_path"):
        without.get_layer("linear_path")
