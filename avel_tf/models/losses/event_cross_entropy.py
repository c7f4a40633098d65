"""Binary cross-entropy between event and background."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import ValidSecondsLoss, event_share


@keras.saving.register_keras_serializable(package="avel_tf")
class EventCrossEntropy(ValidSecondsLoss):
    """Binary cross-entropy between event and background, averaged over the valid seconds.

    Args:
        classes: C, without background.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and logits `[B, T, 1]`.

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, train their gates by it.
    """

    def __init__(self, classes: int, name: str = "event_cross_entropy", **kwargs: Any) -> None:
        super().__init__(classes, name=name, **kwargs)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        logits = outputs[..., 0]  # [B, T]
        return ops.softplus(logits) - event_share(targets) * logits, valid
