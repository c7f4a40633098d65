"""Augmentation that combines the video of one window with the audio of another."""

from __future__ import annotations

import tensorflow as tf

from avel_tf.features.examples import Batch, shuffled


def cross_modal_mixup(
    batch: Batch, key: tf.Tensor, *, share: float, clip_labels: bool = False
) -> Batch:
    """Replace the audio of some windows by that of another window of the batch.

    An event is both audible and visible, so the new target of a segment is the intersection of both
    targets, and the rest is background. Under weak supervision it is unknown whether the events of
    two clips of one class overlap in time, so such clips keep their own audio.

    The target is wrong in one case: a silent visible dog combined with an audible invisible dog is
    an event, but the target is background. This takes two decoys of one class in one segment.

    Args:
        batch: Windows with targets [B, T, C+1].
        key: int64 [2], the seed of partners and choice.
        share: Of the windows.
        clip_labels: Targets name the events of a clip without times (weak supervision).

    Returns:
        The windows; a segment is valid if it is valid in both.

    Reference:
        Mismatched pairs as negative examples: Arandjelovic and
        Zisserman, Look, Listen and Learn, ICCV 2017 (https://arxiv.org/abs/1705.08168). Mixing with
        the target that the mixture has: Zhang et al. 2018 (https://arxiv.org/abs/1710.09412).
    """
    keys = tf.random.split(key, 2)
    partner = shuffled(batch, keys[0])
    chosen = tf.random.stateless_uniform([tf.shape(batch.valid)[0]], keys[1]) < share  # [B]
    events = tf.minimum(batch.targets, partner.targets)[..., :-1]  # [B, T, C]
    if clip_labels:
        chosen &= tf.reduce_all(events == 0, axis=(1, 2))  # [B]
    # The maximum and not the sum, because a segment may have several labels.
    background = 1 - tf.reduce_max(events, axis=-1, keepdims=True)  # [B, T, 1]
    chosen = chosen[:, None, None]  # [B, 1, 1]
    return Batch(
        batch.visual,
        tf.where(chosen, partner.audio, batch.audio),
        batch.valid & (partner.valid | ~chosen[..., 0]),
        tf.where(chosen, tf.concat([events, background], axis=-1), batch.targets),
    )
