"""Settings of training."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field

from avel_tf.training.augmentation.settings import AugmentationSettings

SUPERVISION = ("full", "weak")


@dataclass(frozen=True)
class TrainingSettings:
    """One training run.

    Args:
        epochs: Passes over the training split.
        batch_size: Windows in a step.
        learning_rate: Peak rate of AdamW (Loshchilov and Hutter 2019); it rises over the first
            epoch's steps and falls along a half cosine to zero.
        weight_decay: Decoupled weight decay of AdamW; times the rate it is what a step takes of the
            weights, so 0.01 was as good as none. 1.0: docs/design/accuracy.md.
        label_smoothing: Share of the target that is spread over all classes (Szegedy et al. 2016).
        weight_averaging: How much of the mean of the weights stays at each step; validation and the
            kept model have that mean (Polyak and Juditsky 1992). 0: no mean. 0.99, Keras' default,
            remembers about 100 steps.
        augmentation: What happens to a batch before the network sees it.
        supervision: `full`: labels of every second; `weak`: training, and the choice of its epoch,
            use the events of a video without their times.
        patience: After how many epochs without a better one on validation training ends; the rate
            falls as if it did not. `None`: all epochs.
        window_seconds: T, the length of a training window. AVE's clips last ten seconds.
        seed: Seed of the weights, of dropout and of the order of examples.
        memory_gb: How large features may be in memory, in 10^9 bytes. Larger ones are unpacked to a
            file in the run's folder and read from there; the weights are the same. `None`: half of
            what is available when training begins.
    """

    epochs: int = 60
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    label_smoothing: float = 0.1
    weight_averaging: float = field(default=0.0, metadata={"before": 0.0})
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    supervision: str = "full"
    patience: int | None = field(default=None, metadata={"before": None})
    window_seconds: int = 10
    seed: int = 0
    memory_gb: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "window_seconds"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"training.{name} must be at least 1. Received: {getattr(self, name)}"
                )
        # Written such that NaN, which is neither above nor below anything, is refused as well.
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"training.learning_rate must be above 0. Received: {self.learning_rate}"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"training.weight_decay must not be negative. Received: {self.weight_decay}"
            )
        for name in ("label_smoothing", "weight_averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"training.{name} must lie in [0, 1). Received: {getattr(self, name)}"
                )
        if self.supervision not in SUPERVISION:
            near = difflib.get_close_matches(str(self.supervision), SUPERVISION, n=1, cutoff=0)
            raise ValueError(
                f"training.supervision must be one of {', '.join(SUPERVISION)}. Did you mean "
                f"{near[0]}? Received: {self.supervision!r}"
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(
                f"training.patience must be at least 1, or null. Received: {self.patience}"
            )
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"training.seed must lie in [0, 2^31). Received: {self.seed}")
        if self.memory_gb is not None and not self.memory_gb >= 0:
            raise ValueError(f"training.memory_gb must not be negative. Received: {self.memory_gb}")
