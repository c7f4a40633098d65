"""Heads: encoded segments to logits, and the activation of these logits.

The heads `per_second` and `multi_label` are here; `factorised` has a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from avel_tf.models.heads.factorised import factorised_head
from avel_tf.models.layers.blocks import MultiLabelLogits
from avel_tf.models.settings import ModelSettings


def segment_logits(
    segments: Any,
    features: Sequence[Any],
    valid: Any,
    classes: int,
    settings: ModelSettings,
    class_activation_logits: Any = None,
) -> Any:
    """Apply the head of the settings.

    Args:
        segments: float `[B, T, any width]`.
        features: Normalised input features, float32 `[B, T, Dv or Da]` each.
        valid: bool `[B, T]`.
        classes: C, without background.
        settings: head, linear_path and dropout.
        class_activation_logits: float32 `[B, C]`, added to the logits of the C events.

    Returns:
        float32 `[B, T, C+1]` under every precision policy, background last.
    """
    if settings.head == "factorised":
        return factorised_head(
            segments, features, valid, classes, settings, class_activation_logits
        )
    if settings.head == "multi_label":
        return multi_label_head(segments, classes)
    return per_second_head(segments, classes, class_activation_logits)


def per_second_head(segments: Any, classes: int, class_activation_logits: Any = None) -> Any:
    """One softmax over C events and background per segment.

    A clip may have events of several classes.

    Args:
        segments: float `[B, T, any width]`.
        classes: C, without background.
        class_activation_logits: float32 `[B, C]`, added to the events' logits.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.
    """
    logits = layers.Dense(classes + 1, dtype="float32", name="logits")(segments)  # [B, T, C+1]
    if class_activation_logits is None:
        return logits
    added = ops.pad(class_activation_logits, [[0, 0], [0, 1]])  # [B, C+1], 0 for background
    return logits + ops.expand_dims(added, 1)  # [B, T, C+1]


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


def check_head(
    settings: ModelSettings,
    targets: np.ndarray,
    valid: np.ndarray,
    labels: Sequence[str] | None = None,
) -> None:
    """Refuse the factorised head, which predicts one event per clip, for clips with several.

    Args:
        settings: The model settings.
        targets: int `[N, T]`, segments of the training clips; background is C. Under weak
            supervision float `[N, T, C+1]`, the events of each clip.
        valid: bool `[N, T]`.
        labels: The C event classes, for the message. Without it C is the largest target.

    Raises:
        ValueError: If the head is `factorised` and some clips have several events.

    Example:
        >>> check_head(ModelSettings(head="factorised"), targets, valid, labels.names)
        ValueError: 12 of 40 training clips have events of several classes (…)
    """
    if settings.head != "factorised":
        return
    if targets.ndim == 3:
        segments = targets[..., :-1] > 0  # [N, T, C]
    else:
        classes = len(labels) if labels is not None else int(targets.max(initial=0))
        segments = targets[..., None] == np.arange(classes)  # [N, T, C]
    held = np.logical_or.reduce(segments & valid[..., None], axis=1)  # [N, C]
    several = np.flatnonzero(held.sum(axis=1) > 1)
    if len(several):
        events = np.flatnonzero(held[several[0]])[:2]
        names = [repr(labels[each]) if labels is not None else f"class {each}" for each in events]
        raise ValueError(
            f"{len(several)} of {len(targets)} training clips have events of several classes (the "
            f"first: {' and '.join(names)}), but model.head=factorised predicts one class per "
            "clip. Set model.head=per_second (one label per segment) or model.head=multi_label "
            "(any number)."
        )
