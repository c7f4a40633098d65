"""The processes that train one model together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avel_tf.features.feature_store import Part


class WorkerLost(RuntimeError):
    """Another worker has ended, so this one cannot go on."""


@contextlib.contextmanager
def reporting_lost_workers() -> Iterator[None]:
    """Report what a sum raises when another worker has ended as `WorkerLost`."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise WorkerLost(
            "Another worker has ended. Start all of them again with --resume: training goes on "
            "from the last epoch."
        ) from error


class Workers:
    """One of N processes that train a model together, and its connection to the others.

    `tf.distribute.MultiWorkerMirroredStrategy` connects them, and serves as nothing but a sum over
    the workers: Keras 3 models are not trained under it by `fit`, and their variables are ordinary
    ones, which stay equal because every worker adds the same sums. Worker 0 is the chief: it alone
    validates and writes files.

    Must be created before TensorFlow has run any operation; waits for the other workers.

    Args:
        addresses: `host:port` of every worker, the same list for all.
        index: Number of this worker in the list.

    Raises:
        ValueError: There are fewer than two addresses, or the index is not of one.

    Reference:
        TensorFlow, Multi-worker training with a custom training loop.
    """

    def __init__(self, addresses: Sequence[str], index: int) -> None:
        if len(addresses) < 2 or not 0 <= index < len(addresses):
            raise ValueError(
                "Training on several workers needs at least two addresses (--workers) and the "
                f"number of this one among them, counted from 0 (--index). Received: "
                f"{', '.join(addresses) or 'none'}; index {index}."
            )
        self.index, self.count = index, len(addresses)
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
        )
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # Outside of a graph, collectives are slow.
        self._sums = tf.function(self._run, autograph=False)

    @property
    def is_chief(self) -> bool:
        """True for the worker that validates and writes files."""
        return self.index == 0

    @property
    def part(self) -> Part:
        """This worker's part of the records of a split."""
        return Part(self.index, self.count)

    def add(self, tensors: Sequence[Any]) -> list[tf.Tensor]:
        """Sum tensors over the workers; all call this in the same order with the same shapes.

        Args:
            tensors: Of any shapes and one type: float32, float64, int32 or int64.

        Returns:
            The sums, equal bits on every worker.
        """

        return self._sums([tf.convert_to_tensor(each) for each in tensors])

    def _run(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        def sums() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            placed = [tf.identity(each) for each in tensors]  # on the replica's device
            return context.all_reduce(tf.distribute.ReduceOp.SUM, placed)

        return self._strategy.run(sums)

    def from_chief(self, number: int) -> int:
        """A number of the chief, on every worker."""
        (total,) = self.add([tf.constant(number if self.is_chief else 0, tf.int64)])
        return int(total)

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every worker the chief's values of Keras variables."""
        arrays = [keras.ops.convert_to_numpy(each) for each in variables]
        content = b"".join(each.tobytes() for each in arrays)
        # Bits, not numbers: collectives do not take the unsigned random states of dropout, and
        # -0.0 plus 0.0 is another number.
        words = np.frombuffer(content.ljust(-(-len(content) // 4) * 4, b"\0"), np.int32)
        (received,) = self.add([tf.constant(words if self.is_chief else np.zeros_like(words))])
        content, start = received.numpy().tobytes(), 0
        for variable, array in zip(variables, arrays, strict=True):
            value = np.frombuffer(content, array.dtype, array.size, start)
            variable.assign(value.reshape(array.shape))
            start += array.nbytes

    def checksums(self, variables: Sequence[Any]) -> list[int]:
        """Checksum of the variables of every worker: the first 56 bits of their SHA-256."""
        digest = hashlib.sha256()
        for each in variables:
            digest.update(keras.ops.convert_to_numpy(each).tobytes())
        row = np.zeros(self.count, np.int64)
        row[self.index] = int.from_bytes(digest.digest()[:7], "big")
        return self.add([tf.constant(row)])[0].numpy().tolist()
