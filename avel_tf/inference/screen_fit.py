"""Fit of a screen: the margin at which a cascade gives the labels of its large model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from avel_tf.features.features import Features
from avel_tf.inference.cascade import CascadePipeline, choose
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.settings import ScreenSettings
from avel_tf.video.segment_loader import SegmentBatch

# Lower margins, and no context, fit a few files perfectly and fail on others
# (docs/design/cascade.md).
MARGINS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999)
CONTEXTS = (1, 2, 4, 8)
# Share of the labels that must be those of the large model.
TARGET = 0.995
# Gives every segment to the large model.
EVERYTHING = ScreenSettings(margin=1.0, context_seconds=0)


@dataclass(frozen=True)
class ScreenPoint:
    """Measurement of a cascade with one margin and context.

    Attributes:
        settings: Margin and context.
        equal: Share of the segments whose label is that of the large model alone.
        large: Share of the segments that the large model embeds.
    """

    settings: ScreenSettings
    equal: float
    large: float


@dataclass(frozen=True)
class ScreenFit:
    """Fitted margin and the curve that it was chosen from.

    Attributes:
        best: The point with the smallest share of the large model that has enough equal labels.
        curve: Points that no other one exceeds, by increasing share of the large model.
        segments: Number of segments compared.
        files: Number of files with a segment.
    """

    best: ScreenPoint
    curve: tuple[ScreenPoint, ...]
    segments: int
    files: int


def fit_screen(
    cascade: CascadePipeline,
    paths: Sequence[str],
    *,
    target: float = TARGET,
    contexts: Iterable[int] = CONTEXTS,
    progress: Callable[[int, int], None] | None = None,
) -> ScreenFit:
    """Label files by both models, and compare cascades of many margins with the large model.

    No annotations are needed. The features of all files are kept in memory.

    Args:
        cascade: The models; its own margin is not used.
        paths: Files like those that will be labelled, best of a validation split.
        target: Smallest share of equal labels, in (0, 1].
        contexts: The `context_seconds` that are compared.
        progress: Called after each pass over a file with the number done and in total.

    Raises:
        ValueError: No file has a segment, or the target is out of range.
    """
    if not 0 < target <= 1:
        raise ValueError(f"The share of equal labels must be in (0, 1]. Received: {target}.")
    files = _label_by_both(cascade, paths, progress)
    segments = sum(int(each.features.valid.sum()) for each in files)
    if not segments:
        raise ValueError(f"None of the {len(paths)} files has a segment to compare.")
    grid = [ScreenSettings(margin, context) for margin in MARGINS for context in contexts]
    points = [ScreenPoint(EVERYTHING, 1.0, 1.0)]
    for settings in grid:
        equal, large = np.sum([each.compare(cascade, settings) for each in files], axis=0)
        total = sum(len(each.background) for each in files)
        points.append(ScreenPoint(settings, float(equal) / segments, float(large) / total))
    # Of points with the same figures, the one with the largest margin is the safest.
    points.sort(key=lambda point: (point.large, -point.equal, -point.settings.margin))
    best = next(point for point in points if point.equal >= target)
    curve: list[ScreenPoint] = []
    for point in points:
        if not curve or point.equal > curve[-1].equal:
            curve.append(point)
    return ScreenFit(best, tuple(curve), segments, len(files))


class _File:
    """One file as both models see it.

    Args:
        background: Probability of background by the small model, [T].
        features: Of the large model.
        labels: Labels of the large model, bool [T, C].
    """

    def __init__(self, background: np.ndarray, features: Features, labels: np.ndarray) -> None:
        self.background = background
        self.features = features
        self._labels = labels
        self._known: dict[bytes, int] = {}  # number of equal labels by mask

    def compare(self, cascade: CascadePipeline, settings: ScreenSettings) -> tuple[int, int]:
        """Number of segments with equal labels, and of those that the large model embeds."""
        chosen = choose(self.background, settings)
        key = chosen.tobytes()
        if key not in self._known:
            probabilities = cascade.label_chosen(self.features, chosen, self.background)
            equal = (_labels(cascade, probabilities) == self._labels).all(axis=1)  # [T]
            self._known[key] = int((equal & self.features.valid).sum())
        return self._known[key], int(chosen.sum())


def _label_by_both(
    cascade: CascadePipeline, paths: Sequence[str], progress: Callable[[int, int], None] | None
) -> list[_File]:
    """Files with a segment, as both models see them."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, 2 * len(paths))

    backgrounds: dict[int, np.ndarray] = {}
    for index, found in cascade.screen.predict_files(paths):
        backgrounds[index] = cascade.screen.selected_probabilities(found.probabilities)[:, -1]
        count()
    parts: dict[int, list[Features]] = {}

    def keep(batch: SegmentBatch, features: Features) -> None:
        parts.setdefault(batch.file, []).append(features)

    files: list[tuple[int, _File]] = []
    for index, found in InferencePipeline.predict_files(cascade, paths, on_batch=keep):
        count()
        if len(found.valid) and len(found.valid) == len(backgrounds[index]):
            pieces = parts.pop(index)
            features = Features(
                np.concatenate([each.visual for each in pieces]),  # [T, Dv]
                np.concatenate([each.audio for each in pieces]),  # [T, Da]
                found.valid,
            )
            labels = _labels(cascade, found.probabilities)
            files.append((index, _File(backgrounds[index], features, labels)))
    return [file for _, file in sorted(files, key=lambda pair: pair[0])]


def _labels(cascade: CascadePipeline, probabilities: np.ndarray) -> np.ndarray:
    """Labels bool [T, C] of the selected classes, of probabilities [T, C+1] of the model."""
    return cascade.scores(probabilities).active(len(cascade.labels))
