"""From labelled seconds to events: consecutive seconds of one class become one event."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avel_tf.events.labels import Labels

# Times leave the program in milliseconds (a WebVTT cue has nothing finer), so nothing that is
# shorter can be written down.
TIME_DECIMALS = 3
SHORTEST_SPAN_S = 0.001

# The softmax of a float32 model may end a rounding error above one.
SCORE_ROUNDING_ERROR = 1e-4


@dataclass(frozen=True)
class Event:
    """One event that is both heard and seen, from a start to an end.

    Args:
        label: Name of the class; never the background.
        start: First moment in seconds from the beginning of the video.
        end: First moment after the event, in seconds; later than `start`.
        score: How sure the model is, in [0, 1].

    Raises:
        ValueError: If a number is not finite or lies outside of its range.
    """

    label: str
    start: float
    end: float
    score: float

    def __post_init__(self) -> None:
        check_span(f"the event {self.label!r}", self.start, self.end, self.score)


def check_span(what: str, start: float, end: float, score: float) -> None:
    """Refuse a stretch of time that could not be written down and read back.

    Args:
        what: The thing that has the stretch, as the error shall call it.
        start: Its first moment, s.
        end: The first moment after it, s.
        score: Its score.

    Raises:
        ValueError: If a number is not finite or lies outside of its range.
    """
    if not all(math.isfinite(value) for value in (start, end, score)):
        raise ValueError(
            f"Start, end and score of {what} must be finite numbers. "
            f"Received: start={start!r}, end={end!r}, score={score!r}. "
            "A score that is not a number usually comes from a model whose training diverged."
        )
    if start < 0 or round(float(end), TIME_DECIMALS) <= round(float(start), TIME_DECIMALS):
        raise ValueError(
            f"The end of {what} must come at least {SHORTEST_SPAN_S} s after its start, and the "
            f"start must not be negative. Received: start={start!r}, end={end!r}."
        )
    if not 0.0 <= score <= 1.0:
        raise ValueError(
            f"The score of {what} must lie in [0, 1], as a probability does. Received: {score!r}."
        )


def second_spans(count: int, duration: float | None = None) -> list[tuple[float, float]]:
    """Start and end of each second of a video, the last one cut at the video's end.

    Args:
        count: Number of seconds, T.
        duration: Length of the video in seconds when it is known.

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
    """Join consecutive seconds of one class into events.

    The score of an event is the mean of the scores of its seconds. The mean does not depend on
    how long the event is, as a product would, nor on one second alone, as the smallest or the
    largest would; and where the seconds' scores are calibrated probabilities it is the share of
    the event's seconds that is expected to be right.

    Args:
        label_index: Class of each second, int `[T]`, the background being `labels.background`.
        score: Probability of that class, float `[T]`, in [0, 1].
        labels: The class vocabulary.
        valid: Which seconds could be decoded, bool `[T]`; all when None. A second that could not
            be decoded belongs to no event, and ends the one before it: nobody knows whether the
            event went on.
        duration: Length of the video in seconds, at which the last second is cut.

    Returns:
        The events in the order of time.

    Raises:
        ValueError: If the shapes differ, an index is not one of the vocabulary, or a score is no
            probability.

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
    """First and last second of every unbroken stretch of one event class.

    Args:
        label_index: Class of each second, int `[T]`.
        valid: Which seconds count, bool `[T]`.
        background: The index that is no event.

    Returns:
        Pairs (first, last) of seconds, both inside the stretch, in the order of time.
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
    """The three per-second arrays of one video, with one length and sensible contents.

    Args:
        label_index: Class of each second, int `[T]`.
        score: Score of each second, float `[T]`.
        labels: The class vocabulary.
        valid: Which seconds could be decoded, bool `[T]`; all when None.

    Returns:
        `label_index` int64 `[T]`, `score` float64 `[T]`, `valid` bool `[T]`.

    Raises:
        ValueError: If the shapes differ, an index is not one of the vocabulary, or a score is no
            probability.
    """
    label_index, score = np.asarray(label_index), np.asarray(score, np.float64)
    valid = np.ones(label_index.shape, bool) if valid is None else np.asarray(valid, bool)
    if label_index.ndim != 1 or not label_index.shape == score.shape == valid.shape:
        raise ValueError(
            "label_index, score and valid must each hold one value per second, [T]. Received: "
            f"shapes {label_index.shape}, {score.shape} and {valid.shape}."
        )
    if label_index.size and not np.issubdtype(label_index.dtype, np.integer):
        raise ValueError(
            f"label_index must hold whole numbers. Received: dtype={label_index.dtype}; take the "
            "argmax of the probabilities first."
        )
    outside = label_index[(label_index < 0) | (label_index > labels.background)]
    if outside.size:
        raise ValueError(
            f"label_index must lie in 0 ... {labels.background} ({len(labels)} classes, then the "
            f"background). Received: {int(outside[0])}; was the model trained with other labels?"
        )
    # Here and not only in Event: a mean would hide one wrong score among right ones.
    wrong = score[valid & ~((score >= 0) & (score <= 1 + SCORE_ROUNDING_ERROR))]
    if wrong.size:
        raise ValueError(
            f"Scores must be probabilities in [0, 1]. Received: {wrong[0]}; a score that is not a "
            "number usually comes from a model whose training diverged."
        )
    return label_index.astype(np.int64), np.minimum(score, 1.0), valid
