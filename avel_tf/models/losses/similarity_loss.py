"""Loss on the similarity of audio and visual streams."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import ValidSecondsLoss, event_share


@keras.saving.register_keras_serializable(package="avel_tf")
class SimilarityLoss(ValidSecondsLoss):
    """Squared error between the similarity of both modalities and the presence of an event.

    The similarities of a clip, with negative ones set to 0, are divided by their sum, and so are
    its event segments. The paper compares these shares with a weight of 100 for clips of ten
    segments. Here shares are multiplied by the number of segments, which is the same for ten
    segments at weight 1 and does not decrease for longer clips. Clips without an event have no
    loss.

    Args:
        classes: C, without background.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and cosine similarities `[B, T]`.

    Reference:
        Zhou et al., Positive Sample Propagation along the Audio-Visual Event Line, CVPR 2021
        (https://arxiv.org/abs/2104.00239), the audio-visual pair similarity loss and its lambda.
    """

    def __init__(self, classes: int, name: str = "similarity", **kwargs: Any) -> None:
        super().__init__(classes, name=name, **kwargs)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        present = ops.cast(valid > 0, "float32")  # [B, T]
        events = event_share(targets) * present  # [B, T]
        even = ops.sum(present, axis=1, keepdims=True)  # [B, 1], valid segments of the clip
        alike = even * _shares(ops.relu(outputs) * present)  # [B, T]
        wanted = even * _shares(events)  # [B, T]
        has_event = ops.cast(ops.sum(events, axis=1, keepdims=True) > 0, "float32")  # [B, 1]
        return ops.square(alike - wanted), valid * has_event


def _shares(values: Any) -> Any:
    return ops.divide_no_nan(values, ops.sum(values, axis=1, keepdims=True))  # [B, T]
