"""Settings of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.utils.settings import Settings


class TrainingSettings(Settings, section="training"):
    """Settings of one training run."""

    epochs: int = Field(default=60, ge=1, description="Passes over the training split.")
    batch_size: int = Field(default=16, ge=1, description="Windows in a step.")
    learning_rate: float = Field(
        default=1e-3,
        gt=0,
        description="Peak rate of AdamW (Loshchilov and Hutter 2019). It rises over the steps of "
        "the first epoch and falls along a half cosine to zero.",
    )
    # Each step shrinks the weights by the rate times this, so 0.01 had no effect. 1.0:
    # docs/design/accuracy.md.
    weight_decay: float = Field(default=1.0, ge=0, description="Decoupled weight decay of AdamW.")
    label_smoothing: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the target that is spread over all classes (Szegedy et al. 2016).",
    )
    weight_averaging: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Momentum of the moving average of the weights (Polyak and Juditsky 1992), "
        "which validation and the saved model use. 0: no average. 0.99, the default of Keras, "
        "averages over about 100 steps.",
        json_schema_extra={"before": 0.0},
    )
    augmentation: AugmentationSettings = Field(default_factory=AugmentationSettings)
    supervision: Literal["full", "weak"] = Field(
        default="full",
        description="`full`: a label for every segment. `weak`: training and the choice of the "
        "epoch use the events of a video without their times.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Training ends after this many epochs without a better one on validation. The "
        "schedule of the learning rate is unchanged. null: all epochs.",
        json_schema_extra={"before": None},
    )
    window_seconds: int = Field(
        default=10,
        ge=1,
        description="T, the length of a training window. AVE's clips have ten seconds.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed of the weights, of dropout and of the order of the examples.",
    )
    memory_gb: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=True,
        description="Size of features that are kept in memory, in 10^9 bytes. Larger ones are "
        "unpacked to a file in the run's folder and read from there; the weights are the same. "
        "null: half of the memory that is available when training begins.",
        json_schema_extra={"resource_only": True},
    )
