"""The features of one video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from avel_tf.data.second_stream import Outcome, SecondStream

# frames uint8 [B, T, F, H, W, 3], waveform float32 [B, T*16000] -> visual [B, T, Dv],
# audio [B, T, Da]: a FeatureExtractor, or the `embed` signature of a SavedModel.
Embed = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# seconds of sound float32 [N, 16000] -> audio [N, Da], changed at random.
Augment = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, eq=False)
class Features:
    """One video as vectors.

    Attributes:
        visual: float32 [T, Dv].
        audio: float32 [T, Da].
        valid: bool [T], which seconds were really there.
        augmented_audio: Further versions of `audio`, each float32 [T, Da].
    """

    visual: np.ndarray
    audio: np.ndarray
    valid: np.ndarray
    augmented_audio: tuple[np.ndarray, ...] = field(default=())

    def of_length(self, seconds: int) -> Features:
        """Cut to `seconds`, or padded with seconds that are not valid."""
        missing = seconds - len(self.valid)

        def fit(values: np.ndarray) -> np.ndarray:
            padding = [(0, max(missing, 0))] + [(0, 0)] * (values.ndim - 1)
            return np.pad(values[:seconds], padding)

        return Features(
            fit(self.visual),
            fit(self.audio),
            fit(self.valid),
            tuple(fit(each) for each in self.augmented_audio),
        )


def embed_files(
    stream: SecondStream,
    embed: Embed,
    *,
    batch_seconds: int,
    augment: Augment | None = None,
    copies: int = 0,
) -> Iterator[tuple[int, Features | None, Outcome]]:
    """Decode and embed files; decoding of the next seconds runs while these are embedded.

    Args:
        stream: The files.
        embed: The backbones.
        batch_seconds: Seconds embedded in one call.
        augment: Embeds sound changed at random, for `copies` further versions of each file.
        copies: How many.

    Yields:
        For every file, in the order of `stream.paths`: its place there, its features (`None` when
        it gave no second), and how its decoding ended.
    """
    parts: dict[int, list[tuple[np.ndarray, ...]]] = {}
    next_file = 0
    batches = stream.dataset().batch(batch_seconds).prefetch(2)
    for batch in batches:
        # Each second is a clip of its own here: B = batch_seconds, T = 1.
        visual, audio = embed(batch["frames"][:, None], batch["waveform"])  # [N, 1, D]
        columns = [visual.numpy()[:, 0], audio.numpy()[:, 0], batch["valid"].numpy()]
        if augment:
            columns += [augment(batch["waveform"]).numpy() for _ in range(copies)]
        files = batch["file"].numpy()
        for file in np.unique(files):
            rows = files == file
            parts.setdefault(int(file), []).append(tuple(column[rows] for column in columns))
        while _is_complete(next_file, stream, parts):
            yield _finish(next_file, stream, parts)
            next_file += 1
    while next_file < len(stream.paths):
        yield _finish(next_file, stream, parts)
        next_file += 1


def _is_complete(file: int, stream: SecondStream, parts: dict) -> bool:
    outcome = stream.outcomes.get(file)
    if outcome is None:
        return False
    return sum(len(part[0]) for part in parts.get(file, [])) == outcome.seconds


def _finish(file: int, stream: SecondStream, parts: dict) -> tuple[int, Features | None, Outcome]:
    outcome = stream.outcomes[file]
    pieces = parts.pop(file, [])
    if not pieces or outcome.error is not None:
        return file, None, outcome
    visual, audio, valid, *copies = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return file, Features(visual, audio, valid, tuple(copies)), outcome
