"""Noise on features."""

from __future__ import annotations

import math

import tensorflow as tf

from avel_tf.features.examples import Batch

# A uniform number from -w to w has the standard deviation w / sqrt(3).
_WIDTH = math.sqrt(3)


def feature_noise(
    batch: Batch,
    key: tf.Tensor,
    *,
    strength: float,
    visual_deviation: tf.Tensor,
    audio_deviation: tf.Tensor,
) -> Batch:
    """Add noise in proportion to the standard deviation of each feature.

    The noise is uniform. To second order its effect depends on its variance alone (Bishop), and
    Gaussian numbers take three times as long to draw (docs/guide/training.md).

    Args:
        batch: The windows.
        key: int64 [2], the seed.
        strength: Standard deviation of the noise, in those of the features.
        visual_deviation: [Dv], over the training split.
        audio_deviation: [Da].

    Returns:
        The windows.

    Reference:
        Bishop, Training with Noise is Equivalent to Tikhonov Regularization, Neural Computation
        1995 (https://doi.org/10.1162/neco.1995.7.1.108).
    """
    keys = tf.random.split(key, 2)

    def noisy(features: tf.Tensor, deviation: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_uniform(tf.shape(features), key, -_WIDTH, _WIDTH)
        return features + noise * (strength * deviation)

    return batch._replace(
        visual=noisy(batch.visual, visual_deviation, keys[0]),
        audio=noisy(batch.audio, audio_deviation, keys[1]),
    )
