"""SpecAugment: random masks on the log-mel, for training."""

from __future__ import annotations

import keras
import tensorflow as tf

from avel_tf.embeddings import compact
from avel_tf.embeddings.audio import AudioEmbedding
from avel_tf.embeddings.log_mel import tfio_audio

# Largest masks: a quarter of the 64 bands, and 30 of the 100 frames of a second. Park et al. 2019
# mask up to 27 of 80 bands and 100 frames of utterances that are ten times as long.
MAX_BANDS = 16
MAX_FRAMES = 30


class SpecAugment(tf.Module):
    """Embeds audio with a masked frequency band and a masked time span in its log-mel.

    Args:
        audio: The compact audio embedding; its log-mel is the project's own and can be masked.
        seed: Seed of the masks.

    Raises:
        ValueError: The module is a TF-Hub module, whose spectrogram is inside its graph.

    Reference:
        Park et al. 2019, SpecAugment.
        https://www.tensorflow.org/io/api_docs/python/tfio/audio/freq_mask
    """

    def __init__(self, audio: AudioEmbedding, *, seed: int) -> None:
        super().__init__(name="spec_augment")
        if audio.module_name != compact.NAME:
            raise ValueError(
                "data.spec_augment_copies masks the log-mel of the compact audio backbone; the "
                f"log-mel of {audio.module_name} is inside its module. Set "
                "data.spec_augment_copies=0 or embeddings.audio.module=compact."
            )
        model = audio.module
        self.log_mel = model.get_layer("log_mel")
        self.after_log_mel = keras.Model(self.log_mel.output, model.output)
        # tensorflow-io draws its masks from TensorFlow's global generator.
        tf.random.set_seed(seed)

    @tf.function(input_signature=[tf.TensorSpec([None, 16_000], tf.float32)], autograph=False)
    def __call__(self, seconds: tf.Tensor) -> tf.Tensor:
        """Embed seconds of audio with random masks.

        Args:
            seconds: float32 [N, 16000] mono.

        Returns:
            float32 [N, Da].
        """
        # Sequentially: parallel threads would draw masks in random order, and the seed would have
        # no effect.
        masked = tf.map_fn(
            self._mask, self.log_mel(seconds)[..., 0], parallel_iterations=1
        )  # [N, 100, 64]
        return self.after_log_mel(masked[..., None])

    @staticmethod
    def _mask(spectrogram: tf.Tensor) -> tf.Tensor:
        # Masks are zeros, so the spectrogram is shifted to make zero its minimum (silence).
        floor = tf.reduce_min(spectrogram)
        audio = tfio_audio()
        masked = audio.freq_mask(spectrogram - floor, param=MAX_BANDS)
        return audio.time_mask(masked, param=MAX_FRAMES) + floor  # [100, 64]
