"""Long media in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

# visual float32 [B, T, Dv], audio float32 [B, T, Da], valid bool [B, T] -> probabilities
# float32 [B, T, C+1].
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# Below this a probability counts as zero, so that one window's certainty cannot be infinite.
_SMALLEST = 1e-12


def predict_in_windows(
    predict: Predict,
    clips: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    window_seconds: int,
    hop_seconds: int,
    batch_size: int = 64,
) -> list[np.ndarray]:
    """Label clips of any length with a model that was trained on windows.

    A clip that is no longer than a window is predicted in one piece. A longer one is covered by
    windows that overlap; where they do, log-probabilities are averaged with a triangular weight,
    which trusts the middle of a window more than its ends. Windows of equal length share batches,
    whichever clip they are of.

    Args:
        predict: The model.
        clips: Visual float32 [T, Dv], audio float32 [T, Da] and valid bool [T] of each clip.
        window_seconds: T of a window.
        hop_seconds: From the start of one window to the start of the next.
        batch_size: Windows predicted at once.

    Returns:
        Probabilities float32 [T, C+1] of each clip; rows sum to one.
    """
    by_length: dict[int, list[tuple[int, int]]] = {}
    for clip, (_, _, valid) in enumerate(clips):
        for start, length in _windows(len(valid), window_seconds, hop_seconds):
            by_length.setdefault(length, []).append((clip, start))
    pieces: list[list[tuple[int, np.ndarray]]] = [[] for _ in clips]
    for length, windows in by_length.items():
        for first in range(0, len(windows), batch_size):
            part = windows[first : first + batch_size]
            visual, audio, valid = (
                np.stack([clips[clip][column][start : start + length] for clip, start in part])
                for column in range(3)
            )
            for (clip, start), one in zip(part, predict(visual, audio, valid), strict=True):
                pieces[clip].append((start, one))
    return [_blend(of_clip) for of_clip in pieces]


def _blend(pieces: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Weighted mean of log-probabilities [T, C+1] of windows, as probabilities again."""
    if not pieces:
        raise ValueError("A clip without a single second cannot be labelled.")
    if len(pieces) == 1:
        return pieces[0][1]
    seconds = max(start + len(piece) for start, piece in pieces)
    total = np.zeros([seconds, pieces[0][1].shape[-1]])  # [T, C+1]
    weights = np.zeros([seconds, 1])  # [T, 1]
    for start, piece in pieces:
        weight = _triangle(len(piece))[:, None]  # [T, 1]
        total[start : start + len(piece)] += weight * np.log(np.maximum(piece, _SMALLEST))
        weights[start : start + len(piece)] += weight
    probabilities = np.exp(total / weights)
    return (probabilities / probabilities.sum(-1, keepdims=True)).astype(np.float32)


def _windows(seconds: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Start and length of each window; the last one ends with the clip."""
    if seconds <= window:
        return [(0, seconds)] if seconds else []
    starts = [*range(0, seconds - window, hop), seconds - window]
    return [(start, window) for start in starts]


def _triangle(length: int) -> np.ndarray:
    """Weights [T] that rise to the middle of a window and fall again, never zero."""
    distance = np.abs(np.arange(length) - (length - 1) / 2)
    return 1.0 - distance / ((length + 1) / 2)
