"""Sounds against slower ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from avel_tf.synthesis.sounds import SAMPLE_RATE, harmonics, plucked_string


@pytest.mark.parametrize(("period", "length"), [(1, 50), (7, 7), (100, 1_234), (163, 22_400)])
def test_a_string_is_scipys_filter_of_its_pluck(period: int, length: int) -> None:
    pluck = np.random.default_rng(0).uniform(-1, 1, period)
    burst = np.zeros(length)
    burst[:period] = pluck
    feedback = np.zeros(period + 2)
    feedback[0], feedback[period:] = 1.0, -0.996 / 2
    expected = lfilter([1.0], feedback, burst)
    np.testing.assert_allclose(plucked_string(pluck, length, loss=0.996), expected, atol=1e-12)


def test_harmonics_are_sines_below_the_highest_frequency() -> None:
    frequency = np.linspace(300, 900, 20_000)
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    expected = sum(
        0.8 ** (number - 1) * np.sin(number * phase) * (number * frequency < 0.48 * SAMPLE_RATE)
        for number in range(1, 25)
    )
    np.testing.assert_allclose(harmonics(frequency, 24, tilt=0.8), expected, atol=1e-8)
