"""Background suppression per segment."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# alpha of the authors' published configuration for full supervision.
STRENGTH = 0.1


@keras.saving.register_keras_serializable(package="avel_tf")
class EventGate(layers.Dense):
    """Logit of a segment being an event: float `[..., D]` to float32 `[..., 1]`.

    Args:
        **kwargs: as for `keras.layers.Dense`, without `units` and `dtype`.

    Example:
        >>> EventGate()(np.ones((2, 10, 8), "float32")).shape
        TensorShape([2, 10, 1])
    """

    def __init__(self, **kwargs: Any) -> None:
        # float32, because the gate has a loss of its own.
        super().__init__(**{**kwargs, "units": 1, "dtype": "float32"})


def suppress_background(
    visual_attended: Any, audio_attended: Any, visual: Any, audio: Any, strength: float = STRENGTH
) -> tuple[Any, Any]:
    """Scale each modality by the event probability that the other modality predicts.

    Each modality predicts from its own features whether a segment is an event. The stream of the
    other modality is multiplied by 1 + strength * probability.

    Args:
        visual_attended: float `[B, T, D]`, visual stream after cross-modal attention.
        audio_attended: float `[B, T, D]`, audio stream after cross-modal attention.
        visual: float `[B, T, D]`, visual stream before it.
        audio: float `[B, T, D]`, audio stream before it.
        strength: largest relative gain.

    Returns:
        The two scaled streams, float `[B, T, D]` each.

    Example:
        >>> stream = keras.Input((None, 64))
        >>> visual, audio = suppress_background(stream, stream, stream, stream)

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, time-level suppression.
    """
    by_audio = EventGate(name="audio_gate")(audio)  # [B, T, 1]
    by_visual = EventGate(name="visual_gate")(visual)  # [B, T, 1]
    return _scale(visual_attended, by_audio, strength), _scale(audio_attended, by_visual, strength)


def joint_gate_logits(audio: Any, visual: Any) -> Any:
    """Logit of both gates being open, to be trained with `EventCrossEntropy`.

    Args:
        audio: logits of the audio gate, float32 `[B, T, 1]`.
        visual: logits of the visual gate, float32 `[B, T, 1]`.

    Returns:
        float32 `[B, T, 1]`, the logit of the product of the two probabilities.
    """
    # p / (1 - p) for p = sigmoid(a) sigmoid(v) is 1 / (exp(-a) + exp(-v) + exp(-a - v)).
    audio, visual = -audio, -visual
    terms = ops.concatenate([audio, visual, audio + visual], axis=-1)  # [B, T, 3]
    return -ops.logsumexp(terms, axis=-1, keepdims=True)  # [B, T, 1]


def _scale(stream: Any, gate: Any, strength: float) -> Any:
    return stream * ops.cast(1.0 + strength * ops.sigmoid(gate), stream.dtype)  # [B, T, D]
