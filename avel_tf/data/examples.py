"""Features in memory, cut to windows of equal length, as batches for training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from avel_tf.data.feature_store import FeatureStore


@dataclass(frozen=True, eq=False)
class Examples:
    """N windows of T seconds.

    Attributes:
        visual: float32 [N, T, Dv].
        audio: float32 [N, T, Da].
        valid: bool [N, T].
        targets: int64 [N, T], background is C.
    """

    visual: np.ndarray
    audio: np.ndarray
    valid: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.valid)

    def inputs(self) -> dict[str, np.ndarray]:
        """What a model takes."""
        return {"visual": self.visual, "audio": self.audio, "valid": self.valid}

    def batches(
        self, batch_size: int, *, seed: int, first_epoch: int, epochs: int
    ) -> tf.data.Dataset:
        """Shuffled batches of the epochs from `first_epoch` on, one epoch after the other.

        The order within an epoch is a function of seed and epoch, so a run that is resumed at an
        epoch sees what an uninterrupted one would have seen.

        Returns:
            Elements (inputs, targets [B, T], weights [B, T]); ceil(N / batch_size) an epoch.
        """
        everything = (self.inputs(), self.targets, self.valid.astype(np.float32))
        tensors = tf.nest.map_structure(tf.constant, everything)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(len(self)), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
            )
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

        def gather(rows: tf.Tensor) -> tuple:
            return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)

        order = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
        return order.map(gather, num_parallel_calls=2, deterministic=True).prefetch(2)


def load_examples(store: FeatureStore, split: str, *, seconds: int) -> Examples:
    """Read a split and cut each video into windows of `seconds`.

    A video's last window is padded with seconds that are not valid; windows with no valid second
    are left out.

    Args:
        store: The feature store.
        split: `train`, `validation` or `test`.
        seconds: T.

    Returns:
        The windows; N is 0 when the split is empty.
    """
    windows = list(_windows(store, split, seconds))
    if not windows:
        recipe = store.recipe
        return Examples(
            np.zeros([0, seconds, recipe.visual.width], np.float32),
            np.zeros([0, seconds, recipe.audio.width], np.float32),
            np.zeros([0, seconds], bool),
            np.zeros([0, seconds], np.int64),
        )
    return Examples(*(np.stack(column) for column in zip(*windows, strict=True)))


def _windows(
    store: FeatureStore, split: str, seconds: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    background = store.labels.background
    for record in store.dataset(split).as_numpy_iterator():
        total = len(record["valid"])
        for start in range(0, total, seconds):
            stop = min(start + seconds, total)
            missing = start + seconds - stop
            if not record["valid"][start:stop].any():
                continue
            yield (
                np.pad(record["visual"][start:stop], [(0, missing), (0, 0)]),
                np.pad(record["audio"][start:stop], [(0, missing), (0, 0)]),
                np.pad(record["valid"][start:stop], [(0, missing)]),
                np.pad(record["targets"][start:stop], [(0, missing)], constant_values=background),
            )
