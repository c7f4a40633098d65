"""Backbones and head as one TensorFlow module."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from avel_tf.embeddings.extractor import FeatureExtractor


class LocalizerModule(tf.Module):
    """From frames and sound to labelled seconds; what an exported SavedModel holds.

    Args:
        extractor: The backbones.
        head: A model of `avel_tf.models`: features to logits.
        assets: Files that travel with the SavedModel, in its `assets/`.
        temperature: What the logits are divided by before the softmax.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        head: keras.Model,
        assets: list[Path],
        temperature: float = 1.0,
    ) -> None:
        super().__init__(name="localizer")
        self.extractor = extractor
        self.head = head
        self.sharpness = 1.0 / temperature
        self.asset_files = [tf.saved_model.Asset(str(path)) for path in assets]
        recipe = extractor.recipe
        frames = tf.TensorSpec(
            [None, None, recipe.visual.frames_per_second, None, None, 3], tf.uint8, "frames"
        )
        waveform = tf.TensorSpec([None, None], tf.float32, "waveform")
        # Not `signatures`: that name TensorFlow keeps for what it has loaded itself.
        self.served = {
            "serving_default": self.localize.get_concrete_function(frames, waveform),
            "embed": self.embed.get_concrete_function(frames, waveform),
            "from_features": self.from_features.get_concrete_function(
                tf.TensorSpec([None, None, recipe.visual.width], tf.float32, "visual"),
                tf.TensorSpec([None, None, recipe.audio.width], tf.float32, "audio"),
            ),
        }

    @tf.function
    def localize(self, frames: tf.Tensor, waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        """Label the seconds of clips.

        Args:
            frames: uint8 [B, T, F, H, W, 3] RGB.
            waveform: float32 [B, T*16000] mono in [-1, 1].

        Returns:
            `probabilities` float32 [B, T, C+1], `label_index` int64 [B, T] (C is background),
            `score` float32 [B, T], the probability of that label.
        """
        return self._label(*self.extractor(frames, waveform))

    @tf.function
    def embed(self, frames: tf.Tensor, waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        """The features of clips.

        Returns:
            `visual` float32 [B, T, Dv], `audio` float32 [B, T, Da].
        """
        visual, audio = self.extractor(frames, waveform)
        return {"visual": visual, "audio": audio}

    @tf.function
    def from_features(self, visual: tf.Tensor, audio: tf.Tensor) -> dict[str, tf.Tensor]:
        """Label seconds whose features are known; outputs as of `localize`.

        A second whose features are all zero was not there: it is looked at by no other.
        """
        return self._label(visual, audio)

    def _label(self, visual: tf.Tensor, audio: tf.Tensor) -> dict[str, tf.Tensor]:
        # Real features are never all zero: padding has been, wherever it came from.
        valid = tf.reduce_any(visual != 0.0, -1) | tf.reduce_any(audio != 0.0, -1)  # [B, T]
        inputs = {"visual": visual, "audio": audio, "valid": valid}
        logits = self.head(inputs, training=False)  # [B, T, C+1]
        probabilities = tf.nn.softmax(logits * self.sharpness)  # [B, T, C+1]
        return {
            "probabilities": probabilities,
            "label_index": tf.argmax(probabilities, axis=-1),  # [B, T]
            "score": tf.reduce_max(probabilities, axis=-1),  # [B, T]
        }
