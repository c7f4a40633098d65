"""How the logits of a head become probabilities."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="avel_tf")
class MultiLabelLogits(layers.Dense):
    """The last layer of a model in which each class has a probability of its own.

    A dense layer of C+1 units. Its type tells the losses, the metrics and the export that a sigmoid
    belongs behind it and not a softmax.
    """


def is_multi_label(model: keras.Model) -> bool:
    """Whether each class of a model has a probability of its own.

    Args:
        model: A model from `build_model` or `load_model`.

    Returns:
        True for the head `multi_label`, whose activation is a sigmoid; False for those whose
        activation is a softmax over the classes and background.
    """
    return any(isinstance(layer, MultiLabelLogits) for layer in model.layers)


def probabilities_from(logits: Any, *, multi_label: bool) -> Any:
    """Applies the activation that belongs to a head.

    Args:
        logits: float `[..., C+1]`.
        multi_label: as `is_multi_label` says.

    Returns:
        float `[..., C+1]`: background last; of several labels the probability of no event.
    """
    return ops.sigmoid(logits) if multi_label else ops.softmax(logits)
