"""Batch type of the augmentations."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """B windows of T seconds.

    Attributes:
        visual: float32 [B, T, Dv]; anything, even NaN, at seconds that are not valid.
        audio: float32 [B, T, Da].
        valid: bool [B, T].
        targets: int64 [B, T], background is C; or float32 [B, T, C+1], a distribution
            a second, or, of several labels, as `Examples` has them.
    """

    visual: tf.Tensor
    audio: tf.Tensor
    valid: tf.Tensor
    targets: tf.Tensor


def shuffled(batch: Batch, key: tf.Tensor) -> Batch:
    """The same windows in another order: a partner for each window of the batch.

    Zhang et al. 2018 found partners out of the same batch as good as those of a second one.

    Args:
        batch: The windows.
        key: int64 [2], the seed of the order.
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(batch.valid)[0]), seed=key)
    return Batch(*(tf.gather(column, order) for column in batch))
