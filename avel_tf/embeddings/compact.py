"""The project's own two small backbones.

They are **seeded and untrained**: convolutions with random weights, which is enough to tell simple
drawings and sounds apart and no substitute for ImageNet and AudioSet. Everything that shows their
name says so.
"""

from __future__ import annotations

import hashlib

import keras
import numpy as np
from keras import layers

from avel_tf.embeddings import log_mel as front_end

NAME = "compact (untrained)"
SEED = 0
VISUAL_SIZE = 128
STAGE_CHANNELS = (32, 64, 128, 256)
AUDIO_WIDTH_PER_STAGE = 64


@keras.saving.register_keras_serializable(package="avel_tf")
class LogMel(layers.Layer):
    """[N, 16000] sound to [N, 100, 64, 1] log-mel, scaled to about [-1, 1]."""

    def call(self, seconds: keras.KerasTensor) -> keras.KerasTensor:
        decibels = front_end.log_mel(seconds)  # [N, 100, 64]
        # From -100 dB (silence) to 40 dB (full-scale tone in a 400-sample window).
        return ((decibels + 30.0) / 70.0)[..., None]  # [N, 100, 64, 1]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], front_end.FRAMES_PER_SECOND, front_end.MEL_BANDS, 1)


def visual_backbone() -> keras.Model:
    """Pictures float32 [N, 128, 128, 3] in [0, 1] to vectors float32 [N, 480].

    Four strided 3x3 convolutions; the mean over the picture of every stage is kept, because the
    first stages of an untrained network tell more (colours, edges) than its last.
    """
    pictures = keras.Input([VISUAL_SIZE, VISUAL_SIZE, 3], name="pictures")
    x = layers.Rescaling(2.0, offset=-1.0)(pictures)
    levels = []
    for stage, channels in enumerate(STAGE_CHANNELS):
        x = _convolution(channels, f"visual_{stage}")(x)  # [N, H / 2, W / 2, channels]
        levels.append(layers.GlobalAveragePooling2D()(x))  # [N, channels]
    model = keras.Model(pictures, layers.Concatenate()(levels), name="compact_visual")
    return _with_seeded_weights(model)


def audio_backbone() -> keras.Model:
    """Seconds of sound float32 [N, 16000] to vectors float32 [N, 256].

    The same convolutions over the log-mel; the mean is taken over time alone, because where in
    the spectrum a sound lies tells what it is.
    """
    seconds = keras.Input([front_end.SAMPLE_RATE], name="seconds")
    x = LogMel(name="log_mel")(seconds)  # [N, 100, 64, 1]
    levels = []
    for stage, channels in enumerate(STAGE_CHANNELS):
        x = _convolution(channels, f"audio_{stage}")(x)
        bands = keras.ops.mean(x, axis=1)  # [N, bands, channels]
        project = layers.Dense(AUDIO_WIDTH_PER_STAGE, use_bias=False, name=f"audio_project_{stage}")
        levels.append(project(layers.Flatten()(bands)))  # [N, 64]
    model = keras.Model(seconds, layers.Concatenate()(levels), name="compact_audio")
    return _with_seeded_weights(model)


def sha256_of(model: keras.Model) -> str:
    """Hash of a backbone's weights, in the order of its layers."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, dtype="<f4").tobytes())
    return digest.hexdigest()


def _convolution(channels: int, name: str) -> layers.Layer:
    return layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu", name=name)


def _with_seeded_weights(model: keras.Model) -> keras.Model:
    """He's uniform initialisation (He et al. 2015), drawn by numpy.

    Keras' own initialisers go through the processor's logarithm and cosine; numpy's uniform
    numbers are exact, so the weights, and with them the hash that features are checked by, are
    the same bytes on every machine.
    """
    generator = np.random.default_rng(SEED)
    weights = []
    for weight in model.get_weights():
        if weight.ndim == 1:
            weights.append(np.zeros(weight.shape, np.float32))
            continue
        bound = np.sqrt(6.0 / np.prod(weight.shape[:-1]))
        uniform = generator.random(weight.shape, dtype=np.float32)
        weights.append((uniform * 2.0 - 1.0) * np.float32(bound))
    model.set_weights(weights)
    model.trainable = False
    return model
