"""Keras layers and functional blocks for models of segments."""

from avel_tf.models import layers
from avel_tf.models.layers import *  # noqa: F403

__all__ = layers.__all__
