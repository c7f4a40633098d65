"""Augmentation that drops one modality of a window."""

from __future__ import annotations

import tensorflow as tf

from avel_tf.features.examples import Batch


def modality_dropout(
    batch: Batch, key: tf.Tensor, *, share: float, visual_mean: tf.Tensor, audio_mean: tf.Tensor
) -> Batch:
    """Replace the visual or the audio features of some windows by the mean of the training split.

    Normalisation maps the mean to 0, the value without information. Silence and black frames would
    be information. The target is unchanged, so the network learns to predict from one modality.

    Args:
        batch: The windows.
        key: int64 [2], the seed.
        share: Of the windows; half of them lose visual features, half audio features.
        visual_mean: [Dv], over the training split.
        audio_mean: [Da].

    Returns:
        The windows.

    Reference:
        Neverova et al., ModDrop: Adaptive Multi-Modal Gesture Recognition, PAMI 2016
        (https://arxiv.org/abs/1501.00102).
    """
    # One random number decides both, so no window loses both modalities.
    drawn = tf.random.stateless_uniform([tf.shape(batch.valid)[0], 1, 1], key)  # [B, 1, 1]
    blind, deaf = drawn < share / 2, (drawn >= share / 2) & (drawn < share)
    return batch._replace(
        visual=tf.where(blind, visual_mean, batch.visual),
        audio=tf.where(deaf, audio_mean, batch.audio),
    )
