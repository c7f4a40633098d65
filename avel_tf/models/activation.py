"""Activation of a model: softmax for one label per segment, sigmoid for several."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.layers.blocks import MultiLabelLogits


def is_multi_label(model: keras.Model) -> bool:
    """Return whether a model gives each class a probability of its own.

    Args:
        model: A model from `build` or `load_model`.

    Returns:
        True for the head `multi_label`, whose activation is a sigmoid; False for those whose
        activation is a softmax over the classes and background.
    """
    return any(isinstance(layer, MultiLabelLogits) for layer in model.layers)


def probabilities_from(logits: Any, *, multi_label: bool) -> Any:
    """Convert logits to probabilities.

    Args:
        logits: float `[..., C+1]`.
        multi_label: Result of `is_multi_label`.

    Returns:
        float `[..., C+1]`, background last; in a multi-label model the last column is the
        probability of no event.
    """
    return ops.sigmoid(logits) if multi_label else ops.softmax(logits)
