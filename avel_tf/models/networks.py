"""The networks, and the function that builds a Keras model of one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers, ops

from avel_tf.embeddings.class_columns import NamedClasses
from avel_tf.models.heads import segment_logits
from avel_tf.models.layers import (
    BackgroundContrast,
    ClipEvidence,
    NameEvidence,
    PositiveSamplePropagation,
    attend,
    class_activation_logits,
    normalise,
    pool_places,
    project,
    suppress_background,
    temporal_encoder,
)
from avel_tf.models.settings import NO_MAPS, ModelSettings

# Weight of class activation in the logits: gamma of the authors' published configuration for full
# supervision.
CLASS_ACTIVATION_WEIGHT = 0.3


def avel(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Self-attention within each modality, cross-attention between them, fusion per segment.

        visual [B,T,Dv]                        audio [B,T,Da]
             |                                      |
        normalise, project                     normalise, project     [B,T,D]
             |------------------> v * a <-----------|
             |                      |               |
        self-attention over T       |     self-attention over T       [B,T,D]
             |                      |               |
        attention to audio <--------|------> attention to visual      [B,T,D]
             |                      |               |
             '-------------> concatenate <----------'                 [B,T,3D]
                                    |-------------------.
                          bidirectional LSTM            |             [B,T,2 * lstm_units]
                                    |                   |
                                 dropout -------> concatenate         [B,T,3D + 2 * lstm_units]
                                                        |
                                                       head           [B,T,C+1]

    Settings replace cross-attention by propagation or nothing, and add background gates, class
    activation and contrast (docs/design/models.md has the diagrams).

    Args:
        inputs: `visual` float `[B, T, Dv]` or `[B, T, places, Dv]`, `audio` float `[B, T, Da]`,
            `valid` bool `[B, T]`.
        classes: C, without background.
        settings: sizes, dropout, optional layers and head.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, 2018
        (https://arxiv.org/abs/1803.08842), for the task and the LSTM over segments; Xuan et al.,
        Cross-Modal Attention Network for Temporal Inconsistent Audio-Visual Event Localization,
        2020 (https://ojs.aaai.org/index.php/AAAI/article/view/5361), for attention both ways.
    """
    valid = inputs["valid"]
    features, visual, audio = _projected(inputs, settings)  # visual and audio: [B, T, D]
    # An event must be audible and visible in the same segment, so the product is taken before
    # attention mixes the segments (docs/design/models.md).
    audio_visual_product = layers.Multiply(name="heard_and_seen")([visual, audio])  # [B, T, D]
    visual = _attend(visual, visual, valid, "visual_self_attention", settings)
    audio = _attend(audio, audio, valid, "audio_self_attention", settings)
    visual_attended, audio_attended = fuse_modalities(visual, audio, valid, settings)
    if settings.background_gate:
        visual_attended, audio_attended = suppress_background(
            visual_attended, audio_attended, visual, audio
        )
    clip_logits = None
    if settings.class_activation:
        clip_logits = CLASS_ACTIVATION_WEIGHT * class_activation_logits(
            visual_attended, audio_attended, valid, classes
        )  # [B, C]
    streams = layers.Concatenate(name="streams")(
        [visual_attended, audio_attended, audio_visual_product]
    )  # [B, T, 3D]
    segments = _temporal_encoder(streams, valid, settings)  # [B, T, 3D + 2 * lstm_units]
    if settings.contrast:
        segments, _ = BackgroundContrast(name="contrast")(segments)
    return segment_logits(segments, features, valid, classes, settings, clip_logits)


