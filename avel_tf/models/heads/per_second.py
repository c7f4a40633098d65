"""The head that decides every second by itself."""

from __future__ import annotations

from typing import Any

from keras import layers, ops


def per_second_head(seconds: Any, classes: int, evidence: Any = None) -> Any:
    """One softmax over C events and background per second; a clip may hold different events.

    Args:
        seconds: float `[B, T, any width]`.
        classes: C, without background.
        evidence: float32 `[B, C]`, added to the events' logits; nothing when left out.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.
    """
    logits = layers.Dense(classes + 1, dtype="float32", name="logits")(seconds)  # [B, T, C+1]
    if evidence is None:
        return logits
    evidence = ops.pad(evidence, [[0, 0], [0, 1]])  # [B, C+1], nothing for background
    return logits + ops.expand_dims(evidence, 1)  # [B, T, C+1]
