"""Audio embedding: one vector per segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from avel_tf.embeddings import audioset_distilled, compact
from avel_tf.embeddings.built_in_weights import sha256_of_weights
from avel_tf.embeddings.hub_module import load_module, sha256_of_folder
from avel_tf.embeddings.scores import (
    ModuleWithScores,
    columns_of,
    find_scores,
    output_of,
    vocabulary_of_built_in,
    with_scores,
)
from avel_tf.embeddings.settings import COMPACT, AudioSettings
from avel_tf.utils.lazy_imports import without_tensorflow_log

# Rate in hertz of VGGish, YAMNet and `Clip.waveform`.
SAMPLE_RATE = 16_000

# Backbones that need no module, and the vocabularies of their scores.
BUILT_IN: dict[str, Callable[[], keras.Model]] = {
    COMPACT: compact.audio_backbone,
    audioset_distilled.NAME: audioset_distilled.backbone,
}
BUILT_IN_VOCABULARIES = {audioset_distilled.NAME: "audioset-527"}


class AudioEmbedding(tf.Module):
    """Audio embedding by a TF-Hub module or a built-in backbone, one vector per segment.

    Each second is embedded on its own. Over a whole waveform the hop of a module (0.96 s in VGGish)
    would drift 0.4 s away from the video in ten seconds. AVE's published features also use the
    first 0.96 s of each second.

    Attributes:
        module_name: Name of the module in manifests.
        sha256: Hash of the module's weights.
        activation: `relu` or `none`.
        width: Da, number of features per segment.
        vocabulary: Name of the vocabulary of the scores that end each vector, else None.
        scores: Indices of their classes; None for all.
    """

    def __init__(
        self,
        module: Any,
        *,
        module_name: str,
        sha256: str,
        activation: str,
        width: int,
        output: int = 0,
        vocabulary: str | None = None,
        scores: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name="audio_embedding")
        self.module = module
        self.module_name = module_name
        self.sha256 = sha256
        self.activation = activation
        self.width = width
        self.output = output
        self.vocabulary = vocabulary
        self.scores = None if scores is None else tuple(scores)
        self._takes_batches = isinstance(module, keras.Model)
        self._vectorized = not self._takes_batches and self._can_be_vectorized()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)
    def __call__(self, waveform: tf.Tensor) -> tf.Tensor:
        """Embed whole seconds of audio.

        Args:
            waveform: float32 [T*16000] mono in [-1, 1].

        Returns:
            float32 [T, Da].

        Raises:
            tf.errors.InvalidArgumentError: The length is not a multiple of 16,000 samples.
        """
        whole = tf.debugging.Assert(
            tf.size(waveform) % SAMPLE_RATE == 0,
            [
                f"`waveform` must hold whole seconds, [T*{SAMPLE_RATE}]. Samples received:",
                tf.size(waveform),
            ],
        )
        with tf.control_dependencies([whole]):
            seconds = tf.reshape(waveform, [-1, SAMPLE_RATE])  # [T, 16000]
        if self._takes_batches:
            vectors = self.module(seconds)  # [T, Da]
        elif self._vectorized:
            vectors = tf.vectorized_map(self._embed_second, seconds, fallback_to_while_loop=False)
        else:
            vectors = tf.map_fn(
                self._embed_second,
                seconds,
                fn_output_signature=tf.TensorSpec([self.width], tf.float32),
            )  # [T, Da]
        return tf.ensure_shape(vectors, [None, self.width])

    def _can_be_vectorized(self) -> bool:
        """Return True if TensorFlow can vectorize the module over segments with the same results.

        VGGish's large dense layers then read their weights once, in a third of the time. YAMNet's
        depthwise convolutions cannot be vectorized; such modules run segment by segment.
        """
        noise = tf.random.stateless_normal([3, SAMPLE_RATE], seed=(0, 0), stddev=0.1)

        @tf.function(
            input_signature=[tf.TensorSpec([None, SAMPLE_RATE], tf.float32)], autograph=False
        )
        def vectorized(seconds: tf.Tensor) -> tf.Tensor:
            return tf.vectorized_map(self._embed_second, seconds, fallback_to_while_loop=False)

        try:
            with without_tensorflow_log():  # it lists every op that cannot be vectorized
                found = vectorized(noise)
        except (TypeError, ValueError, NotImplementedError, tf.errors.OpError):
            return False
        alone = tf.stack([self._embed_second(second) for second in noise])
        tolerance = 1e-4 * (1.0 + tf.reduce_max(tf.abs(alone)))  # rounding only
        return found.shape == alone.shape and bool(tf.reduce_max(tf.abs(found - alone)) < tolerance)

    def _embed_second(self, second: tf.Tensor) -> tf.Tensor:
        frames = tf.nest.flatten(self.module(second))[self.output]  # [frames, Da]
        if self.activation == "relu":
            frames = tf.nn.relu(frames)
        return tf.reduce_mean(frames, axis=0)  # [Da]


def load_audio(
    module: str | AudioSettings = COMPACT,
    *,
    scores: bool = False,
    scored_classes: Sequence[str] = (),
) -> AudioEmbedding:
    """Load an audio embedding and check its module.

    Args:
        module: A TF-Hub or Kaggle handle, the path of a SavedModel, `compact`,
            `audioset-distilled`, or settings that hold one.
        scores: Append the backbone's class scores to each vector.
        scored_classes: Classes of `avel classes` whose scores are appended; all scores if empty.

    Returns:
        A callable: float32 [T*16000] -> float32 [T, Da].

    Raises:
        ModuleUnavailableError: The module cannot be found.
        ValueError: It is not an audio module, or has no scores; the message gives its outputs.

    Example:
        >>> load_audio("compact")(waveform).shape  # waveform float32 [160000]
        TensorShape([10, 512])
    """
    settings = AudioSettings(module=module) if isinstance(module, str) else module
    if settings.module in BUILT_IN:
        return _load_built_in(settings, scores, scored_classes)
    loaded, folder = load_module(settings.module)
    output, width = _checked_output(loaded, settings)
    vocabulary, columns = None, None
    if scores:
        example = tf.random.stateless_uniform([SAMPLE_RATE], seed=(0, 0), minval=-0.5, maxval=0.5)
        function, vocabulary = find_scores(loaded, settings.module, example, "audio")
        columns = columns_of(scored_classes, vocabulary)
        loaded = ModuleWithScores(loaded, output_of(loaded, output), function, columns)
        output, width = 0, int(loaded(example).shape[-1])
    return AudioEmbedding(
        loaded,
        module_name=settings.module,
        sha256=sha256_of_folder(folder),
        activation=settings.resolved_activation,
        width=width,
        output=output,
        vocabulary=vocabulary,
        scores=columns,
    )


def _load_built_in(
    settings: AudioSettings, scores: bool, scored_classes: Sequence[str]
) -> AudioEmbedding:
    vocabulary, columns = None, None
    if scores:
        vocabulary = vocabulary_of_built_in(settings.module, BUILT_IN_VOCABULARIES)
        columns = columns_of(scored_classes, vocabulary)
        model = with_scores(audioset_distilled.pretrained(), columns)
    else:
        model = BUILT_IN[settings.module]()
    return AudioEmbedding(
        model,
        module_name=settings.module,
        sha256=sha256_of_weights(model.get_weights()),
        activation=settings.resolved_activation,
        width=model.output_shape[-1],
        vocabulary=vocabulary,
        scores=columns,
    )


def _checked_output(module: Any, settings: AudioSettings) -> tuple[int, int]:
    """Call the module on silence and on noise; returns the index and width of the embedding."""
    name = settings.module
    expected = (
        "Expected a TF-Hub audio module: float32 [n] 16 kHz -> float32 [frames, D], or a tuple "
        "with it."
    )
    noise = tf.random.stateless_uniform([SAMPLE_RATE], seed=(0, 0), minval=-0.5, maxval=0.5)
    try:
        results = [tf.nest.flatten(module(audio)) for audio in (tf.zeros_like(noise), noise)]
    except (TypeError, ValueError, tf.errors.OpError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"The audio module {name} could not be called on one second of audio. {expected} "
            f"Its error: {first}"
        ) from error
    of_noise = results[1]
    shapes = ", ".join(f"{tensor.dtype.name} {tensor.shape}" for tensor in of_noise)
    matrices = {
        index: int(tensor.shape[1])
        for index, tensor in enumerate(of_noise)
        if tensor.shape.rank == 2 and tensor.dtype.is_floating and tensor.shape[0] >= 1
    }
    if settings.output is not None and settings.output not in matrices:
        raise ValueError(
            f"{expected} embeddings.audio.output={settings.output}, but the outputs of {name} for "
            f"one second are: {shapes}."
        )
    if not matrices:
        raise ValueError(f"{expected} For one second, the module {name} returned: {shapes}.")
    chosen = settings.output if settings.output is not None else max(matrices, key=matrices.get)  # type: ignore[arg-type]
    silence, noise = (result[chosen] for result in results)
    if not all(bool(tf.reduce_all(tf.math.is_finite(t))) for t in (silence, noise)):
        raise ValueError(f"The audio module {name} returned NaN or infinity for plain audio.")
    if bool(tf.reduce_all(tf.equal(silence[0], noise[0]))):
        raise ValueError(
            f"The audio module {name} returned the same vector for silence and for noise: it "
            "ignores its input, or its weights were not restored."
        )
    return chosen, matrices[chosen]
