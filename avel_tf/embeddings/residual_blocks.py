"""Normalised convolutions and residual blocks of both compact networks."""

from __future__ import annotations

import keras
from keras import layers

# Keras' 0.99 lags behind by hundreds of steps and more; a short training has few.
MOMENTUM = 0.9


def convolution(
    x: keras.KerasTensor, channels: int, size: int, name: str, *, stride: int = 1, relu: bool = True
) -> keras.KerasTensor:
    """A convolution without bias, batch normalisation, and a ReLU where it is wanted.

    Args:
        x: float [N, H, W, C].
        channels: Channels of the outcome.
        size: Height and width of the kernel.
        name: What the layers' names begin with.
        stride: By how much height and width shrink.
        relu: Whether a ReLU follows.

    Returns:
        float [N, H / stride, W / stride, channels].
    """
    x = layers.Conv2D(
        channels, size, strides=stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def residual(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Two 3 x 3 convolutions added to what they read; shapes stay.

    Args:
        x: float [N, H, W, C].
        name: What the layers' names begin with.

    Returns:
        float [N, H, W, C].

    Reference:
        He et al. 2016, Deep Residual Learning for Image Recognition.
    """
    channels = x.shape[-1]
    y = convolution(x, channels, 3, f"{name}_1")
    y = convolution(y, channels, 3, f"{name}_2", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, y]))
