"""VGGish with random weights: the published architecture with TF-Hub's interface."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

SAMPLE_RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512  # 25 ms every 10 ms
BANDS, LOW_HZ, HIGH_HZ = 64, 125.0, 7_500.0
LOG_OFFSET = 0.01
PATCH = 96  # spectra, 0.96 s


class Vggish(tf.Module):
    """Audio to one vector per complete 0.96 s.

    Reference:
        Hershey et al., CNN Architectures for Large-Scale Audio Classification, 2017
        (https://arxiv.org/abs/1609.09430), in the form published with AudioSet.
    """

    def __init__(self) -> None:
        super().__init__(name="vggish")
        self.network = network()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, waveform: tf.Tensor) -> tf.Tensor:
        """float32 [n] at 16 kHz in [-1, 1] to [frames, 128], before a ReLU."""
        spectra = tf.abs(tf.signal.stft(waveform, WINDOW, HOP, FFT))  # [S, 257]
        bands = tf.math.log(spectra @ mel_matrix() + LOG_OFFSET)  # [S, 64]
        patches = tf.signal.frame(bands, PATCH, PATCH, axis=0)  # [frames, 96, 64]
        return self.network(patches[..., None], training=False)  # [frames, 128]


def mel_matrix() -> tf.Tensor:
    """float32 [257, 64]."""
    return tf.signal.linear_to_mel_weight_matrix(BANDS, FFT // 2 + 1, SAMPLE_RATE, LOW_HZ, HIGH_HZ)


def network() -> keras.Model:
    """[frames, 96, 64, 1] to [frames, 128]."""
    x = pictures = keras.Input((PATCH, BANDS, 1))
    for stage, widths in enumerate(((64,), (128,), (256, 256), (512, 512)), start=1):
        for number, width in enumerate(widths, start=1):
            name = f"conv{stage}_{number}"
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Flatten()(x)  # [frames, 12288]
    for number, width in enumerate((4096, 4096), start=1):
        x = layers.Dense(width, activation="relu", name=f"fc{number}")(x)
    return keras.Model(pictures, layers.Dense(128, name="fc3")(x))
