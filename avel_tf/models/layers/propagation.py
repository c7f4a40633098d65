"""Positive-sample propagation between the segments of two modalities."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers, ops

# The authors' published code uses dropout 0.1 and a threshold of 0.099 for clips of ten segments,
# where an even split is 0.1, so the threshold is 0.99 of an even split.
DROPOUT = 0.1
THRESHOLD = 0.99


@keras.saving.register_keras_serializable(package="avel_tf")
class PositiveSamplePropagation(layers.Layer):
    """Adds to each segment the similar segments of the other modality.

    The similarities of a segment with those of the other modality are cut off below zero and
    divided by their sum. Shares below `threshold` of an even split are set to zero, and the rest is
    divided by its sum again. A segment without a similar one receives nothing.

    Args:
        width: D, of both inputs and both outputs.
        threshold: share of an even split below which a pair is cut.
        dropout: share of values dropped inside.
        seed: of dropout; drawn from Python's generator by default.
        **kwargs: as for every Keras layer.

    Returns:
        A layer of visual and audio, float `[B, T, D]`, and `valid`, bool `[B, T]`, to the two
        streams, float `[B, T, D]` each.

    Example:
        >>> layer = PositiveSamplePropagation(8)
        >>> visual, audio = layer(np.ones((2, 10, 8)), np.ones((2, 10, 8)), np.ones((2, 10), bool))

    Reference:
        Zhou et al., Positive Sample Propagation along the Audio-Visual Event Line, CVPR 2021
        (https://arxiv.org/abs/2104.00239).
    """

    def __init__(
        self,
        width: int,
        threshold: float = THRESHOLD,
        dropout: float = DROPOUT,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.threshold = threshold
        self.dropout = dropout
        self.seed = random.randrange(2**31) if seed is None else seed
        self.supports_masking = True

        def dense(name: str) -> layers.Dense:
            return layers.Dense(width, "relu", use_bias=False, dtype=self.dtype_policy, name=name)

        self.visual_match, self.visual_content = dense("visual_match"), dense("visual_content")
        self.audio_match, self.audio_content = dense("audio_match"), dense("audio_content")
        self.visual_out, self.audio_out = dense("visual_out"), dense("audio_out")
        self.visual_norm = layers.LayerNormalization(dtype=self.dtype_policy, name="visual_norm")
        self.audio_norm = layers.LayerNormalization(dtype=self.dtype_policy, name="audio_norm")
        self.drop = layers.Dropout(dropout, seed=self.seed, dtype=self.dtype_policy, name="drop")

    def build(self, visual_shape: Any, audio_shape: Any, valid_shape: Any = None) -> None:
        for layer in (self.visual_match, self.visual_content, self.visual_out, self.visual_norm):
            layer.build(visual_shape)
        for layer in (self.audio_match, self.audio_content, self.audio_out, self.audio_norm):
            layer.build(audio_shape)

    def call(self, visual: Any, audio: Any, valid: Any, training: bool | None = None) -> Any:
        def drop(x: Any) -> Any:
            return self.drop(x, training=training)

        keys, visual_content = drop(self.visual_match(visual)), drop(self.visual_content(visual))
        queries, audio_content = drop(self.audio_match(audio)), drop(self.audio_content(audio))
        scores = ops.matmul(keys, ops.transpose(queries, (0, 2, 1)))  # [B, T, T], visual first
        scores = ops.cast(scores, "float32") / self.width**0.5
        to_visual = self.shares(scores, valid)  # [B, T, T]
        to_audio = self.shares(ops.transpose(scores, (0, 2, 1)), valid)  # [B, T, T]
        visual = visual + ops.matmul(
            ops.cast(to_visual, audio_content.dtype), audio_content
        )  # [B, T, D]
        audio = audio + ops.matmul(
            ops.cast(to_audio, visual_content.dtype), visual_content
        )  # [B, T, D]
        return (
            self.visual_norm(drop(self.visual_out(visual))),
            self.audio_norm(drop(self.audio_out(audio))),
        )

    def shares(self, scores: Any, valid: Any) -> Any:
        """Weights with which each segment receives the segments of the other modality.

        Args:
            scores: float32 `[B, T, T]`, receiving segments first.
            valid: bool `[B, T]`, segments that are propagated.

        Returns:
            float32 `[B, T, T]`; a row sums to one, or is zero without a similar pair.
        """
        present = ops.expand_dims(ops.cast(valid, "float32"), 1)  # [B, 1, T]
        scores = ops.relu(ops.where(present > 0, scores, 0.0))  # [B, T, T]
        shares = ops.divide_no_nan(scores, ops.sum(scores, axis=-1, keepdims=True))
        even = ops.divide_no_nan(1.0, ops.sum(present, axis=-1, keepdims=True))  # [B, 1, 1]
        shares = ops.where(shares > self.threshold * even, shares, 0.0)
        return ops.divide_no_nan(shares, ops.sum(shares, axis=-1, keepdims=True))

    def compute_output_shape(
        self, visual_shape: Any, audio_shape: Any, valid_shape: Any = None
    ) -> Any:
        return tuple(visual_shape), tuple(audio_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "threshold": self.threshold,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def similarity(streams: tuple[Any, Any]) -> Any:
    """Cosine similarity of two streams in each segment.

    Args:
        streams: visual and audio, float `[B, T, D]` each, such as the output of
            `PositiveSamplePropagation`.

    Returns:
        float32 `[B, T]`.
    """
    visual, audio = (ops.normalize(ops.cast(each, "float32"), axis=-1) for each in streams)
    return ops.sum(visual * audio, axis=-1)  # [B, T]
