"""Audio backbone with AudioSet scores, trained by this project and included in the package.

It was distilled from two AudioSet classifiers. Training data, accuracy and limits are in
docs/design/backbones.md and `weights/model_card.md`.

Reference:
    He et al. 2016, Deep Residual Learning for Image Recognition (the blocks); Gemmeke et al. 2017,
    Audio Set: An ontology and human-labeled dataset for audio events (the classes).
"""

from __future__ import annotations

import keras
from keras import layers

from avel_tf.embeddings.built_in_weights import AUDIOSET_DISTILLED_FILE, packaged_weights
from avel_tf.embeddings.compact import convolution, residual_stages
from avel_tf.embeddings.log_mel import SAMPLE_RATE, LogMel

NAME = "audioset-distilled"
WEIGHTS = AUDIOSET_DISTILLED_FILE
CLASSES = 527
FEATURES = 768
STEM = 24
# Channels and residual blocks of each stage.
STAGES = ((48, 1), (96, 1), (192, 2), (320, 1))


def network() -> keras.Model:
    """The architecture, freshly initialised: 4.8 million parameters.

    ```
    [N, 16000] ─ log-mel ─ 5x5/2 ─ (3x3/2, residual blocks) x 4 ─ 1x1 ─ mean ─ [N, 768] ─ [N, 527]
                 100x64    50x32    25x16   13x8   7x4   4x2
    ```

    Returns:
        Seconds of audio float32 [N, 16000] in [-1, 1] to a dictionary: `features` float32 [N, 768],
        non-negative, and `scores` float32 [N, 527], a probability of each AudioSet class.
    """
    seconds = keras.Input([SAMPLE_RATE], name="seconds")
    # A spectrogram in bfloat16 would lose its quiet parts.
    x = LogMel(name="log_mel", dtype="float32")(seconds)  # [N, 100, 64, 1]
    x = convolution(x, STEM, 5, "stem", stride=2)  # [N, 50, 32, 24]
    x = residual_stages(x, STAGES)  # [N, 4, 2, 320]
    x = convolution(x, FEATURES, 1, "widen")  # [N, 4, 2, 768]
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    features = layers.Activation("linear", dtype="float32", name="features")(x)  # [N, 768]
    scores = layers.Dense(CLASSES, activation="sigmoid", dtype="float32", name="scores")(features)
    return keras.Model(seconds, {"features": features, "scores": scores}, name="audioset_distilled")


def pretrained() -> keras.Model:
    """The network with its trained weights, which are stored as float16 and used as float32."""
    model = network()
    model.set_weights(packaged_weights(WEIGHTS))
    model.trainable = False
    return model


def backbone() -> keras.Model:
    """Seconds of audio float32 [N, 16000] to features float32 [N, 768]."""
    model = pretrained()
    model = keras.Model(model.input, model.output["features"], name=model.name)
    model.trainable = False
    return model