def bi_avatt(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Baseline: audio attends to visual, then a bidirectional LSTM. Arguments as of `avel`."""
    features, visual, audio = _projected(inputs, settings)
    valid = inputs["valid"]
    stream = _attend(audio, visual, valid, "audio_to_visual_attention", settings)  # [B, T, D]
    segments = _temporal_encoder(stream, valid, settings)  # [B, T, D + 2 * lstm_units]
    return segment_logits(segments, features, valid, classes, settings)


def bi_vaatt(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Baseline: visual attends to audio, then a bidirectional LSTM. Arguments as of `avel`."""
    features, visual, audio = _projected(inputs, settings)
    valid = inputs["valid"]
    stream = _attend(visual, audio, valid, "visual_to_audio_attention", settings)  # [B, T, D]
    segments = _temporal_encoder(stream, valid, settings)  # [B, T, D + 2 * lstm_units]
    return segment_logits(segments, features, valid, classes, settings)


def audio_only(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Baseline: self-attention and LSTM on audio alone. Arguments as of `avel`."""
    valid = inputs["valid"]
    features = normalise(inputs["audio"], valid, "audio")  # [B, T, Da]
    return _single_modality(features, "audio", valid, classes, settings)


def visual_only(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Baseline: self-attention and LSTM on visual alone. Arguments as of `avel`."""
    valid = inputs["valid"]
    features = normalise(inputs["visual"], valid, "visual")  # [B, T, Dv] or [B, T, places, Dv]
    features = pool_places(features, None, attention=False, width=settings.width)  # [B, T, Dv]
    return _single_modality(features, "visual", valid, classes, settings)


NETWORKS = {
    network.__name__: network for network in (avel, bi_avatt, bi_vaatt, audio_only, visual_only)
}


def fuse_modalities(
    visual: Any, audio: Any, valid: Any, settings: ModelSettings
) -> tuple[Any, Any]:
    """Exchange information between two streams, float `[B, T, D]` each, as `cross_modal` says."""
    if settings.cross_modal == "none":
        return visual, audio
    if settings.cross_modal == "propagation":
        layer = PositiveSamplePropagation(settings.width, name="positive_sample_propagation")
        visual_attended, audio_attended = layer(visual, audio, valid)
        return visual_attended, audio_attended
    return (
        _attend(visual, audio, valid, "visual_to_audio_attention", settings),
        _attend(audio, visual, valid, "audio_to_visual_attention", settings),
    )


def _projected(inputs: dict[str, Any], settings: ModelSettings) -> tuple[list[Any], Any, Any]:
    """Normalised features `[B, T, Dv]` and `[B, T, Da]`, and their projections `[B, T, D]`."""
    visual = normalise(inputs["visual"], inputs["valid"], "visual")
    audio = normalise(inputs["audio"], inputs["valid"], "audio")
    visual = pool_places(
        visual, audio, attention=settings.spatial_attention, width=settings.width
    )  # [B, T, Dv]
    features = [visual, audio]
    return features, _project(visual, "visual", settings), _project(audio, "audio", settings)


def _single_modality(
    features: Any, modality: str, valid: Any, classes: int, settings: ModelSettings
) -> Any:
    stream = _project(features, modality, settings)  # [B, T, D]
    stream = _attend(stream, stream, valid, f"{modality}_self_attention", settings)  # [B, T, D]
    segments = _temporal_encoder(stream, valid, settings)  # [B, T, D + 2 * lstm_units]
    return segment_logits(segments, [features], valid, classes, settings)


def _project(features: Any, modality: str, settings: ModelSettings) -> Any:
    return project(
        features,
        modality,
        settings.width,
        input_dropout=settings.input_dropout,
        dropout_rate=settings.dropout,
    )


def _attend(query: Any, source: Any, valid: Any, name: str, settings: ModelSettings) -> Any:
    return attend(query, source, valid, name, heads=settings.heads, dropout_rate=settings.dropout)


def _temporal_encoder(streams: Any, valid: Any, settings: ModelSettings) -> Any:
    return temporal_encoder(streams, valid, settings.lstm_units, dropout_rate=settings.dropout)


@contextmanager
def seeded_layers(seed: int) -> Iterator[None]:
    """Seed every layer created in the context, and restore the caller's random state afterwards.

    Keras draws the seed of an initializer without one from Python's `random`. One explicit seed per
    layer is no alternative: MultiHeadAttention copies its initializer, and an explicit seed makes
    its query and key kernels equal.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def build(
    settings: ModelSettings,
    *,
    visual_width: int,
    audio_width: int,
    classes: int,
    visual_places: int = 1,
    visual_scores: int = 0,
    audio_scores: int = 0,
    named: NamedClasses | None = None,
    seed: int = 0,
) -> keras.Model:
    """Build the Keras model of the settings.

    Compile it with `jit_compile=False` on a CPU: Keras' "auto" compiles with XLA, which makes the
    LSTM about 200 times slower.

    Args:
        settings: network, sizes and optional layers.
        visual_width: Dv, visual features per segment.
        audio_width: Da, audio features per segment.
        classes: C, the event classes without background.
        visual_places: number of places of a visual map; the visual features are then the places
            one after the other (`recipe.visual.places`).
        visual_scores: number of class scores that end the visual features
            (`recipe.visual.score_width`).
        audio_scores: the same for audio.
        named: classes that the class table names, and the columns of their scores.
        seed: of weights and dropout. Global random generators are neither used nor changed.

    Returns:
        A functional model: `{"visual": float32 [B, T, Dv], "audio": float32 [B, T, Da],
        "valid": bool [B, T]}` to logits float32 `[B, T, C+1]`, background last, any T.

    Raises:
        ValueError: If a width or number is below 1, the places do not divide the width, or spatial
            attention is requested without maps.

    Example:
        >>> model = avel_tf.models.build(
        ...     ModelSettings("avel"), visual_width=2048, audio_width=128, classes=28
        ... )
        >>> model.compile("adamw", SegmentCrossEntropy(), jit_compile=False)
    """
    sizes = {
        "visual_width": visual_width,
        "audio_width": audio_width,
        "classes": classes,
        "visual_places": visual_places,
    }
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1. Received: {name}={size}.")
    if visual_width % visual_places:
        raise ValueError(
            "visual_width must be a multiple of visual_places, because each place of a map has the "
            f"same number of features. Received: visual_width={visual_width}, "
            f"visual_places={visual_places}."
        )
    if settings.spatial_attention and visual_places == 1:
        raise ValueError(NO_MAPS)
    with seeded_layers(seed):
        inputs = {
            "visual": keras.Input((None, visual_width), name="visual"),  # [B, T, Dv]
            "audio": keras.Input((None, audio_width), name="audio"),  # [B, T, Da]
            "valid": keras.Input((None,), dtype="bool", name="valid"),  # [B, T]
        }
        features = dict(inputs)
        if visual_places > 1:
            places = layers.Reshape((-1, visual_places, visual_width // visual_places), name="maps")
            features["visual"] = places(inputs["visual"])  # [B, T, places, channels]
        logits = NETWORKS[settings.name](features, classes, settings)  # [B, T, C+1]
        if settings.clip_evidence and settings.head == "per_second":
            widths = {"visual": visual_scores, "audio": audio_scores}
            modalities = [
                name
                for name in widths
                if not settings.name.endswith("_only") or settings.name == f"{name}_only"
            ]
            used = [
                features[name] if features[name].ndim == 3 else ops.mean(features[name], axis=2)
                for name in modalities
            ]  # [B, T, Dv] and [B, T, Da], or one of them
            evidence = ClipEvidence(
                [widths[name] for name in modalities],
                _name_evidence(named, modalities, classes) if named else None,
                name="clip_evidence",
            )
            logits = evidence(logits, used, inputs["valid"])
        return keras.Model(inputs, logits, name=settings.name)


def _name_evidence(named: NamedClasses, modalities: list[str], classes: int) -> NameEvidence:
    columns = named.columns
    scores: dict[str, dict[str, Any]] = {
        "visual": {"columns": columns.visual, "reduction": "sum", "chance": columns.chance},
        "audio": {"columns": columns.audio, "reduction": "max"},
    }
    return NameEvidence(named.classes, [scores[name] for name in modalities], classes)
