"""Cross-entropy of class logits for a whole clip."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import ValidSecondsLoss, clip_distribution


@keras.saving.register_keras_serializable(package="avel_tf")
class ClipCrossEntropy(ValidSecondsLoss):
    """Cross-entropy between the events a clip holds and one row of logits per clip.

    Clips of background alone have no loss. Labels of clips suffice.

    Args:
        classes: C, without background.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and logits `[B, C]`.

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, train their class activation by it.
    """

    def __init__(self, classes: int, name: str = "clip_cross_entropy", **kwargs: Any) -> None:
        super().__init__(classes, name=name, **kwargs)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        events = clip_distribution(targets, valid)[:, :-1]  # [B, C]
        values = -ops.sum(events * ops.log_softmax(outputs, axis=-1), axis=-1)  # [B]
        # A clip that mixup made half of background weighs half.
        weights = ops.sum(events, axis=-1)  # [B]
        return ops.divide_no_nan(values, weights), weights
