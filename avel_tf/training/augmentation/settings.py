"""Settings of augmentation."""

from __future__ import annotations

from pydantic import Field

from avel_tf.utils.settings import Settings


class AugmentationSettings(Settings, section="training.augmentation"):
    """Augmentation of the windows of a training batch; 0 turns a method off.

    Validation and test data are never augmented. docs/guide/training.md describes the effect of
    each method on the targets, and which of them improved accuracy.
    """

    cross_modal_mixup: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the windows whose audio is replaced by the audio of another window. "
        "The label becomes background, unless both windows have the same event in the same "
        "segment.",
        json_schema_extra={"before": 0.0},
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="Alpha of the Beta distribution of the mixing weight (Zhang et al. 2018, who "
        "use 0.1 to 0.4 on ImageNet). Video, audio and targets are mixed alike.",
        json_schema_extra={"before": 0.0},
    )
    modality_dropout: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the windows that lose either all video or all audio (Neverova et "
        "al. 2016).",
        json_schema_extra={"before": 0.0},
    )
    feature_noise: float = Field(
        default=0.0,
        ge=0,
        description="Noise on every feature, in standard deviations of that feature over "
        "the training split (Bishop 1995).",
        json_schema_extra={"before": 0.0},
    )
