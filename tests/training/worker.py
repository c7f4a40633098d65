"""One of several workers: `python -m tests.training.worker STORE FOLDER ADDRESSES INDEX BATCH`.

Prints the SHA-256 of the weights after the last epoch. The chief also writes FOLDER.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from avel_tf.features.feature_store import FeatureStore
from avel_tf.models import ModelSettings
from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.training.fit import fit
from avel_tf.training.settings import TrainingSettings
from avel_tf.training.workers import Workers

# Nothing is random but the weights at the beginning and the order.
PLAIN = ModelSettings(
    "audio_only", width=8, heads=2, lstm_units=0, head="per_second", dropout=0, input_dropout=0
)


def plain_training(batch_size: int) -> TrainingSettings:
    """Settings without augmentation, of few epochs."""
    none = AugmentationSettings(cross_modal_mixup=0, mixup=0, modality_dropout=0, feature_noise=0)
    return TrainingSettings(epochs=4, batch_size=batch_size, augmentation=none)


def main(store: str, folder: str, addresses: str, index: str, batch_size: str) -> None:
    workers = Workers(addresses.split(","), int(index))
    model = fit(
        FeatureStore(store),
        folder if workers.is_chief else Path(folder).parent,
        model_settings=PLAIN,
        training=plain_training(int(batch_size)),
        workers=workers,
    )
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    print(digest.hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
