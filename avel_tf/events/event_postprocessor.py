"""Postprocessing of segment scores into events, with thresholds fitted on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avel_tf.events.event import Event, checked_seconds, runs, second_spans
from avel_tf.events.labels import Labels
from avel_tf.events.segment_scores import Scores, SegmentScores


@dataclass(frozen=True)
class EventPostprocessor:
    """Postprocessing of segment scores into events; by default, runs of equal argmax.

    The strength of a segment's best event class is p(class) / (p(class) + p(background)). At 0.5
    class and background are equally probable, so with the default settings the events are those of
    `seconds_to_events`. A multi-label model has one sequence per class, in which the strength
    compares the odds of the class with the odds of its threshold (0.5 is the threshold), so events
    of different classes may overlap. The steps, in this order:

    1. Hysteresis: a run of segments of one class whose strength reaches `sustain_threshold` is
       kept if one of them reaches `onset_threshold`.
    2. Gaps: two runs of one class with at most `fill_gap_seconds` between them become one event,
       which replaces any run between them. A segment that is not valid is never bridged.
    3. Length and score: events shorter than `min_seconds`, or with a score below that of
       `min_scores` for their class, are dropped.

    Args:
        onset_threshold: Strength that one segment of an event must reach, in (0, 1).
        sustain_threshold: Strength that all segments must reach; at most `onset_threshold`.
        fill_gap_seconds: Longest gap that is bridged, s.
        min_seconds: Length of the shortest event, s.
        min_scores: Smallest score of an event, in [0, 1], by class; weaker ones are dropped.

    Raises:
        ValueError: A setting is out of range.

    Example:
        >>> EventPostprocessor(min_seconds=2).decode(scores, labels)
        (Event(label='Bark', start=2.0, end=7.0, score=0.93),)

    Reference:
        Cakir et al., Convolutional Recurrent Neural Networks for Polyphonic Sound Event Detection,
        2017 (one threshold); Canny, A Computational Approach to Edge Detection, 1986 (two).
    """

    onset_threshold: float = 0.5
    sustain_threshold: float = 0.5
    fill_gap_seconds: int = 0
    min_seconds: int = 1
    # Not hashed, because dictionaries cannot be.
    min_scores: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, score in self.min_scores.items():
            if not 0.0 <= score <= 1.0:
                raise ValueError(
                    f"The smallest score of {name!r} must be in [0, 1]. Received: {score}."
                )
        if not 0.0 < self.sustain_threshold <= self.onset_threshold < 1.0:
            raise ValueError(
                "The thresholds of events must obey 0 < sustain_threshold <= onset_threshold < 1. "
                f"Received: {self.sustain_threshold} and {self.onset_threshold}."
            )
        if self.fill_gap_seconds < 0 or self.min_seconds < 1:
            raise ValueError(
                "fill_gap_seconds must be at least 0 and min_seconds at least 1. "
                f"Received: {self.fill_gap_seconds} and {self.min_seconds}."
            )

    def decode(
        self,
        scores: Scores,
        labels: Labels,
        valid: np.ndarray | None = None,
        *,
        duration: float | None = None,
    ) -> tuple[Event, ...]:
        """Find the events of one video.

        Args:
            scores: Its segments, `[T]`.
            labels: The class vocabulary.
            valid: Mask of the decoded segments, bool `[T]`; all when None.
            duration: Length of the video in seconds, at which the last segment ends.

        Returns:
            The events in order of time. The score of an event is the mean probability of its class
            over its segments, without those of a bridged gap.

        Raises:
            ValueError: The shapes differ, an index is out of range, or a score is not a
                probability.
        """
        events = [
            event
            for track in scores.tracks(self.onset_threshold)
            for event in self._decode_track(track, labels, valid, duration)
        ]
        return tuple(sorted(events, key=lambda event: (event.start, event.end)))

    def _decode_track(
        self,
        scores: SegmentScores,
        labels: Labels,
        valid: np.ndarray | None,
        duration: float | None,
    ) -> list[Event]:
        """Find events that exclude each other."""
        index, event, usable = checked_seconds(
            scores.event_index, scores.event_score, labels, valid
        )
        checked_seconds(index, scores.background_score, labels, usable)
        sustained = np.where(
            scores.reaches(self.sustain_threshold), index, labels.background
        )  # [T]
        peak = scores.reaches(self.onset_threshold)  # [T]
        stretches = [
            _Stretch(int(index[first]), first, last, float(event[first : last + 1].sum()))
            for first, last in runs(sustained, usable, labels.background)
            if peak[first : last + 1].any()
        ]
        spans = second_spans(len(index), duration)
        return [
            Event(labels.name(one.label), spans[one.first][0], spans[one.last][1], one.score)
            for one in self._joined(stretches, usable)
            if one.last + 1 - one.first >= self.min_seconds
            and one.score >= self.min_scores.get(labels.name(one.label), 0.0)
        ]

    def _joined(self, stretches: list[_Stretch], usable: np.ndarray) -> list[_Stretch]:
        joined: list[_Stretch] = []
        for stretch in stretches:
            place = self._joins(joined, stretch, usable)
            if place is None:
                joined.append(stretch)
            else:
                # Runs in the gap are shorter than it and are replaced.
                joined[place:] = [joined[place].joined_with(stretch)]
        return joined

    def _joins(self, before: list[_Stretch], stretch: _Stretch, usable: np.ndarray) -> int | None:
        """Index of the run that this one continues, if any."""
        for place in reversed(range(len(before))):
            gap = slice(before[place].last + 1, stretch.first)
            if gap.stop - gap.start > self.fill_gap_seconds:
                return None
            if before[place].label == stretch.label and gap.start < gap.stop and usable[gap].all():
                return place
        return None


@dataclass(frozen=True)
class _Stretch:
    """Segments first to last, both inclusive; some may be a bridged gap."""

    label: int
    first: int
    last: int
    total: float  # sum of the scores, without those of bridged gaps
    gaps: int = 0

    def joined_with(self, later: _Stretch) -> _Stretch:
        gap = later.first - self.last - 1
        return _Stretch(
            self.label,
            self.first,
            later.last,
            self.total + later.total,
            self.gaps + gap + later.gaps,
        )

    @property
    def score(self) -> float:
        # A sum of ones may end a rounding error above their number.
        return min(self.total / (self.last + 1 - self.first - self.gaps), 1.0)
