"""Section of the training report on clips: the worst ones and boundary errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.events.labels import BACKGROUND, Labels
from avel_tf.reports.style import PALETTE, figure_to_svg, new_figure, style

# What a reader looks through before lunch.
MOST_CLIPS = 20
# Beyond so many seconds an end is off by "more"; the bar at either edge holds them all.
_FURTHEST = 5.0


@dataclass(frozen=True)
class Stretch:
    """Seconds of one class in a row.

    Attributes:
        name: The class, or "background"; "not decoded" where a second is not counted.
        start: First second.
        end: The second after the last.
        wrong: Whether it is a prediction that is not the truth in every one of its seconds.
    """

    name: str
    start: int
    end: int
    wrong: bool


@dataclass(frozen=True)
class WorstClip:
    """One clip as the page shows it.

    Attributes:
        video: Its name.
        right: Right seconds.
        segments: Counted seconds.
        score: Mean probability of what was said.
        truth: The reference, in stretches.
        said: The prediction, in stretches.
    """

    video: str
    right: int
    segments: int
    score: float
    truth: tuple[Stretch, ...]
    said: tuple[Stretch, ...]


def worst_clips(outcomes: Sequence[ClipOutcome], labels: Labels) -> list[WorstClip]:
    """The clips with the largest share of wrong seconds; of equals the surest first.

    A clip that is wrong and sure of it says most about what the model has not understood, or
    about its annotation.

    Args:
        outcomes: All clips of the split.
        labels: The class vocabulary.

    Returns:
        At most `MOST_CLIPS`, none of which is right throughout.
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
            said=_stretches(each.predicted, each, labels),
        )
        for each in wrong[:MOST_CLIPS]
    ]


def draw_boundary_errors(outcomes: Sequence[ClipOutcome]) -> str | None:
    """Draws how early or late the starts and ends of matched events are.

    Args:
        outcomes: All clips of the split.

    Returns:
        SVG; None where no event was matched.
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
    edges = np.arange(-_FURTHEST - 0.5, _FURTHEST + 1.0)  # bars of a second around whole ones
    figure, axes = new_figure(height=2.3, ncols=2, sharey=True)
    with style():
        for axis, (title, values) in zip(axes, errors.items(), strict=True):
            counts, _ = np.histogram(np.clip(values, -_FURTHEST, _FURTHEST), edges)
            axis.bar(edges[:-1] + 0.5, counts, width=0.8, color=PALETTE[0])
            axis.set_title(title)
            axis.set_xlabel("predicted less true, s")
            axis.grid(False, axis="x")
    return figure_to_svg(figure, "How early or late the starts and the ends of matched events are")


def _mean_score(outcome: ClipOutcome) -> float:
    return float(outcome.score[outcome.valid].mean()) if outcome.segments else 0.0


def _spell(label: np.ndarray, labels: Labels) -> str:
    """The class of a second, or its classes, bool [C]."""
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
