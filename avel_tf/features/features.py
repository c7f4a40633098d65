"""Features of video files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from avel_tf.engines.engine import Engine
from avel_tf.video.segment_loader import DecodeStatus, SegmentLoader

# seconds of sound float32 [N, 16000] -> audio [N, Da], changed at random.
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


def embed_parts(
    stream: SegmentLoader, engine: Engine, *, augment: Augment | None = None, copies: int = 0
) -> Iterator[tuple[int, Features | DecodeStatus]]:
    """Decode and embed files, part by part; the next seconds are decoded meanwhile.

    Args:
        stream: The files. Its `outcomes` are taken away as they are used, so that memory does not
            grow with the number of files.
        engine: What embeds.
        augment: Embeds sound changed at random, for `copies` further versions of each part.
        copies: How many.

    Yields:
        For each file its place in `stream.paths` with its next seconds, again and again, and at
        last with its outcome; files take turns as their seconds come.
    """
    counts: dict[int, int] = {}

    def ended() -> Iterator[tuple[int, DecodeStatus]]:
        # Decoding threads add to the outcomes meanwhile; list() takes one consistent look.
        for file, outcome in list(stream.outcomes.items()):
            if counts.get(file, 0) == outcome.seconds:  # else the last are still on their way
                del stream.outcomes[file]
                counts.pop(file, None)
                yield file, outcome

    for batch, visual, audio in engine.embed(stream):
        changed = tuple(augment(batch.waveform) for _ in range(copies)) if augment else ()
        counts[batch.file] = counts.get(batch.file, 0) + len(batch.valid)
        yield batch.file, Features(visual, audio, batch.valid, changed)
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
    """Decode and embed files, each in one piece; arguments as of `embed_parts`.

    Args:
        ended: Called with a file's place as soon as it has ended; those before it may still be on
            their way.

    Yields:
        For every file, in the order of `stream.paths`: its place there, its features (`None` when
        it gave no second), and how its decoding ended.
    """
    parts: dict[int, list[Features]] = {}
    done: dict[int, tuple[Features | None, DecodeStatus]] = {}
    following = 0
    for file, part in embed_parts(stream, engine, augment=augment, copies=copies):
        if isinstance(part, Features):
            parts.setdefault(file, []).append(part)
            continue
        pieces = parts.pop(file, [])
        done[file] = (_joined(pieces) if pieces else None, part)
        if ended:
            ended(file)
        while following in done:
            yield following, *done.pop(following)
            following += 1


def _joined(parts: list[Features]) -> Features:
    copies = zip(*(part.augmented_audio for part in parts), strict=True)
    return Features(
        np.concatenate([part.visual for part in parts]),  # [T, Dv]
        np.concatenate([part.audio for part in parts]),  # [T, Da]
        np.concatenate([part.valid for part in parts]),  # [T]
        tuple(np.concatenate(copy) for copy in copies),
    )
