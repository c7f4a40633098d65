"""EfficientNet-Lite2 with ImageNet weights from the package registry.

`avel_tf/embeddings/built_in_weights.py` reads the weights.

Reference:
    Tan & Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks; and
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite for what the
    Lite variants change: no squeeze-and-excitation, ReLU6, and a stem and head that do not scale.
"""

from __future__ import annotations

import math

import keras
from keras import layers

from avel_tf.embeddings.built_in_weights import EFFICIENTNET_LITE2, efficientnet_lite2_weights

NAME = EFFICIENTNET_LITE2
# Input size, and the factors of width and depth, of Lite2.
SIZE = 260
WIDTH, DEPTH = 1.1, 1.2
STEM, HEAD, CLASSES = 32, 1280, 1000
# Table 1 of the paper: blocks, kernel, stride, expansion, channels of each stage of B0.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON = 1e-3  # of batch normalisation, in the code of the reference


def network() -> keras.Model:
    """The architecture, freshly initialised: 6.1 million parameters.

    Returns:
        Images float32 [N, 260, 260, 3] in [0, 1] to a dictionary: `maps` float32 [N, 9, 9, 1280],
        `features` float32 [N, 1280], their mean over the places, and `scores` float32 [N, 1000],
        probabilities of the ImageNet classes.
    """
    images = keras.Input([SIZE, SIZE, 3], name="images")
    # (x - 127) / 128 of pixels in [0, 255].
    x = layers.Rescaling(255 / 128, -127 / 128, name="normalization")(images)
    x = _normalized(_convolution(x, STEM, 3, "stem", stride=2), "stem")  # [N, 130, 130, 32]
    for stage, (blocks, kernel, stride, expansion, channels) in enumerate(STAGES):
        # The first and the last stage keep their depth in the Lite variants.
        scaled = blocks if stage in (0, len(STAGES) - 1) else math.ceil(blocks * DEPTH)
        for block in range(scaled):
            x = _inverted_residual(
                x,
                _rounded(channels * WIDTH),
                name=f"stage{stage + 1}_block{block + 1}",
                kernel=kernel,
                stride=stride if block == 0 else 1,
                expansion=expansion,
            )
    maps = _normalized(_convolution(x, HEAD, 1, "head"), "head")  # [N, 9, 9, 1280]
    features = layers.GlobalAveragePooling2D(name="features")(maps)  # [N, 1280]
    scores = layers.Dense(CLASSES, activation="softmax", name="scores")(features)  # [N, 1000]
    outputs = {"maps": maps, "features": features, "scores": scores}
    return keras.Model(images, outputs, name="efficientnet_lite2")


def pretrained() -> keras.Model:
    """The network with its ImageNet weights, as float32.

    Raises:
        WeightsUnavailableError: The package with the weights is not installed, or its file differs
            from the published one.
    """
    model = network()
    model.set_weights(efficientnet_lite2_weights())
    model.trainable = False
    return model


def backbone(*, maps: bool = False) -> keras.Model:
    """Images float32 [N, 260, 260, 3] in [0, 1] to features [N, 1280], or to maps [N, 9, 9, 1280].

    Raises:
        WeightsUnavailableError: As of `pretrained`.
    """
    model = pretrained()
    output = model.output["maps" if maps else "features"]
    backbone = keras.Model(model.input, output, name=model.name)
    backbone.trainable = False
    return backbone


def _rounded(channels: float) -> int:
    """Channels as a multiple of 8, at most a tenth below the number asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int, name: str, *, stride: int = 1
) -> keras.KerasTensor:
    return layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)


def _normalized(x: keras.KerasTensor, name: str, *, relu: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _inverted_residual(
    x: keras.KerasTensor, channels: int, *, name: str, kernel: int, stride: int, expansion: int
) -> keras.KerasTensor:
    """Expansion, depthwise convolution and projection; added to the input where shapes agree."""
    y = x
    if expansion > 1:
        y = _convolution(y, x.shape[-1] * expansion, 1, f"{name}_expand")
        y = _normalized(y, f"{name}_expand")
    y = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(y)
    y = _normalized(y, f"{name}_depthwise")
    y = _convolution(y, channels, 1, f"{name}_project")
    y = _normalized(y, f"{name}_project", relu=False)
    if stride == 1 and channels == x.shape[-1]:
        y = layers.Add(name=f"{name}_sum")([x, y])
    return y
