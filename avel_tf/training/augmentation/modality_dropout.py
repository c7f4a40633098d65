"""Windows that lose one of their senses."""

from __future__ import annotations

import tensorflow as tf

from avel_tf.features.batch import Batch


def modality_dropout(
    batch: Batch, key: tf.Tensor, *, share: float, visual_mean: tf.Tensor, audio_mean: tf.Tensor
) -> Batch:
    """Take all pictures or all sound from some windows, and never both.

    What is taken becomes the training split's mean, which normalisation makes 0: it says nothing,
    whereas silence and black pictures are something that one may hear and see. The target stays,
    for what happened is the same: the network learns how far the other sense alone can tell.

    Args:
        batch: The windows.
        key: int64 [2], the seed.
        share: Of the windows; half of them lose their pictures, half their sound.
        visual_mean: [Dv], over the training split.
        audio_mean: [Da].

    Returns:
        The windows.

    Reference:
        Neverova et al., ModDrop: Adaptive Multi-Modal Gesture Recognition, PAMI 2016
        (https://arxiv.org/abs/1501.00102).
    """
    # One number decides both, so they cannot meet.
    drawn = tf.random.stateless_uniform([tf.shape(batch.valid)[0], 1, 1], key)  # [B, 1, 1]
    blind, deaf = drawn < share / 2, (drawn >= share / 2) & (drawn < share)
    return batch._replace(
        visual=tf.where(blind, visual_mean, batch.visual),
        audio=tf.where(deaf, audio_mean, batch.audio),
    )
