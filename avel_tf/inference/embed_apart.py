"""Embedding for inference, in which no file shares a batch with another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from avel_tf.data.features import Embed, Features
from avel_tf.data.second_stream import Outcome, SecondStream

Second = dict[str, tf.Tensor]


def embed_apart(
    stream: SecondStream, embed: Embed, *, batch_seconds: int
) -> Iterator[tuple[int, Features | None, Outcome]]:
    """Decode and embed files, each result as soon as it is there.

    `embed_files` fills its batches with seconds of several files, and the last digits of an
    embedding depend on the batch. Here they depend on the file alone, so that it does not matter
    to the bytes of a result how many workers there are, what lies beside the file, and whether
    the run was interrupted.

    Args:
        stream: The files. Its `outcomes` are taken away as they are used, so that memory does not
            grow with the number of files.
        embed: The backbones.
        batch_seconds: Seconds of one file embedded in one call.

    Yields:
        For every file, in the order in which they end: its place in `stream.paths`, its features
        (`None` when it gave no second), and how its decoding ended.
    """
    seconds: dict[int, list[Second]] = {}  # decoded, not yet embedded
    parts: dict[int, list[Features]] = {}  # embedded
    counts: dict[int, int] = {}

    def finished() -> Iterator[tuple[int, Features | None, Outcome]]:
        # Decoding threads add to the outcomes meanwhile; list() takes one consistent look.
        for file, outcome in list(stream.outcomes.items()):
            if counts.get(file, 0) != outcome.seconds:
                continue  # its last seconds are still on their way
            del stream.outcomes[file]
            counts.pop(file, None)
            rest = seconds.pop(file, [])
            embedded = parts.pop(file, [])
            if outcome.error is not None or not outcome.seconds:
                yield file, None, outcome
                continue
            if rest:
                embedded.append(_embedded(rest, embed))
            yield file, _joined(embedded), outcome

    # As many seconds are decoded ahead as one call embeds.
    for second in stream.dataset().prefetch(batch_seconds):
        file = int(second["file"])
        counts[file] = counts.get(file, 0) + 1
        waiting = seconds.setdefault(file, [])
        waiting.append(second)
        if len(waiting) == batch_seconds:
            parts.setdefault(file, []).append(_embedded(waiting, embed))
            waiting.clear()
        yield from finished()
    yield from finished()


def _embedded(seconds: list[Second], embed: Embed) -> Features:
    frames = tf.stack([second["frames"] for second in seconds])[:, None]  # [N, 1, F, H, W, 3]
    waveform = tf.stack([second["waveform"] for second in seconds])  # [N, 16000]
    visual, audio = embed(frames, waveform)  # [N, 1, D]
    valid = np.array([bool(second["valid"]) for second in seconds])  # [N]
    return Features(visual.numpy()[:, 0], audio.numpy()[:, 0], valid)


def _joined(parts: list[Features]) -> Features:
    visual = np.concatenate([part.visual for part in parts])  # [T, Dv]
    audio = np.concatenate([part.audio for part in parts])  # [T, Da]
    return Features(visual, audio, np.concatenate([part.valid for part in parts]))
