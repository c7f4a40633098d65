"""Chosen segments of files: batches of them alone, and their features back in place."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from avel_tf.features.features import Features
from avel_tf.video.decode_request import BLOCK_SECONDS
from avel_tf.video.segment_loader import DecodeStatus, SegmentBatch, SegmentLoader

# visual [n, Dv], audio [n, Da], valid [n] and chosen [n] of consecutive segments.
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class ChosenSegments:
    """Source of batches for an engine that holds the chosen segments of a loader's files.

    Batch k of a file contains its chosen segments from k N to (k + 1) N, so its content depends on
    the file alone. If all segments are chosen, the batches are those of the loader.

    Args:
        loader: The files.
        chosen: Mask of the chosen segments of each file, bool [T], at least one of them true.

    Attributes:
        files: State of each file.
    """

    def __init__(self, loader: SegmentLoader, chosen: Sequence[np.ndarray]) -> None:
        self._loader = loader
        self.files = [ChosenFile(mask) for mask in chosen]

    @property
    def failure(self) -> BaseException | None:
        """Exception that ended the batches early."""
        return self._loader.failure

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        """Yield batches of up to N chosen segments; see `SegmentLoader.batches`."""
        waiting: dict[int, SegmentBatch] = {}
        with contextlib.closing(self._loader.batches(seconds)) as batches:
            for batch in batches:
                file = self.files[batch.file]
                kept = _part(batch, file.read(batch.valid))
                if batch.file in waiting:
                    kept = _joined(waiting.pop(batch.file), kept)
                while len(kept.valid) >= seconds or (file.all_read and len(kept.valid)):
                    yield _part(kept, slice(seconds))
                    kept = _part(kept, slice(seconds, None))
                if len(kept.valid):
                    waiting[batch.file] = kept

    def ended(self, *, all_files: bool = False) -> Iterator[tuple[int, DecodeStatus]]:
        """Remove and yield the files that were read to their end and have all their features.

        Args:
            all_files: Also those whose chosen segments were not all decoded.
        """
        # Decoding threads add others, and those of files whose last segments are not read yet.
        for file, status in list(self._loader.outcomes.items()):
            if all_files or self.files[file].complete(status.seconds):
                del self._loader.outcomes[file]
                yield file, status


class ChosenFile:
    """Progress of one file.

    Args:
        chosen: Mask of the chosen segments, bool [T].
    """

    def __init__(self, chosen: np.ndarray) -> None:
        self.chosen = chosen
        self._seconds = np.flatnonzero(chosen)
        self._valid: list[np.ndarray] = []
        self._read = 0  # segments that were decoded
        self._placed = 0  # chosen segments that have features
        self._filled = 0  # segments returned by `place`

    @property
    def valid(self) -> np.ndarray:
        """Mask of all decoded segments, bool [T]."""
        return np.concatenate(self._valid)

    @property
    def all_read(self) -> bool:
        """True if no chosen segment is left to decode."""
        return self._read > self._seconds[-1]

    @property
    def all_placed(self) -> bool:
        """True if all chosen segments have features."""
        return self._placed == len(self._seconds)

    def complete(self, seconds: int) -> bool:
        """True if all of so many segments were read, and the chosen ones have features."""
        return self.all_placed and self._read == seconds

    def read(self, valid: np.ndarray) -> np.ndarray:
        """Take note of the next decoded segments.

        Args:
            valid: bool [n].

        Returns:
            Mask of the chosen ones, bool [n].
        """
        begin, self._read = self._read, self._read + len(valid)
        self._valid.append(valid)
        mask = np.zeros(len(valid), bool)
        here = self.chosen[begin : self._read]  # shorter if the file has grown
        mask[: len(here)] = here
        return mask

    def place(self, features: Features) -> Iterator[Columns]:
        """Put the features of the next chosen segments in their place.

        Args:
            features: Of n chosen segments.

        Yields:
            Consecutive segments of the file up to these, or to its end after the last ones, at most
            a block at a time. Segments that are not chosen have zeros and are not valid.
        """
        first, self._placed = self._placed, self._placed + len(features.valid)
        seconds = self._seconds[first : self._placed]
        stop = len(self.chosen) if self.all_placed else int(seconds[-1]) + 1
        for begin in range(self._filled, stop, BLOCK_SECONDS):
            length = min(BLOCK_SECONDS, stop - begin)
            here = (seconds >= begin) & (seconds < begin + length)  # [n]
            yield (
                spread(features.visual[here], seconds[here] - begin, length),
                spread(features.audio[here], seconds[here] - begin, length),
                spread(features.valid[here], seconds[here] - begin, length),
                self.chosen[begin : begin + length],
            )
        self._filled = stop

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values [T, ...] from those of the chosen segments, with zeros elsewhere."""
        return spread(values, self._seconds, len(self.chosen))


def spread(values: np.ndarray, places: np.ndarray, length: int) -> np.ndarray:
    """Array [length, ...] of zeros with `values` [n, ...] at `places` [n]."""
    result = np.zeros([length, *values.shape[1:]], values.dtype)
    result[places] = values
    return result


def _part(batch: SegmentBatch, segments: np.ndarray | slice) -> SegmentBatch:
    return SegmentBatch(
        batch.file, batch.frames[segments], batch.waveform[segments], batch.valid[segments]
    )


def _joined(first: SegmentBatch, second: SegmentBatch) -> SegmentBatch:
    return SegmentBatch(
        first.file,
        np.concatenate([first.frames, second.frames]),
        np.concatenate([first.waveform, second.waveform]),
        np.concatenate([first.valid, second.valid]),
    )
