"""Supervised contrastive loss between the events and the background of a clip."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import ValidSecondsLoss, event_share

# Of the authors' published training code; Khosla et al. (https://arxiv.org/abs/2004.11362) use 0.1.
TEMPERATURE = 0.01
# Far below every similarity / TEMPERATURE, and finite: its exponential is exactly 0.
_NEVER = -1e9


@keras.saving.register_keras_serializable(package="avel_tf")
class ContrastLoss(ValidSecondsLoss):
    """Supervised contrast between event and background within each clip.

    Each segment has two views, one with noise. Positives of an event segment are both views of all
    event segments of the clip. The only positive of a background segment is its other view, because
    background is everything but the event.

    Args:
        classes: C, without background.
        temperature: divisor of the similarities.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and unit vectors `[B, T, 2, D]`.

    Reference:
        He et al., CACE-Net: Co-guidance Attention and Contrastive Enhancement for Effective
        Audio-Visual Event Localization, ACM MM 2024 (https://arxiv.org/abs/2408.01952). They start
        it after an eighth of the epochs; here it runs from the first.
    """

    def __init__(
        self,
        classes: int,
        temperature: float = TEMPERATURE,
        name: str = "contrast",
        **kwargs: Any,
    ) -> None:
        super().__init__(classes, name=name, **kwargs)
        self.temperature = temperature

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        views = ops.concatenate([outputs[:, :, 0], outputs[:, :, 1]], axis=1)  # [B, 2T, D]
        alike = ops.matmul(views, ops.transpose(views, (0, 2, 1))) / self.temperature
        present = _twice(ops.cast(valid > 0, "float32"))  # [B, 2T]
        seconds = ops.shape(targets)[1]
        itself = ops.eye(2 * seconds)  # [2T, 2T]
        others = _pairs(present) * (1.0 - itself)  # [B, 2T, 2T]
        # The other view of the same segment.
        twin = ops.roll(itself, seconds, axis=1) * others  # [B, 2T, 2T]
        events = _pairs(_twice(event_share(targets))) * others  # [B, 2T, 2T]
        wanted = ops.maximum(twin, events)
        # The mean over positives is inside the logarithm, as in the paper.
        number = ops.maximum(ops.sum(wanted, axis=-1), 1.0)  # [B, 2T]
        values = _log_sum(alike, others) - _log_sum(alike, wanted) + ops.log(number)
        weights = _twice(valid)  # [B, 2T]
        return values * present, weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


def _twice(values: Any) -> Any:
    return ops.concatenate([values, values], axis=1)  # [B, 2T]


def _pairs(values: Any) -> Any:
    return ops.expand_dims(values, 2) * ops.expand_dims(values, 1)  # [B, 2T, 2T]


def _log_sum(logits: Any, weights: Any) -> Any:
    """log sum(weights * exp(logits)) over the last axis; finite where every weight is 0."""
    chosen = weights > 0
    log_weights = ops.log(ops.where(chosen, weights, 1.0))
    return ops.logsumexp(ops.where(chosen, logits + log_weights, _NEVER), axis=-1)  # [B, 2T]
