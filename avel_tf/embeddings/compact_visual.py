"""The network of the project's own visual backbone, without its weights."""

from __future__ import annotations

import keras
from keras import layers

from avel_tf.embeddings.residual_blocks import convolution, residual

SIZE = 160
# The pictures it learned from are 64 to 128 pixels: what 160 pixels hold beyond 80 it never saw.
SHRINK = 2
STEM_CHANNELS = 32
# Channels and residual blocks of each stage. Dense convolutions, because a processor trains them
# faster than separable ones with half the parameters (docs/design/backbones.md).
STAGES = ((64, 2), (128, 2), (256, 1))
POOLED = 384


def visual_network(*, maps: bool = False) -> keras.Model:
    """The visual backbone's architecture, freshly initialised: 2.4 million parameters.

    ```
    [N,160,160,3] ─ mean 2x2 ─ 3x3/2 ─ (3x3/2, residual blocks) x 3 ─ 1x1 ─┬ mean ─┬─ [N,768]
                     80x80     40x40    20x20    10x10    5x5              └ max ──┘
    ```

    The mean says what the picture is, the maximum finds what is small in it.

    Args:
        maps: Give what the mean and the maximum are taken of.

    Returns:
        Pictures float32 [N, 160, 160, 3] in [0, 1] to non-negative vectors float32 [N, 768], or to
        non-negative maps float32 [N, 5, 5, 384].

    Example:
        >>> visual_network()(pictures).shape  # pictures float32 [10, 160, 160, 3]
        TensorShape([10, 768])

    Reference:
        He et al. 2016, Deep Residual Learning for Image Recognition (the blocks).
    """
    pictures = keras.Input([SIZE, SIZE, 3], name="pictures")
    small = layers.AveragePooling2D(SHRINK, name="shrink")(pictures)  # [N, 80, 80, 3]
    return keras.Model(pictures, visual_trunk(maps=maps)(small), name="compact_visual")


def visual_trunk(*, maps: bool = False) -> keras.Model:
    """The network after the resize: float32 [N, h, w, 3] of any size to [N, 768].

    Training feeds it pictures of 80 pixels, or fewer while it is coarse. With `maps` it ends
    before the mean and the maximum, at [N, h/16, w/16, 384].
    """
    pictures = keras.Input([None, None, 3], name="small_pictures")
    x = convolution(pictures, STEM_CHANNELS, 3, "stem", stride=2)  # [N, h/2, w/2, 32]
    for stage, (channels, blocks) in enumerate(STAGES, start=1):
        x = convolution(x, channels, 3, f"stage{stage}_down", stride=2)  # [N, h/2, w/2, channels]
        for block in range(1, blocks + 1):
            x = residual(x, f"stage{stage}_block{block}")
    x = convolution(x, POOLED, 1, "widen")  # [N, h/16, w/16, 384]
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
