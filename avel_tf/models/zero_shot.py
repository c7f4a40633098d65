"""Zero-shot localizer: classes that both backbones name, without training."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import Recipe
from avel_tf.models.layers.class_evidence import (
    ClassEvidence,
    GeometricMeanLogits,
    ValidMovingMean,
)

NAME = "zero_shot"
# Measured on real clips: docs/guide/classes.md.
FLOOR = 0.05
THRESHOLD = 0.15
SMOOTHING_SEGMENTS = 3


def build_zero_shot(
    recipe: Recipe,
    columns: ClassColumns,
    *,
    thresholds: Sequence[float] | None = None,
    floor: float = FLOOR,
    smoothing_segments: int = SMOOTHING_SEGMENTS,
) -> keras.Model:
    """Build a localizer from the class scores of two backbones. It has no weights.

        visual [B,T,Dv]                  audio [B,T,Da]
             |                                |
        sum of each class's columns,     maximum of each class's columns     [B,T,C]
        above chance                          |
             |                                |
        mean of 3 segments               mean of 3 segments                  [B,T,C]
             '--------- geometric mean -------'                              [B,T,C]
                              |
                  log(evidence / threshold), and 0 for background            [B,T,C+1]

    Args:
        recipe: Recipe of the features.
        columns: Columns of the C classes in them.
        thresholds: Smallest evidence of each class, [C]; 0.15 each when None.
        floor: Smallest score of each modality.
        smoothing_segments: Length of the moving mean, odd.

    Returns:
        A functional model: `{"visual": float32 [B, T, Dv], "audio": float32 [B, T, Da], "valid":
        bool [B, T]}` to logits float32 [B, T, C+1], background last.
    """
    inputs = {
        "visual": keras.Input((None, recipe.visual.width), name="visual"),  # [B, T, Dv]
        "audio": keras.Input((None, recipe.audio.width), name="audio"),  # [B, T, Da]
        "valid": keras.Input((None,), dtype="bool", name="valid"),  # [B, T]
    }
    means = []
    for modality, reduction, of_classes, chance in (
        ("visual", "sum", columns.visual, columns.chance),
        ("audio", "max", columns.audio, None),
    ):
        evidence = ClassEvidence(of_classes, reduction, chance, name=f"{modality}_evidence")
        mean = ValidMovingMean(smoothing_segments, name=f"{modality}_mean")
        means.append(mean(evidence(inputs[modality]), inputs["valid"]))  # [B, T, C]
    if thresholds is None:
        thresholds = [THRESHOLD] * len(columns.visual)
    logits = GeometricMeanLogits(floor, thresholds, name="geometric_mean")(*means)
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)  # [B, T, C+1]
    return keras.Model(inputs, logits, name=NAME)
