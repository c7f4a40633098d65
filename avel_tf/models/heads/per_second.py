"""Head with one softmax per segment."""

from __future__ import annotations

from typing import Any

from keras import layers, ops


def per_second_head(seconds: Any, classes: int, class_activation_logits: Any = None) -> Any:
    """One softmax over C events and background per second; a clip may hold different events.

    Args:
        seconds: float `[B, T, any width]`.
        classes: C, without background.
        class_activation_logits: float32 `[B, C]`, added to the events' logits.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.
    """
    logits = layers.Dense(classes + 1, dtype="float32", name="logits")(seconds)  # [B, T, C+1]
    if class_activation_logits is None:
        return logits
    added = ops.pad(class_activation_logits, [[0, 0], [0, 1]])  # [B, C+1], 0 for background
    return logits + ops.expand_dims(added, 1)  # [B, T, C+1]
