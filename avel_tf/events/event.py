"""Events, and the conversion of labelled segments to events."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avel_tf.events.labels import Labels

# Times are written in milliseconds, the resolution of a WebVTT cue, so no span may be shorter.
TIME_DECIMALS = 3
SHORTEST_SPAN_S = 0.001

# The softmax of a float32 model may exceed one by a rounding error.
SCORE_ROUNDING_ERROR = 1e-4


@dataclass(frozen=True)
class Event:
    """An event that is both audible and visible, from a start to an end.

    Args:
        label: Name of the class, not background.
        start: Start in seconds from the beginning of the video.
        end: End in seconds, exclusive; at least 1 ms after `start`.
        score: Confidence of the model, in [0, 1].

    Raises:
        ValueError: A number is not finite or out of range.
    """

    label: str
    start: float
    end: float
    score: float

    def __post_init__(self) -> None:
        check_span(f"the event {self.label!r}", self.start, self.end, self.score)


def check_span(what: str, start: float, end: float, score: float) -> None:
    """Check that a span of time can be written to a file and read back.

    Args:
        what: Name of the span in the message.
        start: Start, s.
        end: End, s.
        score: Score of the span.

    Raises:
        ValueError: A number is not finite or out of range.
    """
    if not all(math.isfinite(value) for value in (start, end, score)):
        raise ValueError(
            f"Start, end and score of {what} must be finite numbers. "
            f"Received: start={start!r}, end={end!r}, score={score!r}. "
            "A score of NaN usually comes from a model whose training diverged."
        )
    if start < 0 or round(float(end), TIME_DECIMALS) <= round(float(start), TIME_DECIMALS):
        raise ValueError(
            f"The end of {what} must be at least {SHORTEST_SPAN_S} s after its start, and the "
            f"start must not be negative. Received: start={start!r}, end={end!r}."
        )
    if not 0.0 <= score <= 1.0:
        raise ValueError(
            f"The score of {what} must be a probability in [0, 1]. Received: {score!r}."
        )


def second_spans(count: int, duration: float | None = None) -> list[tuple[float, float]]:
    """Start and end of each segment of a video; the last one ends with the video.

    Args:
        count: Number of segments, T.
        duration: Length of the video in seconds, if known.

    Returns:
        T pairs (start, end) in seconds.

    Example:
        >>> second_spans(2, duration=1.5)
        [(0.0, 1.0), (1.0, 1.5)]
    """
    spans = [(float(second), float(second + 1)) for second in range(count)]
    if spans and duration is not None and duration - spans[-1][0] >= SHORTEST_SPAN_S:
        start, end = spans[-1]
        spans[-1] = (start, min(end, float(duration)))
    return spans


def seconds_to_events(
    label_index: np.ndarray,
    score: np.ndarray,
    labels: Labels,
    valid: np.ndarray | None = None,
    *,
    duration: float | None = None,
) -> tuple[Event, ...]:
    """Join consecutive segments of one class into events.

    The score of an event is the mean score of its segments. Unlike a product, the mean does not
    depend on the length of the event, and unlike the minimum or the maximum not on one segment
    alone. If the scores are calibrated, it is the expected share of correct segments.

    Args:
        label_index: Class of each segment, int `[T]`; background is `labels.background`.
        score: Probability of that class, float `[T]`, in [0, 1].
        labels: The class vocabulary.
        valid: Mask of the decoded segments, bool `[T]`; all when None. A segment that is not
            valid belongs to no event and ends the one before it.
        duration: Length of the video in seconds, at which the last segment ends.

    Returns:
        The events in order of time.

    Raises:
        ValueError: The shapes differ, an index is out of range, or a score is not a probability.

    Example:
        >>> seconds_to_events(np.array([0, 0, 1]), np.array([0.9, 0.7, 0.8]), Labels(["Bark"]))
        (Event(label='Bark', start=0.0, end=2.0, score=0.8),)
    """
    label_index, score, valid = checked_seconds(label_index, score, labels, valid)
    spans = second_spans(len(label_index), duration)
    events = []
    for first, last in runs(label_index, valid, labels.background):
        events.append(
            Event(
                label=labels.name(int(label_index[first])),
                start=spans[first][0],
                end=spans[last][1],
                score=float(score[first : last + 1].mean()),
            )
        )
    return tuple(events)


def runs(label_index: np.ndarray, valid: np.ndarray, background: int) -> list[tuple[int, int]]:
    """First and last segment of every run of one event class.

    Args:
        label_index: Class of each segment, int `[T]`.
        valid: Mask of the segments that count, bool `[T]`.
        background: Index of background.

    Returns:
        Pairs (first, last) of segments, both inclusive, in order of time.
    """
    nothing = -1
    active = np.where(valid & (label_index != background), label_index, nothing)  # [T]
    changes = np.flatnonzero(np.diff(active)) + 1
    firsts = [0, *changes.tolist()]
    lasts = [*(changes - 1).tolist(), len(active) - 1]
    if not len(active):
        return []
    return [
        (first, last) for first, last in zip(firsts, lasts, strict=True) if active[first] != nothing
    ]


def checked_seconds(
    label_index: np.ndarray, score: np.ndarray, labels: Labels, valid: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check the arrays of one video and convert them to common types.

    Args:
        label_index: Class of each segment, int `[T]`.
        score: Score of each segment, float `[T]`.
        labels: The class vocabulary.
        valid: Mask of the decoded segments, bool `[T]`; all when None.

    Returns:
        `label_index` int64 `[T]`, `score` float64 `[T]`, `valid` bool `[T]`.

    Raises:
        ValueError: The shapes differ, an index is out of range, or a score is not a probability.
    """
    label_index, score = np.asarray(label_index), np.asarray(score, np.float64)
    valid = np.ones(label_index.shape, bool) if valid is None else np.asarray(valid, bool)
    if label_index.ndim != 1 or not label_index.shape == score.shape == valid.shape:
        raise ValueError(
            "label_index, score and valid must each hold one value per segment, [T]. Received: "
            f"shapes {label_index.shape}, {score.shape} and {valid.shape}."
        )
    if label_index.size and not np.issubdtype(label_index.dtype, np.integer):
        raise ValueError(
            f"label_index must hold integers. Received: dtype={label_index.dtype}; take the "
            "argmax of the probabilities first."
        )
    outside = label_index[(label_index < 0) | (label_index > labels.background)]
    if outside.size:
        raise ValueError(
            f"label_index must lie in 0 ... {labels.background} ({len(labels)} classes, then the "
            f"background). Received: {int(outside[0])}; was the model trained with other labels?"
        )
    # Checked here as well as in Event, because a mean hides one wrong score among others.
    wrong = score[valid & ~((score >= 0) & (score <= 1 + SCORE_ROUNDING_ERROR))]
    if wrong.size:
        raise ValueError(
            f"Scores must be probabilities in [0, 1]. Received: {wrong[0]}. A score of NaN usually "
            "comes from a model whose training diverged."
        )
    return label_index.astype(np.int64), np.minimum(score, 1.0), valid
