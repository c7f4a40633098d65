"""The augmentations of a batch, applied in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from avel_tf.features.examples import Batch
from avel_tf.training.augmentation.cross_modal_mixup import cross_modal_mixup
from avel_tf.training.augmentation.feature_noise import feature_noise
from avel_tf.training.augmentation.mixup import mixup
from avel_tf.training.augmentation.modality_dropout import modality_dropout
from avel_tf.training.augmentation.settings import AugmentationSettings


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and deviation of each feature of one modality over the training split.

    Attributes:
        mean: float32 [D].
        deviation: float32 [D]; 0 where a feature never changes.
    """

    mean: np.ndarray
    deviation: np.ndarray


class Augmentation:
    """Random changes to a batch of windows, determined by seed, epoch and step.

    A resumed run therefore draws the same changes as an uninterrupted one. Each augmentation has a
    seed of its own, so switching one on does not change the others.

    Args:
        settings: How strong each piece is.
        classes: C.
        statistics: Of `visual` and of `audio`, or of the one that the model uses. Augmentations
            across modalities are then left out, because their targets need both.
        clip_labels: Targets name the events of a clip without times (weak supervision).

    Example:
        >>> augmentation = Augmentation(AugmentationSettings(mixup=0.2), 28, statistics)
        >>> examples.batches(16, seed=0, first_epoch=0, epochs=60, augment=augmentation)
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        classes: int,
        statistics: dict[str, Statistics],
        *,
        clip_labels: bool = False,
    ) -> None:
        self._depth = classes + 1
        # A modality that the model does not use needs no noise.
        unseen = Statistics(np.zeros(1, np.float32), np.zeros(1, np.float32))
        visual, audio = (statistics.get(name, unseen) for name in ("visual", "audio"))
        pieces: dict[str, Callable[[Batch, tf.Tensor], Batch]] = {
            "cross_modal_mixup": partial(
                cross_modal_mixup, share=settings.cross_modal_mixup, clip_labels=clip_labels
            ),
            "mixup": partial(mixup, alpha=settings.mixup),
            "modality_dropout": partial(
                modality_dropout,
                share=settings.modality_dropout,
                visual_mean=visual.mean,
                audio_mean=audio.mean,
            ),
            "feature_noise": partial(
                feature_noise,
                strength=settings.feature_noise,
                visual_deviation=visual.deviation,
                audio_deviation=audio.deviation,
            ),
        }
        both = len(statistics) == 2
        self._pieces = [
            (number, piece)
            for number, (name, piece) in enumerate(pieces.items())
            if getattr(settings, name) and (both or name in ("mixup", "feature_noise"))
        ]
        self._mixes = settings.mixup > 0 or (both and settings.cross_modal_mixup > 0)

    def __bool__(self) -> bool:
        """True if any augmentation is switched on."""
        return bool(self._pieces)

    def __call__(self, batch: Batch, seed: tf.Tensor, step: tf.Tensor) -> Batch:
        """Change a batch.

        Args:
            batch: The windows.
            seed: int64 [2], the run's seed and the epoch.
            step: int64, the number of the batch in its epoch.

        Returns:
            The windows, targets float32 [B, T, C+1] where a piece mixes them.
        """
        if self._mixes and batch.targets.shape.rank == 2:
            batch = batch._replace(targets=tf.one_hot(batch.targets, self._depth))  # [B, T, C+1]
        key = tf.random.fold_in(seed, step)
        for number, piece in self._pieces:
            batch = piece(batch, tf.random.fold_in(key, number))
        return batch
