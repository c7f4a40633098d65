"""Event classification of a clip by each modality alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# Finite in float32, and its exponential exactly 0.
_NEVER = -1e9


@keras.saving.register_keras_serializable(package="avel_tf")
class ClassActivation(layers.Dense):
    """Class logits of segments from one modality: float `[..., D]` to float32 `[..., C]`.

    Args:
        units: C, the classes without background.
        **kwargs: as for `keras.layers.Dense`, without `dtype`.

    Example:
        >>> ClassActivation(28)(np.ones((2, 10, 8), "float32")).shape
        TensorShape([2, 10, 28])
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **{**kwargs, "dtype": "float32"})


def class_activation_logits(visual: Any, audio: Any, valid: Any, classes: int) -> Any:
    """Class logits of a clip, the mean of the predictions of both modalities.

    Args:
        visual: float `[B, T, D]`.
        audio: float `[B, T, D]`.
        valid: bool `[B, T]`.
        classes: C, without background.

    Returns:
        float32 `[B, C]`, to be trained with `ClipCrossEntropy`; zeros for a clip without a valid
        segment.

    Example:
        >>> stream, valid = keras.Input((None, 64)), keras.Input((None,), dtype="bool")
        >>> class_activation_logits(stream, stream, valid, classes=28).shape
        (None, 28)

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, event-level suppression.
    """
    by_visual = ClassActivation(classes, name="visual_class_activation")(visual)  # [B, T, C]
    by_audio = ClassActivation(classes, name="audio_class_activation")(audio)  # [B, T, C]
    return pool_class_activation(by_visual, by_audio, valid)


def pool_class_activation(visual: Any, audio: Any, valid: Any) -> Any:
    """Mean of two modalities' logits `[B, T, C]`, pooled over the valid segments to `[B, C]`.

    Log-mean-exp lies between mean and maximum. The authors' code averages the four highest of ten
    segments; log-mean-exp needs neither sorting nor a number that depends on T.
    """
    return (_pool(visual, valid) + _pool(audio, valid)) / 2  # [B, C]


def _pool(logits: Any, valid: Any) -> Any:
    present = ops.expand_dims(valid, -1)  # [B, T, 1]
    number = ops.sum(ops.cast(present, "float32"), axis=1)  # [B, 1]
    total = ops.logsumexp(ops.where(present, logits, _NEVER), axis=1)  # [B, C]
    return ops.where(number > 0, total - ops.log(ops.maximum(number, 1.0)), 0.0)  # [B, C]
