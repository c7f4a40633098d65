"""The project's own two small backbones.

They are **seeded and untrained**: one convolution each, with random weights, which is enough to
tell simple drawings and sounds apart and no substitute for ImageNet and AudioSet. Everything that
shows their name says so.
"""

from __future__ import annotations

import hashlib

import keras
import numpy as np
from keras import layers

from avel_tf.embeddings import log_mel as front_end
from avel_tf.embeddings.log_mel_layer import LogMel

NAME = "compact (untrained)"
SEED = 0
VISUAL_SIZE = 128
# One wide layer of random templates, and how strongly and how often each is met. More layers of
# random weights tell less, not more: docs/embeddings.md has the measurement.
VISUAL_TEMPLATES = 512
VISUAL_TEMPLATE_SIZE = 7
AUDIO_TEMPLATES = 64
AUDIO_TEMPLATE_SIZE = 9
# Steps over the log-mel in frames and bands; 64 bands become four ranges of pitch.
AUDIO_STRIDES = (4, 16)


def visual_backbone() -> keras.Model:
    """Pictures float32 [N, 128, 128, 3] in [0, 1] to vectors float32 [N, 1024].

    The maximum over the picture finds an object wherever it is and however small; the mean says
    what the rest looks like.
    """
    pictures = keras.Input([VISUAL_SIZE, VISUAL_SIZE, 3], name="pictures")
    x = layers.Rescaling(2.0, offset=-1.0)(pictures)
    x = layers.Conv2D(
        VISUAL_TEMPLATES, VISUAL_TEMPLATE_SIZE, strides=2, padding="same", activation="relu"
    )(x)  # [N, H, W, 512]
    vectors = layers.Concatenate()(
        [layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)]
    )  # [N, 1024]
    return _with_seeded_weights(keras.Model(pictures, vectors, name="compact_visual"))


def audio_backbone() -> keras.Model:
    """Seconds of sound float32 [N, 16000] to vectors float32 [N, 512].

    Maximum and mean are taken over time alone, because where in the spectrum a sound lies tells
    what it is.
    """
    seconds = keras.Input([front_end.SAMPLE_RATE], name="seconds")
    x = LogMel(name="log_mel")(seconds)  # [N, 100, 64, 1]
    x = layers.Conv2D(
        AUDIO_TEMPLATES,
        AUDIO_TEMPLATE_SIZE,
        strides=AUDIO_STRIDES,
        padding="same",
        activation="relu",
    )(x)  # [N, 25, 4, 64]
    pooled = layers.Concatenate()(
        [keras.ops.max(x, axis=1), keras.ops.mean(x, axis=1)]
    )  # [N, 4, 128]
    vectors = layers.Flatten()(pooled)  # [N, 512]
    return _with_seeded_weights(keras.Model(seconds, vectors, name="compact_audio"))


def sha256_of(model: keras.Model) -> str:
    """Hash of a backbone's weights, in the order of its layers."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, dtype="<f4").tobytes())
    return digest.hexdigest()


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
