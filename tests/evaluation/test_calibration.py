"""Calibration error, and the temperature that lowers it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from avel_tf.evaluation.calibration import (
    BINS,
    HIGHEST,
    LOWEST,
    calibration,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    with_temperature,
)

temperatures = st.floats(LOWEST, HIGHEST)
seeds = st.integers(0, 1000)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def drawn(seed: int, seconds: int = 4000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes that were drawn by their probabilities: calibrated as they are."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(seconds, classes))
    chosen = softmax(logits).cumsum(-1) > generator.random((seconds, 1))
    return logits, chosen.argmax(-1)


@given(seeds, temperatures)
def test_a_temperature_divides_the_logits_and_changes_no_label(seed: int, by: float) -> None:
    logits, _ = drawn(seed, seconds=30)
    scaled = with_temperature(softmax(logits), by)
    np.testing.assert_allclose(scaled, softmax(logits / by), atol=1e-9)
    np.testing.assert_array_equal(scaled.argmax(-1), logits.argmax(-1))
    np.testing.assert_allclose(with_temperature(scaled, 1 / by), softmax(logits), atol=1e-6)


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_of_a_network_that_is_too_sure_is_found(true: float) -> None:
    logits, reference = drawn(seed=1, seconds=20_000)
    wrong = softmax(logits * true)
    assert fit_temperature(wrong, reference) == pytest.approx(true, rel=0.05)
    found = calibration(with_temperature(wrong, true), reference, temperature=true)
    assert found["ece"] < 0.015
    assert found["uncalibrated"]["ece"] == pytest.approx(
        reliability(wrong.max(-1), wrong.argmax(-1) == reference)["ece"], abs=1e-6
    )
    if true != 1.0:
        assert found["ece"] < found["uncalibrated"]["ece"]
        assert found["nll"] < found["uncalibrated"]["nll"]


@given(seeds)
def test_no_other_temperature_is_more_likely(seed: int) -> None:
    logits, reference = drawn(seed, seconds=50)
    probabilities = softmax(3 * logits)
    best = fit_temperature(probabilities, reference)
    least = negative_log_likelihood(with_temperature(probabilities, best), reference)
    for other in np.geomspace(LOWEST, HIGHEST, 25):
        loss = negative_log_likelihood(with_temperature(probabilities, other), reference)
        assert least <= loss + 1e-4
    assert least == pytest.approx(
        log_loss(reference, with_temperature(probabilities, best), labels=range(5)), abs=1e-6
    )


def test_temperatures_that_nothing_holds_stay_in_their_range() -> None:
    certain = softmax(np.array([[3.0, 0.0], [0.0, 3.0]]))
    assert fit_temperature(certain, np.array([0, 1])) == pytest.approx(LOWEST, rel=0.01)
    assert fit_temperature(certain, np.array([1, 0])) == pytest.approx(HIGHEST, rel=0.01)
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, int)) == 1.0


def test_a_perfectly_calibrated_score_has_no_error() -> None:
    confidence = np.repeat([0.25, 0.5, 0.75, 1.0], 4)
    right = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1], bool)
    assert reliability(confidence, right)["ece"] == 0.0
    assert reliability(confidence, ~right)["ece"] > 0.4


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_equal_to_a_loop_over_the_bins(rows: list) -> None:
    confidence = np.array([row[0] for row in rows])
    right = np.array([row[1] for row in rows], bool)
    found = reliability(confidence, right)
    if not rows:
        assert found["ece"] is None
        return
    total = 0.0
    for number, one in enumerate(found["bins"]):
        low, high = number / BINS, (number + 1) / BINS
        inside = (confidence * BINS >= number) & (
            (confidence * BINS < number + 1) | (number == BINS - 1)
        )
        assert (one["low"], one["high"], one["segments"]) == (low, high, inside.sum())
        if inside.any():
            assert one["confidence"] == pytest.approx(confidence[inside].mean())
            assert one["accuracy"] == right[inside].mean()
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
        else:
            assert one["confidence"] is one["accuracy"] is None
    assert found["ece"] == pytest.approx(total)
