"""Prediction over long clips in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

# Columns such as visual float32 [B, T, Dv], audio float32 [B, T, Da] and valid bool [B, T] ->
# probabilities float32 [B, T, C+1].
Predict = Callable[..., np.ndarray]
# Smallest probability, so that logarithms are finite.
_SMALLEST = 1e-12


class WindowLabeller:
    """Incremental prediction for clips of any length, with a model trained on windows.

    A clip that is not longer than a window is predicted at once. A longer one is covered by
    overlapping windows, whose log-probabilities are averaged with triangular weights, highest in
    the middle of a window. A batch contains windows of one clip, in order, so that the last bits of
    a result depend on that clip alone (docs/architecture.md, Determinism).

    Memory holds a batch of windows for each clip in progress, and its probabilities.

    Args:
        predict: Function of the model.
        window_seconds: T of a window.
        hop_seconds: From the start of one window to the start of the next.
        batch_size: B, most windows predicted at once.
        multi_label: Whether the probabilities of classes are independent.

    Example:
        >>> labeller.add(0, visual, audio)
        >>> probabilities = labeller.end(0)
    """

    def __init__(
        self,
        predict: Predict,
        *,
        window_seconds: int,
        hop_seconds: int,
        batch_size: int,
        multi_label: bool = False,
    ) -> None:
        self._predict = predict
        self._multi_label = multi_label
        self._window = window_seconds
        self._hop = hop_seconds
        self._batch_size = batch_size
        self._clips: dict[int, _Clip] = {}

    def add(self, key: int, *columns: np.ndarray) -> None:
        """Adds the next segments of a clip.

        Args:
            key: Identifier of the clip.
            *columns: visual [n, Dv], audio [n, Da] and further inputs of the model.
        """
        clip = self._clips.setdefault(key, _Clip())
        clip.append(columns)
        while clip.seconds >= clip.next + self._window:
            clip.windows.append((clip.next, clip.cut(clip.next, self._window)))
            clip.next += self._hop
            # The last window ends with the clip and may start one second after the previous one.
            clip.forget(clip.next - self._hop + 1)
            if len(clip.windows) == self._batch_size:
                self._run(clip)

    def end(self, key: int) -> np.ndarray:
        """Ends a clip.

        Args:
            key: Identifier of the clip, of which at least one segment has been added.

        Returns:
            Probabilities float32 [T, C+1] of all its segments; rows sum to one, unless
            `multi_label`.
        """
        clip = self._clips.pop(key)
        start = max(0, clip.seconds - self._window)
        covered = clip.next - self._hop + self._window if clip.next else 0
        if clip.seconds > covered:
            clip.windows.append((start, clip.cut(start, clip.seconds - start)))
        self._run(clip)
        return _blend(clip.pieces, self._multi_label)

    def _run(self, clip: _Clip) -> None:
        """Predicts the pending windows."""
        if not clip.windows:
            return
        starts, rows = zip(*clip.windows, strict=True)
        columns = [np.stack(column) for column in zip(*rows, strict=True)]  # [B, T, ...]
        clip.pieces += zip(starts, self._predict(*columns), strict=True)  # [T, C+1] each
        clip.windows.clear()


class _Clip:
    """State of a clip in progress."""

    def __init__(self) -> None:
        self.seconds = 0
        self.next = 0  # start of the next window
        self.windows: list[tuple[int, tuple[np.ndarray, ...]]] = []  # not predicted yet
        self.pieces: list[tuple[int, np.ndarray]] = []
        self._first = 0  # start of the columns in seconds
        self._columns: tuple[np.ndarray, ...] = ()

    def append(self, columns: tuple[np.ndarray, ...]) -> None:
        if self._columns:
            columns = tuple(
                np.concatenate(pair) for pair in zip(self._columns, columns, strict=True)
            )
        self._columns = columns
        self.seconds = self._first + len(columns[0])

    def forget(self, second: int) -> None:
        """Drops the columns before a second."""
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
    multi_label: bool = False,
) -> list[np.ndarray]:
    """Predicts clips in memory, with windows of equal length of all clips in one batch.

    Args:
        predict: Function of the model.
        clips: Visual float32 [T, Dv], audio float32 [T, Da] and valid bool [T] of each clip.
        window_seconds: T of a window.
        hop_seconds: From the start of one window to the start of the next.
        batch_size: Windows predicted at once.
        multi_label: Whether the probabilities of classes are independent.

    Returns:
        Probabilities float32 [T, C+1] of each clip; rows sum to one, unless `multi_label`.
    """
    pieces: list[list[tuple[int, np.ndarray]]] = [[] for _ in clips]
    waiting: dict[int, list[tuple[int, int]]] = {}  # by length: clip and start
    for place, columns in enumerate(clips):
        seconds = len(columns[0])
        if not seconds:
            raise ValueError("A clip must have at least one segment. Received: none.")
        for start in _window_starts(seconds, window_seconds, hop_seconds):
            waiting.setdefault(min(seconds, window_seconds), []).append((place, start))
    for length, windows in waiting.items():
        for first in range(0, len(windows), batch_size):
            part = windows[first : first + batch_size]
            rows = [tuple(each[start : start + length] for each in clips[k]) for k, start in part]
            # Padded to one shape, so that the model is traced once for each length.
            rows += rows[-1:] * (batch_size - len(part))
            columns = tuple(np.stack(column) for column in zip(*rows, strict=True))  # [B, T, ...]
            for (place, start), one in zip(part, predict(*columns), strict=False):
                pieces[place].append((start, one))
    return [_blend(each, multi_label) for each in pieces]


def _window_starts(seconds: int, window: int, hop: int) -> list[int]:
    """Starts of the windows over a clip; the last window ends with the clip."""
    last = max(0, seconds - window)
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


def _blend(pieces: list[tuple[int, np.ndarray]], multi_label: bool) -> np.ndarray:
    """Weighted geometric mean of the probabilities [T, C+1] of windows, normalised.

    The mean is normalised over the classes or, with `multi_label`, for each class.
    """
    if len(pieces) == 1:
        return pieces[0][1]
    mean = np.exp(_mean_logarithm(pieces))  # [T, C+1]
    if multi_label:
        absent = np.exp(_mean_logarithm([(start, 1.0 - piece) for start, piece in pieces]))
        return (mean / (mean + absent)).astype(np.float32)
    return (mean / mean.sum(-1, keepdims=True)).astype(np.float32)


def _mean_logarithm(pieces: list[tuple[int, np.ndarray]]) -> np.ndarray:
    seconds = max(start + len(piece) for start, piece in pieces)
    total = np.zeros([seconds, pieces[0][1].shape[-1]])  # [T, C+1]
    weights = np.zeros([seconds, 1])  # [T, 1]
    for start, piece in pieces:
        weight = _triangle(len(piece))[:, None]  # [T, 1]
        total[start : start + len(piece)] += weight * np.log(np.maximum(piece, _SMALLEST))
        weights[start : start + len(piece)] += weight
    return total / weights


def _triangle(length: int) -> np.ndarray:
    """Triangular weights [T], highest in the middle and never zero."""
    distance = np.abs(np.arange(length) - (length - 1) / 2)
    return 1.0 - distance / ((length + 1) / 2)
