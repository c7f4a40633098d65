"""Backbones and head as one TensorFlow module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avel_tf.embeddings.audio import SAMPLE_RATE
from avel_tf.embeddings.extractor import FeatureExtractor, check_clips
from avel_tf.engines.engine import LoadedGraphs, SingleBackbones
from avel_tf.export.manifest import PART_SIGNATURES, SIGNATURES, WITH_VALID
from avel_tf.models import is_multi_label, probabilities_from


class LocalizerModule:
    """Signatures of an exported model: frames and audio to labelled segments.

    A segment is valid if the argument `valid`, when given, is true, all of its numbers are finite,
    and its features are not all zero, which no backbone returns. Other segments are masked in
    attention and LSTM, have features of zero, and are labelled background.

    Args:
        extractor: The backbones.
        head: Keras model of features to logits.
        temperature: Divisor of the logits before the activation.
        thresholds: Smallest probability of each label of a multi-label model, `[C]`; 0.5 when
            None.

    Functions are traced when they are used: all to be saved, two to be run.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        head: keras.Model,
        temperature: float = 1.0,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        self.extractor = extractor
        self.head = head
        recipe = extractor.recipe
        # Traced once for all signatures, which takes as long as everything else of an export.
        self._logits = tf.function(
            lambda visual, audio, valid: head(
                {"visual": visual, "audio": audio, "valid": valid}, training=False
            ),
            input_signature=[
                tf.TensorSpec([None, None, recipe.visual.width], tf.float32),
                tf.TensorSpec([None, None, recipe.audio.width], tf.float32),
                tf.TensorSpec([None, None], tf.bool),
            ],
            autograph=False,
        )
        self.sharpness = 1.0 / temperature
        self.multi_label = is_multi_label(head)
        classes = head.output.shape[-1] - 1
        self.thresholds = tf.constant(thresholds or [0.5] * classes, tf.float32)  # [C]

    def graphs(self) -> LoadedGraphs:
        """The functions that an engine runs, without a SavedModel."""
        label = self._traced("from_features", with_valid=True)

        def embed(frames: tf.Tensor, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            visual, audio, _ = self._embed(frames, waveform, None)
            return visual, audio

        return LoadedGraphs(
            embed,
            lambda *features: label(*features)["probabilities"],
            SingleBackbones(self.extractor.visual, self._embed_audio),
        )

    def _traced(self, name: str, *, with_valid: bool) -> Any:
        """Concrete function of a signature."""
        visual, audio = self.extractor.recipe.visual, self.extractor.recipe.audio
        clips = (
            tf.TensorSpec(
                [None, None, visual.frames_per_second, None, None, 3], tf.uint8, "frames"
            ),
            tf.TensorSpec([None, None], tf.float32, "waveform"),
        )
        features = (
            tf.TensorSpec([None, None, visual.width], tf.float32, "visual"),
            tf.TensorSpec([None, None, audio.width], tf.float32, "audio"),
        )
        images = (tf.TensorSpec([None, None, None, 3], tf.uint8, "frames"),)
        segments = (tf.TensorSpec([None, SAMPLE_RATE], tf.float32, "waveform"),)
        valid = (tf.TensorSpec([None, None], tf.bool, "valid"),) * with_valid
        function, inputs = {
            "serving_default": (self.localize, clips),
            "embed": (self.embed, clips),
            "from_features": (self.from_features, features),
            "embed_frames": (self.embed_frames, images),
            "embed_audio": (self.embed_audio, segments),
        }[name]
        return tf.function(function, autograph=False).get_concrete_function(*inputs, *valid)

    def save(self, folder: str | Path, assets: Iterable[Path]) -> None:
        """Write the SavedModel.

        Only signatures and weights are stored. Were the functions and Keras models attributes of
        the saved object, TensorFlow would trace each of them again and store those graphs, too.

        Args:
            folder: Folder of the SavedModel.
            assets: Files that are copied to its `assets/`.
        """
        saved = tf.Module(name="localizer")
        saved.asset_files = [tf.saved_model.Asset(str(path)) for path in assets]
        saved.backbones = [
            _stored_part(each.module) for each in (self.extractor.visual, self.extractor.audio)
        ]
        saved.head = _stored_part(self.head)
        signatures = {
            name + WITH_VALID * with_valid: self._traced(name, with_valid=with_valid)
            for name in SIGNATURES
            for with_valid in (False, True)
        }
        signatures |= {name: self._traced(name, with_valid=False) for name in PART_SIGNATURES}
        # Those of a model that this one extends, of which Keras does not know.
        saved.further = [each for function in signatures.values() for each in function.variables]
        tf.saved_model.save(saved, str(folder), signatures=signatures)

    def localize(
        self, frames: tf.Tensor, waveform: tf.Tensor, valid: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Label the segments of clips.

        Args:
            frames: uint8 [B, T, F, H, W, 3] RGB.
            waveform: float32 [B, T*16000] mono in [-1, 1].
            valid: bool [B, T]; all when None.

        Returns:
            `probabilities` float32 [B, T, C+1], `label_index` int64 [B, T] (C is background),
            `score` float32 [B, T], the probability of that label, and `valid` bool [B, T]. For a
            multi-label model `probabilities` are those of each class by itself and, last, of no
            event. The label is then the most probable class that reaches its threshold, C if
            there is none.
        """
        return self._label(*self._embed(frames, waveform, valid))

    def embed(
        self, frames: tf.Tensor, waveform: tf.Tensor, valid: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Compute the features of clips; inputs as of `localize`.

        Returns:
            `visual` float32 [B, T, Dv], `audio` float32 [B, T, Da], zero in invalid
            segments, and `valid` bool [B, T].
        """
        visual, audio, valid = self._embed(frames, waveform, valid)
        return {"visual": visual, "audio": audio, "valid": valid}

    def embed_frames(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embed single frames uint8 [N, H, W, 3].

        Returns:
            `visual` float32 [N, Dv]. The mean over the F frames of a segment is that of `embed`.
        """
        return {"visual": self.extractor.visual(frames)}

    def embed_audio(self, waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embed the audio of single segments, waveform float32 [N, 16000].

        Returns:
            `audio` float32 [N, Da]; NaN where the waveform is not finite.
        """
        return {"audio": self._embed_audio(waveform)}

    def from_features(
        self, visual: tf.Tensor, audio: tf.Tensor, valid: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Label segments by their features; outputs as of `localize`.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; all when None.
        """
        given = tf.shape(visual)[:2]  # [B, T]
        checks = [
            tf.debugging.Assert(
                tf.reduce_all(tf.shape(audio)[:2] == given),
                [
                    "`visual` and `audio` must have the same clips and segments [B, T]. "
                    "Received (visual, then audio):",
                    *(given, tf.shape(audio)[:2]),
                ],
            )
        ]
        if valid is not None:
            checks.append(_check_valid(valid, given, "visual"))
        with tf.control_dependencies(checks):
            visual = tf.identity(visual)
        if valid is None:
            valid = tf.ones(given, tf.bool)
        return self._label(*_without_invalid(visual, audio, valid))

    def _embed(
        self, frames: tf.Tensor, waveform: tf.Tensor, valid: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Visual [B, T, Dv], audio [B, T, Da] and valid [B, T]."""
        given = tf.shape(frames)[:2]  # [B, T]
        checks = check_clips(frames, waveform)
        if valid is not None:
            checks.append(_check_valid(valid, given, "frames"))
        with tf.control_dependencies(checks):
            sound = tf.reshape(waveform, [given[0], given[1], SAMPLE_RATE])  # [B, T, 16000]
        sound, finite = _finite_sound(sound)
        valid = finite if valid is None else valid & finite
        visual, audio = self.extractor(frames, tf.reshape(sound, tf.shape(waveform)))
        return _without_invalid(visual, audio, valid)

    def _embed_audio(self, waveform: tf.Tensor) -> tf.Tensor:
        """Audio float32 [N, Da] of segments [N, 16000]; NaN where they are not finite."""
        waveform, finite = _finite_sound(waveform)
        return tf.where(finite[..., None], self.extractor.embed_audio(waveform), np.nan)

    def _label(self, visual: tf.Tensor, audio: tf.Tensor, valid: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = self._logits(visual, audio, valid)  # [B, T, C+1]
        probabilities = probabilities_from(
            logits * self.sharpness, multi_label=self.multi_label
        )  # [B, T, C+1]
        classes = self.head.output.shape[-1]
        background = tf.one_hot(classes - 1, classes)  # [C+1]
        probabilities = tf.where(valid[..., None], probabilities, background)
        strongest = probabilities
        if self.multi_label:
            events, no_event = probabilities[..., :-1], probabilities[..., -1:]
            active = events >= self.thresholds  # [B, T, C]
            # -1 is below every probability, so it is never the maximum.
            events = tf.where(active, events, -1.0)
            no_event = tf.where(tf.reduce_any(active, -1, keepdims=True), -1.0, no_event)
            strongest = tf.concat([events, no_event], axis=-1)  # [B, T, C+1]
        return {
            "probabilities": probabilities,
            "label_index": tf.argmax(strongest, axis=-1),  # [B, T]
            "score": tf.reduce_max(strongest, axis=-1),  # [B, T]
            "valid": valid,
        }


def _stored_part(module: Any) -> Any:
    """Weights of a Keras model; other modules whole, as they may own tables and files."""
    if isinstance(module, keras.Model):
        return [variable.value for variable in module.variables]
    return module


def _finite_sound(waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Replace segments [..., 16000] that are not finite by silence.

    They are replaced before the backbone, because zero times NaN is NaN.

    Returns:
        The segments, and which of them were finite, bool [...].
    """
    # Finite samples can still overflow in the spectrum, so its bound is tested:
    # (sum |x|)^2 <= n sum x^2.
    power = tf.reduce_sum(tf.square(waveform * SAMPLE_RATE), -1)
    finite = tf.math.is_finite(power)
    return tf.where(finite[..., None], waveform, 0.0), finite


def _without_invalid(
    visual: tf.Tensor, audio: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Set features of invalid segments to zero; returns visual, audio and valid [B, T]."""
    for features in (visual, audio):
        valid &= tf.reduce_all(tf.math.is_finite(features), -1)  # [B, T]
    valid &= tf.reduce_any(visual != 0.0, -1) | tf.reduce_any(audio != 0.0, -1)  # [B, T]
    present = valid[..., None]  # [B, T, 1]
    return tf.where(present, visual, 0.0), tf.where(present, audio, 0.0), valid


def _check_valid(valid: tf.Tensor, expected: tf.Tensor, of: str) -> tf.Operation:
    return tf.debugging.Assert(
        tf.reduce_all(tf.shape(valid) == expected),
        [
            f"`valid` must have one value per segment of `{of}`, [B, T]. Expected, then received:",
            *(expected, tf.shape(valid)),
        ],
    )
