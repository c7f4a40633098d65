"""Keras losses for training models of segments."""

from avel_tf.models import losses
from avel_tf.models.losses import *  # noqa: F403

__all__ = losses.__all__
