"""Augmentation that mixes windows with one another."""

from __future__ import annotations

import tensorflow as tf

from avel_tf.features.examples import Batch, shuffled


def mixup(batch: Batch, key: tf.Tensor, *, alpha: float) -> Batch:
    """Mix video, audio and target of each window with another window, by the same share.

    Features may be mixed before they are normalised, because normalisation is affine. A segment
    that the other window does not have is unchanged.

    Args:
        batch: Windows with targets [B, T, C+1].
        key: int64 [2], the seed of partners and shares.
        alpha: Each window's own share is drawn from Beta(alpha, alpha).

    Returns:
        The mixed windows; `valid` stays.

    Reference:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018
        (https://arxiv.org/abs/1710.09412).
    """
    keys = tf.random.split(key, 2)
    partner = shuffled(batch, keys[0])
    # Beta from two gammas. float64: at a small alpha both would be 0 in float32, and 0 / 0.
    gammas = tf.random.stateless_gamma(
        [2, tf.shape(batch.valid)[0], 1, 1], keys[1], alpha, dtype=tf.float64
    )
    own = tf.cast(gammas[0] / (gammas[0] + gammas[1]), tf.float32)  # [B, 1, 1]
    both = (batch.valid & partner.valid)[..., None]  # [B, T, 1]

    def mixed(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        return tf.where(both, own * one + (1 - own) * other, one)

    return Batch(
        mixed(batch.visual, partner.visual),
        mixed(batch.audio, partner.audio),
        batch.valid,
        mixed(batch.targets, partner.targets),
    )
