"""Settings of the embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from avel_tf.utils.settings import Settings

# AVE's features were made with ResNet-152 and VGGish (Tian et al. 2018); these are their
# counterparts on TF-Hub.
RESNET_V2_152 = "https://tfhub.dev/google/imagenet/resnet_v2_152/feature_vector/5"
VGGISH = "https://tfhub.dev/google/vggish/1"
COMPACT = "compact"
AUDIOSET_DISTILLED = "audioset-distilled"

# Which frames have the embedding of an earlier frame.
Reuse = Literal["none", "exact", "near"]
# Threshold of `near`: largest difference of a frame's thumbnail, in levels of 0 to 255. Measured in
# docs/design/engines.md.
NEAR_THRESHOLD = 4.0


class VisualSettings(Settings, section="embeddings.visual"):
    """Settings of the visual embedding."""

    module: str = Field(
        default=RESNET_V2_152,
        description="A TF-Hub or Kaggle handle, the path of a SavedModel, `compact` or "
        "`efficientnet-lite2`.",
    )
    frames_per_second: int = Field(
        default=2,
        ge=1,
        le=60,
        description="F, frames sampled in each second. AVE's published features average 16; the "
        "default is explained in docs/design/embeddings.md.",
    )
    size: int | None = Field(
        default=None,
        ge=16,
        le=1024,
        description="Height and width in pixels to which frames are resized, for modules that "
        "accept several sizes. null: the module's own size, or 224.",
    )
    maps: bool = Field(
        default=False,
        description="Extract a map with one vector per place, for `model.spatial_attention`, "
        "instead of one vector per frame. Features grow by the number of places "
        "(docs/design/models.md).",
    )
    endpoint: str | None = Field(
        default=None,
        description="The end point of a TF-Hub module that is used as the map. null: the smallest "
        "map with the most channels, such as `block4` of a ResNet.",
    )
    reuse: Reuse = Field(
        default="exact",
        description="Frames that are not embedded again. `exact`: those that equal the frame "
        "before in every byte, as in slides and stills. `near`: also those that hardly differ, "
        "which changes features (docs/design/engines.md). `none`: every frame is embedded.",
    )

    @model_validator(mode="after")
    def _require_maps_for_an_endpoint(self) -> VisualSettings:
        if self.endpoint is not None and not self.maps:
            raise ValueError(
                "embeddings.visual.endpoint requires embeddings.visual.maps=true. "
                f"Received: endpoint={self.endpoint!r} and maps=false."
            )
        return self


class AudioSettings(Settings, section="embeddings.audio"):
    """Settings of the audio embedding."""

    module: str = Field(
        default=VGGISH,
        description="A TF-Hub or Kaggle handle, the path of a SavedModel, `compact` or "
        "`audioset-distilled`.",
    )
    # AVE's features are VGGish after its last ReLU, which TF-Hub's VGGish omits.
    activation: Literal["relu", "none"] | None = Field(
        default=None,
        description="Activation applied to each vector. null: `relu` for a module, `none` for "
        "`compact` and `audioset-distilled`.",
    )
    output: int | None = Field(
        default=None,
        description="Index of the output with the embedding, for modules that return several. "
        "null: the widest one of rank 2, which for YAMNet is the embedding, not the scores or "
        "the spectrogram.",
    )

    @property
    def resolved_activation(self) -> str:
        """The activation that is applied, with the default filled in."""
        built_in = self.module in (COMPACT, AUDIOSET_DISTILLED)
        return self.activation or ("none" if built_in else "relu")


class EmbeddingSettings(Settings, section="embeddings"):
    """Settings of both embeddings."""

    visual: VisualSettings = Field(default_factory=VisualSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    scores: bool = Field(
        default=False,
        description="Append the class scores of both backbones to their features, for zero-shot "
        "localization and for training with few clips per class. Backbones with scores: "
        "`efficientnet-lite2` and ImageNet classifiers of TF-Hub; `audioset-distilled` and YAMNet.",
    )
    scored_classes: tuple[str, ...] = Field(
        default=(),
        description="Classes of `avel classes` whose scores are appended; empty: all scores of "
        "the backbones' vocabularies.",
    )

    @model_validator(mode="after")
    def _check_scores(self) -> EmbeddingSettings:
        if self.scored_classes and not self.scores:
            raise ValueError(
                "embeddings.scored_classes requires embeddings.scores=true. Received: "
                f"scored_classes={list(self.scored_classes)!r} and scores=false."
            )
        if self.scores and self.visual.maps:
            raise ValueError(
                "embeddings.scores and embeddings.visual.maps cannot be combined, because the "
                "places of a map have no scores. Set one of them to false."
            )
        return self
