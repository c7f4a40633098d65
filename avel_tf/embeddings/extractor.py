"""Feature extractor: the visual and the audio embedding together."""

from __future__ import annotations

import tensorflow as tf

from avel_tf.embeddings.audio import SAMPLE_RATE, AudioEmbedding, load_audio
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe, library_versions
from avel_tf.embeddings.settings import NEAR_THRESHOLD, EmbeddingSettings, Reuse
from avel_tf.embeddings.visual import VisualEmbedding, load_visual


class FeatureExtractor(tf.Module):
    """Frames and audio to one visual and one audio vector per segment.

    Args:
        visual: The visual embedding.
        audio: The audio embedding.
        frames_per_second: F.
        reuse: Which frames engines do not embed again. Calls of this object embed all of them.

    Attributes:
        visual: The visual embedding.
        audio: The audio embedding.
        reuse: The argument.
        recipe: Recipe of the features, as in manifests.
    """

    def __init__(
        self,
        visual: VisualEmbedding,
        audio: AudioEmbedding,
        *,
        frames_per_second: int,
        reuse: Reuse = "exact",
    ) -> None:
        super().__init__(name="feature_extractor")
        self.reuse = reuse
        self.visual = visual
        self.audio = audio
        self.recipe = Recipe(
            visual=VisualRecipe(
                module=visual.module_name,
                sha256=visual.sha256,
                frames_per_second=frames_per_second,
                size=visual.size,
                width=visual.width,
                places=visual.places,
                endpoint=visual.endpoint,
                vocabulary=visual.vocabulary,
                scores=visual.scores,
                reuse_threshold=NEAR_THRESHOLD if reuse == "near" else None,
            ),
            audio=AudioRecipe(
                module=audio.module_name,
                sha256=audio.sha256,
                sample_rate=SAMPLE_RATE,
                activation=audio.activation,
                width=audio.width,
                vocabulary=audio.vocabulary,
                scores=audio.scores,
            ),
            versions=library_versions(),
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, None, None, 3], tf.uint8),
            tf.TensorSpec([None, None], tf.float32),
        ],
        autograph=False,
    )
    def __call__(self, frames: tf.Tensor, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Embed batches of clips.

        Args:
            frames: uint8 [B, T, F, H, W, 3] RGB.
            waveform: float32 [B, T*16000] mono in [-1, 1].

        Returns:
            visual float32 [B, T, Dv], the mean over the F frames of a segment, and audio float32
            [B, T, Da].

        Raises:
            tf.errors.InvalidArgumentError: The waveform does not have 16,000 samples for each
                segment of frames.
        """
        with tf.control_dependencies(check_clips(frames, waveform)):
            frames, waveform = tf.identity(frames), tf.identity(waveform)
        shape = tf.shape(frames)
        batch, seconds, per_second = shape[0], shape[1], shape[2]
        images = tf.reshape(frames, tf.concat([[-1], shape[3:]], axis=0))  # [B*T*F, H, W, 3]
        visual = tf.reshape(
            self.visual(images), [batch, seconds, per_second, self.visual.width]
        )  # [B, T, F, Dv]
        visual = tf.reduce_mean(visual, axis=2)  # [B, T, Dv]
        audio = tf.reshape(
            self.embed_audio(waveform), [batch, seconds, self.audio.width]
        )  # [B, T, Da]
        return visual, audio

    def embed_audio(self, waveform: tf.Tensor) -> tf.Tensor:
        """Embed segments, waveform float32 [..., T*16000], to audio float32 [N, Da]."""
        return self.audio(tf.reshape(waveform, [-1]))


def check_clips(frames: tf.Tensor, waveform: tf.Tensor) -> list[tf.Operation]:
    """Check in the graph that frames and waveform have the same B and T.

    Args:
        frames: uint8 [B, T, F, H, W, 3].
        waveform: float32 [B, T*16000].

    Returns:
        Operations for `tf.control_dependencies`.
    """
    clips = tf.shape(frames)[:2]  # B, T
    expected = clips * [1, SAMPLE_RATE]  # B, T*16000
    return [
        tf.debugging.Assert(
            tf.reduce_all(tf.shape(waveform) == expected),
            [
                f"`waveform` must hold {SAMPLE_RATE} samples for each second of `frames`, as "
                f"[B, T*{SAMPLE_RATE}]. B and T of `frames`, shape expected, shape received:",
                *(clips, expected, tf.shape(waveform)),
            ],
        )
    ]


def load_extractor(settings: EmbeddingSettings) -> FeatureExtractor:
    """Load both embeddings of a configuration.

    Raises:
        ModuleUnavailableError: A module cannot be found.
        ValueError: A module has other inputs or outputs than required.
    """
    scores, classes = settings.scores, settings.scored_classes
    return FeatureExtractor(
        load_visual(settings.visual, scores=scores, scored_classes=classes),
        load_audio(settings.audio, scores=scores, scored_classes=classes),
        frames_per_second=settings.visual.frames_per_second,
        reuse=settings.visual.reuse,
    )
