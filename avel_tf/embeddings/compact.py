"""Compact visual and audio backbones, trained by this project and included in the package.

Training data, accuracy and limits are in docs/design/backbones.md and `weights/model_card.md`. Both
are built of convolutions with batch normalisation and of residual blocks. The convolutions are
dense, because a processor trains them faster than separable ones with half the parameters.

Reference:
    He et al. 2016, Deep Residual Learning for Image Recognition (the blocks).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from avel_tf.embeddings.built_in_weights import FOLDER, packaged_weights
from avel_tf.embeddings.log_mel import SAMPLE_RATE, LogMel

# Momentum of batch normalisation. Keras' default, 0.99, needs hundreds of steps to adapt, and a
# short training has few.
MOMENTUM = 0.9


def convolution(
    x: keras.KerasTensor, channels: int, size: int, name: str, *, stride: int = 1, relu: bool = True
) -> keras.KerasTensor:
    """A convolution without bias, batch normalisation, and optionally a ReLU.

    Args:
        x: float [N, H, W, C].
        channels: Channels of the result.
        size: Height and width of the kernel.
        name: Prefix of the layers' names.
        stride: Stride of the convolution.
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
    """A residual block of two 3 x 3 convolutions.

    Args:
        x: float [N, H, W, C].
        name: Prefix of the layers' names.

    Returns:
        float [N, H, W, C].
    """
    channels = x.shape[-1]
    y = convolution(x, channels, 3, f"{name}_1")
    y = convolution(y, channels, 3, f"{name}_2", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, y]))


def residual_stages(x: keras.KerasTensor, stages: Sequence[tuple[int, int]]) -> keras.KerasTensor:
    """Stages of residual blocks, each of which begins with a convolution that halves the map.

    Args:
        x: float [N, H, W, C].
        stages: Channels and number of residual blocks of each stage.

    Returns:
        float [N, H / 2**S, W / 2**S, channels of the last of S stages].
    """
    for stage, (channels, blocks) in enumerate(stages, start=1):
        x = convolution(x, channels, 3, f"stage{stage}_down", stride=2)
        for block in range(1, blocks + 1):
            x = residual(x, f"stage{stage}_block{block}")
    return x


VISUAL_SIZE = 160
# The training images have 64 to 128 pixels, so the network uses 80 of the 160 pixels.
SHRINK = 2
VISUAL_STEM = 32
# Channels and residual blocks of each stage.
VISUAL_STAGES = ((64, 2), (128, 2), (256, 1))
VISUAL_CHANNELS = 384


def visual_network(*, maps: bool = False) -> keras.Model:
    """Visual backbone with random weights, 2.4 million parameters.

    ```
    [N,160,160,3] ─ mean 2x2 ─ 3x3/2 ─ (3x3/2, residual blocks) x 3 ─ 1x1 ─┬ mean ─┬─ [N,768]
                     80x80     40x40    20x20    10x10    5x5              └ max ──┘
    ```

    The mean represents the whole frame, the maximum small objects in it.

    Args:
        maps: Return the map before the mean and the maximum.

    Returns:
        Model from images float32 [N, 160, 160, 3] in [0, 1] to non-negative vectors float32 [N,
        768], or to non-negative maps float32 [N, 5, 5, 384].

    Example:
        >>> visual_network()(images).shape  # images float32 [10, 160, 160, 3]
        TensorShape([10, 768])
    """
    pictures = keras.Input([VISUAL_SIZE, VISUAL_SIZE, 3], name="pictures")
    small = layers.AveragePooling2D(SHRINK, name="shrink")(pictures)  # [N, 80, 80, 3]
    return keras.Model(pictures, visual_trunk(maps=maps)(small), name="compact_visual")


def visual_trunk(*, maps: bool = False) -> keras.Model:
    """Visual backbone after the resize: float32 [N, h, w, 3] of any size to [N, 768].

    Training uses images of 80 pixels, or fewer in its first phase. With `maps` the result is
    [N, h/16, w/16, 384].
    """
    pictures = keras.Input([None, None, 3], name="small_pictures")
    x = convolution(pictures, VISUAL_STEM, 3, "stem", stride=2)  # [N, h/2, w/2, 32]
    x = residual_stages(x, VISUAL_STAGES)  # [N, h/16, w/16, 256]
    x = convolution(x, VISUAL_CHANNELS, 1, "widen")  # [N, h/16, w/16, 384]
    if maps:
        x = layers.Activation("linear", dtype="float32", name="maps")(x)
        return keras.Model(pictures, x, name="compact_visual_trunk")
    vectors = layers.Concatenate(name="mean_and_max")(
        [
            layers.GlobalAveragePooling2D(name="mean")(x),
            layers.GlobalMaxPooling2D(name="max")(x),
        ]
    )  # [N, 768]
    vectors = layers.Activation("linear", dtype="float32", name="vectors")(vectors)
    return keras.Model(pictures, vectors, name="compact_visual_trunk")


AUDIO_WIDTH = 512
AUDIO_STEM = 16
# Channels and residual blocks of each stage.
AUDIO_STAGES = ((32, 1), (64, 2), (128, 1), (144, 1))


def audio_network() -> keras.Model:
    """Audio backbone with random weights, 1.2 million parameters.

    ```
    [N, 16000] ─ log-mel ─ 5x5/2 ─ (3x3/2, residual blocks) x 4 ─ 1x1 ─ mean ─ [N, 512]
                 100x64    50x32    25x16   13x8   7x4   4x2
    ```

    Returns:
        Model from seconds of audio float32 [N, 16000] in [-1, 1] to non-negative vectors float32
        [N, 512].

    Example:
        >>> audio_network()(seconds).shape  # seconds float32 [10, 16000]
        TensorShape([10, 512])
    """
    seconds = keras.Input([SAMPLE_RATE], name="seconds")
    # A spectrogram in bfloat16 would lose its quiet parts.
    x = LogMel(name="log_mel", dtype="float32")(seconds)  # [N, 100, 64, 1]
    x = convolution(x, AUDIO_STEM, 5, "stem", stride=2)  # [N, 50, 32, 16]
    x = residual_stages(x, AUDIO_STAGES)  # [N, 4, 2, 144]
    x = convolution(x, AUDIO_WIDTH, 1, "widen")  # [N, 4, 2, D]
    vectors = layers.GlobalAveragePooling2D(name="mean")(x)  # [N, D]
    vectors = layers.Activation("linear", dtype="float32", name="vectors")(vectors)
    return keras.Model(seconds, vectors, name="compact_audio")


NAME = "compact"


def visual_backbone(*, maps: bool = False) -> keras.Model:
    """Trained visual backbone: float32 [N, 160, 160, 3] to [N, 768], or to maps [N, 5, 5, 384].

    The vector consists of the mean and the maximum over the places of the map.
    """
    return _trained(visual_network(maps=maps), FOLDER / "visual.npz")


def audio_backbone() -> keras.Model:
    """Trained audio backbone: seconds of audio float32 [N, 16000] to float32 [N, 512]."""
    return _trained(audio_network(), FOLDER / "audio.npz")


def _trained(network: keras.Model, path: Path) -> keras.Model:
    """Load the weights of the package, which are stored as float16 and used as float32."""
    network.set_weights(packaged_weights(path))
    network.trainable = False
    return network
