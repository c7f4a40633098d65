"""The log-mel in the graph against librosa's.

Two differences are known, and both lie in tensorflow's favour or in nobody's: tensorflow's window
of 400 stands at the start of the FFT's 512 samples and librosa's in the middle, so librosa gets 56
zeros in front; and tensorflow draws the mel triangles straight over mel, librosa over Hz, which
moves a band by up to 0.15 dB.
"""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from avel_tf.embeddings import log_mel as front_end

RATE = front_end.SAMPLE_RATE
TRIANGLE_DECIBELS = 0.15


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    hiss = 0.01 * rng.standard_normal(RATE)
    return {
        "hiss": hiss,
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time) + hiss,
        "sweep": 0.5 * np.sin(2 * np.pi * (80 + 3500 * time) * time) + hiss,
        "knock": np.where(np.abs(time - 0.5) < 0.005, 0.9, 0.0) + hiss,
    }


def librosa_log_mel(second: np.ndarray) -> np.ndarray:
    """[100, 64] decibels by librosa alone."""
    lead = (front_end.FFT - front_end.WINDOW) // 2
    padded = np.pad(second, (lead, front_end.FFT))  # the windows at the end see zeros
    magnitude = np.abs(
        librosa.stft(
            padded,
            n_fft=front_end.FFT,
            hop_length=front_end.HOP,
            win_length=front_end.WINDOW,
            window="hann",
            center=False,
        )
    )[:, :100]  # [257, 100]
    bands = librosa.filters.mel(
        sr=RATE,
        n_fft=front_end.FFT,
        n_mels=front_end.MEL_BANDS,
        fmin=front_end.MEL_LOW_HZ,
        fmax=front_end.MEL_HIGH_HZ,
        htk=True,
        norm=None,
    )
    power = (bands @ magnitude) ** 2
    return librosa.power_to_db(power, amin=front_end.SILENCE_POWER, top_db=None).T


@pytest.mark.parametrize("name", sounds())
def test_it_is_librosas(name):
    second = sounds()[name].astype("float32")
    ours = front_end.log_mel(second[None]).numpy()[0]
    reference = librosa_log_mel(second)
    assert ours.shape == reference.shape == (100, 64)
    # Between the side lobes of a pure tone a band's value hangs on its edges; the mean does not.
    assert np.abs(ours - reference).mean() < TRIANGLE_DECIBELS / 3
    assert np.quantile(np.abs(ours - reference), 0.99) < TRIANGLE_DECIBELS


def test_silence_is_the_floor():
    assert np.all(front_end.log_mel(np.zeros((1, RATE), "float32")).numpy() == -100.0)


def test_a_loud_neighbour_does_not_raise_the_floor():
    """`top_db` would cut a quiet second at the loud one's peak less 80 dB."""
    quiet = (1e-5 * sounds()["hiss"]).astype("float32")
    alone = front_end.log_mel(quiet[None]).numpy()[0]
    beside = front_end.log_mel(np.stack([np.ones(RATE, "float32"), quiet])).numpy()[1]
    np.testing.assert_array_equal(alone, beside)
