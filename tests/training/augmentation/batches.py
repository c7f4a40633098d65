"""Small batches for tests of augmentation."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from avel_tf.features.examples import Batch

CLASSES = 3
BACKGROUND = CLASSES


def random_batch(windows: int = 7, seconds: int = 5, *, seed: int = 0, full: bool = True) -> Batch:
    """Windows of noise and random classes, as distributions; seconds not valid hold NaN."""
    rng = np.random.default_rng(seed)
    valid = np.ones((windows, seconds), bool) if full else rng.random((windows, seconds)) < 0.7
    visual, audio = (
        np.where(valid[..., None], rng.normal(size=(windows, seconds, width)), np.nan)
        for width in (4, 2)
    )
    targets = rng.integers(CLASSES + 1, size=(windows, seconds))
    return Batch(
        tf.constant(visual, tf.float32),
        tf.constant(audio, tf.float32),
        tf.constant(valid),
        tf.one_hot(targets, CLASSES + 1),
    )


def key(number: int = 0) -> tf.Tensor:
    """A seed."""
    return tf.constant([number, 1], tf.int64)


def partners(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Index of the window that each row came from, [B]."""
    return np.array([int(np.argmin([np.abs(a - b).sum() for b in before])) for a in after])
