"""Heads: encoded segments to logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avel_tf.models.heads.factorised import factorised_head
from avel_tf.models.heads.multi_label import multi_label_head
from avel_tf.models.heads.per_second import per_second_head
from avel_tf.models.settings import ModelSettings

__all__ = ["factorised_head", "multi_label_head", "per_second_head", "segment_logits"]


def segment_logits(
    seconds: Any,
    features: Sequence[Any],
    valid: Any,
    classes: int,
    settings: ModelSettings,
    class_activation_logits: Any = None,
) -> Any:
    """Apply the head of the settings.

    Args:
        seconds: float `[B, T, any width]`.
        features: the normalised features that the network reads, float32 `[B, T, Dv or Da]` each.
        valid: bool `[B, T]`.
        classes: C, without background.
        settings: head, linear_path and dropout.
        class_activation_logits: float32 `[B, C]`, added to the logits of the C events.

    Returns:
        float32 `[B, T, C+1]` under every precision policy, background last.
    """
    if settings.head == "factorised":
        return factorised_head(seconds, features, valid, classes, settings, class_activation_logits)
    if settings.head == "multi_label":
        return multi_label_head(seconds, classes)
    return per_second_head(seconds, classes, class_activation_logits)
