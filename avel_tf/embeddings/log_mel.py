"""Log-mel spectrograms inside the TensorFlow graph."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import keras
import tensorflow as tf
from keras import layers

SAMPLE_RATE = 16_000
# 25 ms windows every 10 ms, the usual grid for sound events (Hershey et al. 2017, VGGish).
WINDOW = 400
HOP = 160
FFT = 512
MEL_BANDS = 64
MEL_LOW_HZ = 60.0
MEL_HIGH_HZ = 7_600.0
# Power of silence: -100 dB, below the noise floor of 16-bit audio.
SILENCE_POWER = 1e-10
FRAMES_PER_SECOND = SAMPLE_RATE // HOP


def log_mel(seconds: tf.Tensor) -> tf.Tensor:
    """Log-mel spectrogram of each second, by tensorflow-io's pure-TensorFlow front end.

    Args:
        seconds: float32 [N, 16000] mono in [-1, 1].

    Returns:
        float32 [N, 100, 64], decibels of mel-weighted magnitude; -100 is silence. A second's
        spectrogram depends on that second alone.

    Reference:
        https://www.tensorflow.org/io/api_docs/python/tfio/audio
    """
    audio = tfio_audio()
    magnitude = audio.spectrogram(seconds, nfft=FFT, window=WINDOW, stride=HOP)  # [N, 100, 257]
    mel = audio.melscale(
        magnitude, rate=SAMPLE_RATE, mels=MEL_BANDS, fmin=MEL_LOW_HZ, fmax=MEL_HIGH_HZ
    )  # [N, 100, 64]
    # top_db clips relative to the loudest value of the whole tensor, so one clip would change
    # another in its batch. A value beyond the range from silence to full scale disables it.
    decibels = audio.dbscale(mel, top_db=1000, amin=SILENCE_POWER)
    return tf.ensure_shape(decibels, [None, FRAMES_PER_SECOND, MEL_BANDS])


@functools.cache
def tfio_audio() -> Any:
    """`tensorflow_io.audio`, imported without its warnings.

    tensorflow-io warns that its native plugins do not load with this TensorFlow. They are not used:
    its audio functions are written in TensorFlow.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(unable to load|file system plugins)")
        import tensorflow_io as tfio
    return tfio.audio


@keras.saving.register_keras_serializable(package="avel_tf")
class LogMel(layers.Layer):
    """Keras layer from audio [N, 16000] to log-mel [N, 100, 64, 1], scaled to about [-1, 1]."""

    def call(self, seconds: keras.KerasTensor) -> keras.KerasTensor:
        decibels = log_mel(seconds)  # [N, 100, 64]
        # From -100 dB (silence) to 40 dB (full-scale tone in a 400-sample window).
        return ((decibels + 30.0) / 70.0)[..., None]  # [N, 100, 64, 1]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], FRAMES_PER_SECOND, MEL_BANDS, 1)
