"""Features of videos, and their computation from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from avel_tf.engines.engine import Engine
from avel_tf.video.segment_loader import DecodeStatus, SegmentBatch, SegmentLoader

# Audio float32 [N, 16000] -> randomly augmented features [N, Da].
Augment = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a video, or of some of its segments.

    Attributes:
        visual: float32 [T, Dv].
        audio: float32 [T, Da].
        valid: bool [T], segments that were decoded.
        augmented_audio: Further versions of `audio`, each float32 [T, Da].
    """

    visual: np.ndarray
    audio: np.ndarray
    valid: np.ndarray
    augmented_audio: tuple[np.ndarray, ...] = field(default=())

    def of_length(self, seconds: int) -> Features:
        """Cut or pad with invalid segments to a length of `seconds`."""
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


# Receives a decoded batch and its features.
OnBatch = Callable[[SegmentBatch, Features], None]


def embed_parts(
    stream: SegmentLoader,
    engine: Engine,
    *,
    augment: Augment | None = None,
    copies: int = 0,
    on_batch: OnBatch | None = None,
) -> Iterator[tuple[int, Features | DecodeStatus]]:
    """Decode and embed files, batch by batch; the next batch is decoded at the same time.

    Args:
        stream: The files. Its `outcomes` are removed as they are yielded, so that memory does not
            grow with the number of files.
        engine: The engine.
        augment: Function that embeds randomly augmented audio, for `copies` further versions.
        copies: Number of augmented versions.
        on_batch: Called with each decoded batch and its features.

    Yields:
        Index of a file in `stream.requests` with its next features, repeatedly, and finally with
        its status. Files alternate as their segments arrive.
    """
    counts: dict[int, int] = {}

    def ended() -> Iterator[tuple[int, DecodeStatus]]:
        # Decoding threads add outcomes at the same time; list() takes a snapshot.
        for file, outcome in list(stream.outcomes.items()):
            if counts.get(file, 0) == outcome.seconds:  # else its last segments are pending
                del stream.outcomes[file]
                counts.pop(file, None)
                yield file, outcome

    for batch, visual, audio in engine.embed(stream):
        changed = tuple(augment(batch.waveform) for _ in range(copies)) if augment else ()
        counts[batch.file] = counts.get(batch.file, 0) + len(batch.valid)
        features = Features(visual, audio, batch.valid, changed)
        if on_batch:
            on_batch(batch, features)
        yield batch.file, features
        yield from ended()
    yield from ended()


def embed_files(
    stream: SegmentLoader,
    engine: Engine,
    *,
    augment: Augment | None = None,
    copies: int = 0,
    ended: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Features | None, DecodeStatus]]:
    """Decode and embed whole files; see `embed_parts` for the other arguments.

    Args:
        ended: Called with the index of a file as soon as it has ended; earlier files may still be
            in progress.

    Yields:
        For every file, in the order of `stream.requests`: its index, its features (None if it has
        no segment), and its status.
    """
    parts: dict[int, list[Features]] = {}
    done: dict[int, tuple[Features | None, DecodeStatus]] = {}
    next_file = 0
    for file, part in embed_parts(stream, engine, augment=augment, copies=copies):
        if isinstance(part, Features):
            parts.setdefault(file, []).append(part)
            continue
        pieces = parts.pop(file, [])
        done[file] = (_joined(pieces) if pieces else None, part)
        if ended:
            ended(file)
        while next_file in done:
            yield next_file, *done.pop(next_file)
            next_file += 1


def _joined(parts: list[Features]) -> Features:
    copies = zip(*(part.augmented_audio for part in parts), strict=True)
    return Features(
        np.concatenate([part.visual for part in parts]),  # [T, Dv]
        np.concatenate([part.audio for part in parts]),  # [T, Da]
        np.concatenate([part.valid for part in parts]),  # [T]
        tuple(np.concatenate(copy) for copy in copies),
    )
