"""Features cut to windows of equal length, as batches for training."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from avel_tf.data.feature_store import FeatureStore, FeatureStoreError

logger = logging.getLogger(__name__)

# Windows whose statistics are taken at once: 21 MB of ResNet-152 at ten seconds.
_WINDOWS_AT_ONCE = 256
# An array of zeros of a shape and a type, in memory or on the disk.
Allocate = Callable[[tuple[int, ...], str], np.ndarray]


@dataclass(frozen=True, eq=False)
class Examples:
    """N windows of T seconds.

    Attributes:
        visual: float32 or float16 [N, T, Dv], as the feature store holds them.
        audio: float32 or float16 [N, T, Da].
        valid: bool [N, T].
        targets: int64 [N, T], background is C.
    """

    visual: np.ndarray
    audio: np.ndarray
    valid: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def nbytes(self) -> int:
        """Size of the features."""
        return self.visual.nbytes + self.audio.nbytes

    def valid_seconds(self, stream: str) -> Iterator[np.ndarray]:
        """The vectors of the seconds that are there, one array [n, D] after the other.

        Args:
            stream: `visual` or `audio`.
        """
        vectors: np.ndarray = getattr(self, stream)
        for first in range(0, len(self), _WINDOWS_AT_ONCE):
            part = slice(first, first + _WINDOWS_AT_ONCE)
            yield vectors[part][self.valid[part]]  # [n, D]

    def batches(
        self, batch_size: int, *, seed: int, first_epoch: int, epochs: int
    ) -> tf.data.Dataset:
        """Shuffled batches of the epochs from `first_epoch` on, one epoch after the other.

        The order within an epoch is a function of seed and epoch, so a run that is resumed at an
        epoch sees what an uninterrupted one would have seen. It is an order of all examples, not
        of those in a buffer.

        Returns:
            Elements (inputs, targets [B, T], weights [B, T]), features float32;
            ceil(N / batch_size) an epoch.
        """

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(len(self), dtype=tf.int64),
                seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            )
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

        return self._gathered(tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch))

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Each example once, in batches like those of `batches`."""
        return self._gathered(tf.data.Dataset.range(len(self)).batch(batch_size))

    def _gathered(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        """Batches of the examples of these numbers, int64 [B]."""
        columns = (self.visual, self.audio, self.valid, self.targets)
        types = [tf.as_dtype(column.dtype) for column in columns]

        def pick(rows: np.ndarray) -> tuple[np.ndarray, ...]:
            return tuple(column[rows] for column in columns)  # [B, T, ...]

        def gather(rows: tf.Tensor) -> tuple:
            # numpy picks rows faster than tf.gather (docs/performance.md), needs no second copy of
            # the arrays, and takes those on the disk as well.
            found = tf.numpy_function(pick, [rows], types, stateful=False)
            visual, audio, valid, targets = (
                tf.ensure_shape(tensor, [None, *column.shape[1:]])
                for tensor, column in zip(found, columns, strict=True)
            )
            # Widened here: TensorFlow does it several times as fast as numpy.
            visual, audio = tf.cast(visual, tf.float32), tf.cast(audio, tf.float32)
            inputs = {"visual": visual, "audio": audio, "valid": valid}
            return inputs, targets, tf.cast(valid, tf.float32)

        return numbers.map(gather, num_parallel_calls=2, deterministic=True).prefetch(2)


def load_examples(
    store: FeatureStore,
    split: str,
    *,
    seconds: int,
    memory_bytes: float = math.inf,
    scratch: str | Path = ".",
) -> Examples:
    """Read a split and cut each video into windows of `seconds`.

    A video's last window is padded with seconds that are not valid; windows with no valid second
    are left out. The features are parsed once. Those that do not fit into memory go, parsed, into
    a file without a name, which ends with the process, and are read from there batch by batch;
    the batches are the same.

    Args:
        store: The feature store.
        split: `train`, `validation` or `test`.
        seconds: T.
        memory_bytes: How large the features may be in memory.
        scratch: An existing folder on a disk with room for those that are larger.

    Returns:
        The windows; N is 0 when the split is empty.

    Raises:
        FeatureStoreError: When the features fit neither into memory nor on the disk.
    """
    valid, targets = _second_windows(store, split, seconds)  # [N, T] each
    widths = {"visual": store.recipe.visual.width, "audio": store.recipe.audio.width}
    bytes_ = valid.size * sum(widths.values()) * np.dtype(store.dtype).itemsize
    allocate: Allocate = np.zeros
    if bytes_ > memory_bytes:
        logger.info(
            "The %s split of %s is larger (%.2f GB) than features may be in memory (%.2f GB); it "
            "is unpacked to %s.",
            *(split, store.folder, bytes_ / 1e9, memory_bytes / 1e9, scratch),
        )
        allocate = _on_disk(Path(scratch), store)
    arrays = {
        name: allocate((len(valid), seconds, width), store.dtype) for name, width in widths.items()
    }  # [N, T, D] each
    number = 0
    for record in store.dataset(split, as_stored=True).as_numpy_iterator():
        for start in range(0, len(record["valid"]), seconds):
            stop = min(start + seconds, len(record["valid"]))
            if record["valid"][start:stop].any():
                for name, array in arrays.items():
                    array[number, : stop - start] = record[name][start:stop]
                number += 1
    return Examples(arrays["visual"], arrays["audio"], valid, targets)


def _second_windows(store: FeatureStore, split: str, seconds: int) -> tuple[np.ndarray, np.ndarray]:
    """Which seconds of each window are there, bool [N, T], and what they are, int64 [N, T]."""
    valid, targets = [], []
    for record in store.seconds(split).as_numpy_iterator():
        for start in range(0, len(record["valid"]), seconds):
            window = slice(start, start + seconds)
            missing = [(0, seconds - len(record["valid"][window]))]
            if record["valid"][window].any():
                valid.append(np.pad(record["valid"][window], missing))  # [T]
                targets.append(
                    np.pad(
                        record["targets"][window], missing, constant_values=store.labels.background
                    )
                )  # [T]
    shape = (len(valid), seconds)
    return np.array(valid, bool).reshape(shape), np.array(targets, np.int64).reshape(shape)


def _on_disk(folder: Path, store: FeatureStore) -> Allocate:
    def allocate(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                # Now, with an error: to write later to a mapped page without room is fatal.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise FeatureStoreError(
                    f"The features of {store.folder} do not fit into memory, and there is no room "
                    f"to unpack {size / 1e9:.2f} GB of them in {folder} ({error.strerror}). Make "
                    "room there, raise training.memory_gb, or extract them as float16 "
                    "(data.feature_dtype)."
                ) from error
            return np.asarray(np.memmap(file, dtype, mode="r+", shape=shape))

    return allocate
