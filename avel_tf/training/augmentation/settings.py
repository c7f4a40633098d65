"""Settings of augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# What runs did that began before there was such a setting; see avel_tf.config.differences.
_BEFORE = {"before": 0.0}


@dataclass(frozen=True)
class AugmentationSettings:
    """Augmentation of the windows of a batch.

    Every piece is off at 0. Validation and test are never touched. What each piece does to the
    targets, and which were worth it, stands in docs/guide/training.md.

    Args:
        cross_modal_mixup: Share of the windows that receive the audio of another window instead of
            their own sound. What is both heard and seen then is background, unless both show the
            same event in the same second.
        mixup: Alpha of the Beta distribution from which mixup draws how much of a window is its
            own (Zhang et al. 2018, who use 0.1 to 0.4 on ImageNet). Picture, sound and target are
            mixed alike.
        modality_dropout: Share of the windows that lose all pictures or all sound, never both
            (Neverova et al. 2016).
        feature_noise: Noise on every feature, in standard deviations that the feature has
            over the training split (Bishop 1995).
    """

    cross_modal_mixup: float = field(default=0.0, metadata=_BEFORE)
    mixup: float = field(default=0.0, metadata=_BEFORE)
    modality_dropout: float = field(default=0.0, metadata=_BEFORE)
    feature_noise: float = field(default=0.0, metadata=_BEFORE)

    def __post_init__(self) -> None:
        for name in ("cross_modal_mixup", "modality_dropout"):
            # Written such that NaN, which is neither above nor below anything, is refused as well.
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"training.augmentation.{name} is a share of the windows and must lie in "
                    f"[0, 1]. Received: {getattr(self, name)}"
                )
        for name in ("mixup", "feature_noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"training.augmentation.{name} must not be negative. "
                    f"Received: {getattr(self, name)}"
                )
