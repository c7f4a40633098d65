"""The head that gives a segment any number of labels."""

from __future__ import annotations

from typing import Any

from avel_tf.models.layers.blocks import MultiLabelLogits


def multi_label_head(segments: Any, classes: int) -> Any:
    """One sigmoid per class and segment, and one for "no event".

    The last column is learned like the others rather than computed from them: the product of the
    complements would assume that classes occur independently.

    Args:
        segments: float `[B, T, any width]`.
        classes: C, without background.

    Returns:
        Logits float32 `[B, T, C+1]`, "no event" last; their sigmoids do not sum to one.

    Reference:
        Cakir et al., Convolutional Recurrent Neural Networks for Polyphonic Sound Event Detection,
        2017 (https://arxiv.org/abs/1702.06286), for sigmoids per class and segment.
    """
    return MultiLabelLogits(classes + 1, dtype="float32", name="logits")(segments)  # [B, T, C+1]
