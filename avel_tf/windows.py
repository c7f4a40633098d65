"""Long media in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

# Columns such as visual float32 [B, T, Dv], audio float32 [B, T, Da] and valid bool [B, T] ->
# probabilities float32 [B, T, C+1].
Predict = Callable[..., np.ndarray]
# Below this a probability counts as zero, so that one window's certainty cannot be infinite.
_SMALLEST = 1e-12


class WindowLabeller:
    """Labels clips of any length, as their seconds come, with a model trained on windows.

    A clip that is no longer than a window is predicted in one piece. A longer one is covered by
    windows that overlap; where they do, log-probabilities are averaged with a triangular weight,
    which trusts the middle of a window more than its ends. Windows of equal length share batches,
    whichever clip they are of; every batch is filled up to one size, so that the last digits of a
    result do not depend on what else was in it.

    Memory holds a window or two of features for each clip that has begun, and its probabilities.

    Args:
        predict: The model.
        window_seconds: T of a window.
        hop_seconds: From the start of one window to the start of the next.
        batch_size: B, windows predicted at once.

    Example:
        >>> labeller.add(0, visual, audio)
        >>> labeller.end(0)
        >>> labeller.flush()
        >>> for key, probabilities in labeller.take(): ...
    """

    def __init__(
        self, predict: Predict, *, window_seconds: int, hop_seconds: int, batch_size: int
    ) -> None:
        self._predict = predict
        self._window = window_seconds
        self._hop = hop_seconds
        self._batch_size = batch_size
        self._clips: dict[int, _Clip] = {}
        # By length, the windows that wait for a batch to be full.
        self._waiting: dict[int, list[tuple[int, int, tuple[np.ndarray, ...]]]] = {}
        self._done: list[tuple[int, np.ndarray]] = []

    def add(self, key: int, *columns: np.ndarray) -> None:
        """The next seconds of a clip: visual [n, Dv], audio [n, Da] and whatever else."""
        clip = self._clips.setdefault(key, _Clip())
        clip.append(columns)
        while clip.seconds >= clip.next + self._window:
            self._submit(key, clip.next, self._window)
            clip.next += self._hop
            # The last window ends with the clip, and may begin one second after the one before.
            clip.forget(clip.next - self._hop + 1)

    def end(self, key: int) -> None:
        """There are no more seconds of a clip."""
        clip = self._clips.setdefault(key, _Clip())
        clip.ended = True
        start = max(0, clip.seconds - self._window)
        covered = clip.next - self._hop + self._window if clip.next else 0
        if clip.seconds > covered:
            self._submit(key, start, clip.seconds - start)
        self._finish(key)

    def flush(self) -> None:
        """Predict the windows that wait, without waiting for full batches."""
        for length in list(self._waiting):
            self._run(length)

    def take(self) -> list[tuple[int, np.ndarray]]:
        """Clips that are done since the last call: key and probabilities float32 [T, C+1].

        Rows sum to one. A clip without a single second is not among them.
        """
        done, self._done = self._done, []
        return done

    def _submit(self, key: int, start: int, length: int) -> None:
        clip = self._clips[key]
        clip.missing += 1
        waiting = self._waiting.setdefault(length, [])
        waiting.append((key, start, clip.cut(start, length)))
        if len(waiting) == self._batch_size:
            self._run(length)

    def _run(self, length: int) -> None:
        part = self._waiting.pop(length)
        rows = [columns for _, _, columns in part]
        rows += rows[-1:] * (self._batch_size - len(part))
        columns = [np.stack(column) for column in zip(*rows, strict=True)]  # [B, T, ...]
        probabilities = self._predict(*columns)  # [B, T, C+1]
        for (key, start, _), one in zip(part, probabilities, strict=False):
            clip = self._clips[key]
            clip.pieces.append((start, one))
            clip.missing -= 1
            self._finish(key)

    def _finish(self, key: int) -> None:
        clip = self._clips.get(key)
        if clip is not None and clip.ended and not clip.missing:
            del self._clips[key]
            if clip.pieces:
                self._done.append((key, _blend(clip.pieces)))


class _Clip:
    """One clip on its way."""

    def __init__(self) -> None:
        self.seconds = 0
        self.next = 0  # where the next window begins
        self.missing = 0  # windows that have been handed in and not come back
        self.ended = False
        self.pieces: list[tuple[int, np.ndarray]] = []
        self._first = 0  # the second at which the columns begin
        self._columns: tuple[np.ndarray, ...] = ()

    def append(self, columns: tuple[np.ndarray, ...]) -> None:
        if self._columns:
            columns = tuple(
                np.concatenate(pair) for pair in zip(self._columns, columns, strict=True)
            )
        self._columns = columns
        self.seconds = self._first + len(columns[0])

    def forget(self, second: int) -> None:
        """Seconds before this one are not asked for again."""
        self._columns = tuple(column[second - self._first :] for column in self._columns)
        self._first = second

    def cut(self, start: int, length: int) -> tuple[np.ndarray, ...]:
        begin = start - self._first
        return tuple(column[begin : begin + length] for column in self._columns)


def predict_in_windows(
    predict: Predict,
    clips: Sequence[tuple[np.ndarray, ...]],
    *,
    window_seconds: int,
    hop_seconds: int,
    batch_size: int = 64,
) -> list[np.ndarray]:
    """Label clips that are in memory; see `WindowLabeller`.

    Args:
        predict: The model.
        clips: Visual float32 [T, Dv], audio float32 [T, Da] and valid bool [T] of each clip.
        window_seconds: T of a window.
        hop_seconds: From the start of one window to the start of the next.
        batch_size: Windows predicted at once.

    Returns:
        Probabilities float32 [T, C+1] of each clip; rows sum to one.
    """
    labeller = WindowLabeller(
        predict, window_seconds=window_seconds, hop_seconds=hop_seconds, batch_size=batch_size
    )
    for place, columns in enumerate(clips):
        if not len(columns[0]):
            raise ValueError("A clip without a single second cannot be labelled.")
        labeller.add(place, *columns)
        labeller.end(place)
    labeller.flush()
    return [probabilities for _, probabilities in sorted(labeller.take(), key=lambda each: each[0])]


def _blend(pieces: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Weighted mean of log-probabilities [T, C+1] of windows, as probabilities again."""
    if len(pieces) == 1:
        return pieces[0][1]
    # In one order, whichever window came back first: sums of floats depend on it.
    pieces = sorted(pieces, key=lambda piece: piece[0])
    seconds = max(start + len(piece) for start, piece in pieces)
    total = np.zeros([seconds, pieces[0][1].shape[-1]])  # [T, C+1]
    weights = np.zeros([seconds, 1])  # [T, 1]
    for start, piece in pieces:
        weight = _triangle(len(piece))[:, None]  # [T, 1]
        total[start : start + len(piece)] += weight * np.log(np.maximum(piece, _SMALLEST))
        weights[start : start + len(piece)] += weight
    probabilities = np.exp(total / weights)
    return (probabilities / probabilities.sum(-1, keepdims=True)).astype(np.float32)


def _triangle(length: int) -> np.ndarray:
    """Weights [T] that rise to the middle of a window and fall again, never zero."""
    distance = np.abs(np.arange(length) - (length - 1) / 2)
    return 1.0 - distance / ((length + 1) / 2)
