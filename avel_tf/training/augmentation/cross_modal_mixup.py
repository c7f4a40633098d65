"""Pictures of one window with the sound of another."""

from __future__ import annotations

import tensorflow as tf

from avel_tf.features.batch import Batch, shuffled


def cross_modal_mixup(
    batch: Batch, key: tf.Tensor, *, share: float, clip_labels: bool = False
) -> Batch:
    """Let some windows hear another one: what is seen there is not what is heard.

    An event is what is both heard and seen, so a second keeps what the targets of both windows have
    in common, and the rest of it is background. Where the labels name what a clip holds and not
    when, two clips of one class may or may not meet in a second: those keep their own sound.

    A target of background says that nothing is both heard and seen, not that nothing is heard:
    pictures of a dog that is silent beside the sound of one that is out of sight become a dog that
    is both, labelled as background. It takes two decoys of one class in one second.

    Args:
        batch: Windows with targets [B, T, C+1].
        key: int64 [2], the seed of partners and choice.
        share: Of the windows.
        clip_labels: Whether every second's target says what the clip holds (weak supervision).

    Returns:
        The windows; a second is valid where it is so in both.

    Reference:
        Pairs that do not belong together as examples of what is no event: Arandjelovic and
        Zisserman, Look, Listen and Learn, ICCV 2017 (https://arxiv.org/abs/1705.08168). Mixing with
        the target that the mixture has: Zhang et al. 2018 (https://arxiv.org/abs/1710.09412).
    """
    keys = tf.random.split(key, 2)
    partner = shuffled(batch, keys[0])
    chosen = tf.random.stateless_uniform([tf.shape(batch.valid)[0]], keys[1]) < share  # [B]
    events = tf.minimum(batch.targets, partner.targets)[..., :-1]  # [B, T, C]
    if clip_labels:
        chosen &= tf.reduce_all(events == 0, axis=(1, 2))  # [B]
    # The largest and not the sum: a second may have several labels.
    background = 1 - tf.reduce_max(events, axis=-1, keepdims=True)  # [B, T, 1]
    chosen = chosen[:, None, None]  # [B, 1, 1]
    return Batch(
        batch.visual,
        tf.where(chosen, partner.audio, batch.audio),
        batch.valid & (partner.valid | ~chosen[..., 0]),
        tf.where(chosen, tf.concat([events, background], axis=-1), batch.targets),
    )
