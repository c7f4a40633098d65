"""The network of the project's own audio backbone, without its weights."""

from __future__ import annotations

import keras
from keras import layers

from avel_tf.embeddings import log_mel as front_end
from avel_tf.embeddings.log_mel_layer import LogMel
from avel_tf.embeddings.residual_blocks import convolution, residual

WIDTH = 512
STEM_CHANNELS = 16
# Channels and residual blocks of each stage. Dense convolutions, because a processor trains them
# faster than separable ones with half the parameters (docs/design/backbones.md).
STAGES = ((32, 1), (64, 2), (128, 1), (144, 1))


def audio_network() -> keras.Model:
    """The audio backbone's architecture, freshly initialised: 1.2 million parameters.

    ```
    [N, 16000] ─ log-mel ─ 5x5/2 ─ (3x3/2, residual blocks) x 4 ─ 1x1 ─ mean ─ [N, 512]
                 100x64    50x32    25x16   13x8   7x4   4x2
    ```

    Returns:
        Seconds of sound float32 [N, 16000] in [-1, 1] to non-negative vectors float32 [N, 512].

    Example:
        >>> audio_network()(seconds).shape  # seconds float32 [10, 16000]
        TensorShape([10, 512])

    Reference:
        He et al. 2016, Deep Residual Learning for Image Recognition (the blocks).
    """
    seconds = keras.Input([front_end.SAMPLE_RATE], name="seconds")
    # In bfloat16 a spectrogram would lose its quiet parts before the network sees them.
    x = LogMel(name="log_mel", dtype="float32")(seconds)  # [N, 100, 64, 1]
    x = convolution(x, STEM_CHANNELS, 5, "stem", stride=2)  # [N, 50, 32, 16]
    for stage, (channels, blocks) in enumerate(STAGES, start=1):
        x = convolution(x, channels, 3, f"stage{stage}_down", stride=2)  # [N, F/2, M/2, channels]
        for block in range(1, blocks + 1):
            x = residual(x, f"stage{stage}_block{block}")
    x = convolution(x, WIDTH, 1, "widen")  # [N, 4, 2, D]
    vectors = layers.GlobalAveragePooling2D(name="mean")(x)  # [N, D]
    vectors = layers.Activation("linear", dtype="float32", name="vectors")(vectors)
    return keras.Model(seconds, vectors, name="compact_audio")
