"""The spectrogram of the timeline picture; the rest is tested with what draws it."""

from __future__ import annotations

import librosa
import numpy as np
from matplotlib.figure import Figure

from avel_tf.reports.timeline_picture import _draw_sound
from avel_tf.video.clip import SAMPLE_RATE


def drawn(waveform: np.ndarray) -> np.ndarray:
    axis = Figure().subplots()
    _draw_sound(axis, waveform)
    return np.asarray(axis.images[0].get_array())


def test_the_spectrogram_is_librosas() -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype("float32")
    waveform[SAMPLE_RATE:] *= 1e-6  # below what is shown
    power = librosa.feature.melspectrogram(
        y=waveform, sr=SAMPLE_RATE, n_fft=512, hop_length=160, n_mels=64
    )
    expected = librosa.power_to_db(power, ref=np.max, top_db=70)
    found = drawn(waveform)
    # Both have a column every 10 ms; librosa has one more, at the end.
    np.testing.assert_allclose(found, expected[:, : found.shape[1]], atol=1e-2)


def test_silence_is_drawn() -> None:
    assert np.isfinite(drawn(np.zeros(SAMPLE_RATE, np.float32))).all()
