"""The log-mel front end as a Keras layer."""

from __future__ import annotations

import keras
from keras import layers

from avel_tf.embeddings import log_mel as front_end


@keras.saving.register_keras_serializable(package="avel_tf")
class LogMel(layers.Layer):
    """[N, 16000] sound to [N, 100, 64, 1] log-mel, scaled to about [-1, 1]."""

    def call(self, seconds: keras.KerasTensor) -> keras.KerasTensor:
        decibels = front_end.log_mel(seconds)  # [N, 100, 64]
        # From -100 dB (silence) to 40 dB (full-scale tone in a 400-sample window).
        return ((decibels + 30.0) / 70.0)[..., None]  # [N, 100, 64, 1]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], front_end.FRAMES_PER_SECOND, front_end.MEL_BANDS, 1)
