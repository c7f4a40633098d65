"""Worst clips and boundary errors of the training report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.events.labels import BACKGROUND, Labels
from avel_tf.reports.style import PALETTE, figure_to_svg, new_figure, style

MOST_CLIPS = 20
# The bars at both edges include all errors beyond this many seconds.
_FURTHEST = 5.0


@dataclass(frozen=True)
class Stretch:
    """Consecutive segments of one class.

    Attributes:
        name: The class, or "background"; "not decoded" for invalid segments.
        start: First segment.
        end: Segment after the last one.
        wrong: True for a prediction that differs from the annotation in at least one segment.
    """

    name: str
    start: int
    end: int
    wrong: bool


@dataclass(frozen=True)
class WorstClip:
    """Annotation and prediction of one clip.

    Attributes:
        video: Its name.
        right: Number of correct segments.
        segments: Number of valid segments.
        score: Mean probability of the predicted classes.
        truth: The annotation, in stretches.
        predicted: The prediction, in stretches.
    """

    video: str
    right: int
    segments: int
    score: float
    truth: tuple[Stretch, ...]
    predicted: tuple[Stretch, ...]


def worst_clips(outcomes: Sequence[ClipOutcome], labels: Labels) -> list[WorstClip]:
    """Clips with the lowest segment accuracy; ties by confidence, highest first.

    Confident errors point at classes that the model confuses, or at wrong annotations.

    Args:
        outcomes: All clips of the split.
        labels: The class vocabulary.

    Returns:
        At most `MOST_CLIPS` clips, each with at least one wrong segment.
    """
    wrong = [each for each in outcomes if each.right < each.segments]
    wrong.sort(key=lambda each: (each.right / each.segments, -_mean_score(each), each.video))
    return [
        WorstClip(
            video=each.video,
            right=each.right,
            segments=each.segments,
            score=_mean_score(each),
            truth=_stretches(each.reference, each, labels),
            predicted=_stretches(each.predicted, each, labels),
        )
        for each in wrong[:MOST_CLIPS]
    ]


def draw_boundary_errors(outcomes: Sequence[ClipOutcome]) -> str | None:
    """Histograms of the start and end errors of matched events.

    Args:
        outcomes: All clips of the split.

    Returns:
        SVG, or None if no event was matched.
    """
    pairs = [
        pair
        for each in outcomes
        for pair in match_events(each.true_events, each.events, iou_at_least(IOU_THRESHOLD))
    ]
    if not pairs:
        return None
    errors = {
        "Start": [guess.start - truth.start for truth, guess in pairs],
        "End": [guess.end - truth.end for truth, guess in pairs],
    }
    edges = np.arange(-_FURTHEST - 0.5, _FURTHEST + 1.0)  # centred on whole seconds
    figure, axes = new_figure(height=2.3, ncols=2, sharey=True)
    with style():
        for axis, (title, values) in zip(axes, errors.items(), strict=True):
            counts, _ = np.histogram(np.clip(values, -_FURTHEST, _FURTHEST), edges)
            axis.bar(edges[:-1] + 0.5, counts, width=0.8, color=PALETTE[0])
            axis.set_title(title)
            axis.set_xlabel("predicted − true, s")
            axis.grid(False, axis="x")
        axes[0].set_ylabel("events")
    return figure_to_svg(figure, "Boundary errors of matched events: start and end")


def _mean_score(outcome: ClipOutcome) -> float:
    return float(outcome.score[outcome.valid].mean()) if outcome.segments else 0.0


def _spell(label: np.ndarray, labels: Labels) -> str:
    """Name of a class index, or names of several, given as bool [C]."""
    if np.ndim(label) == 0:
        return labels.name(int(label))
    names = [labels.name(int(index)) for index in np.flatnonzero(label)]
    return " + ".join(names) or BACKGROUND


def _stretches(index: np.ndarray, clip: ClipOutcome, labels: Labels) -> tuple[Stretch, ...]:
    names = [
        _spell(label, labels) if valid else "not decoded"
        for label, valid in zip(index, clip.valid, strict=True)
    ]
    found = []
    start = 0
    for second in range(1, len(names) + 1):
        if second == len(names) or names[second] != names[start]:
            here = slice(start, second)
            wrong = index is not clip.reference and bool(
                np.any(~clip.is_right[here] & clip.valid[here])
            )
            found.append(Stretch(names[start], start, second, wrong))
            start = second
    return tuple(found)
