"""Scores of segments, derived from probabilities, for labels and events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SegmentScores:
    """Segments of one video, each with one label: the best event class or background.

    Three numbers per segment are enough for any number of classes. The label is the argmax of the
    probabilities, and an event continues depending on the best event class and background alone.

    Attributes:
        event_index: The most probable event class, int64 `[T]`, 0 to C-1.
        event_score: Its probability, float64 `[T]`.
        background_score: That of the background, float64 `[T]`.
        threshold: Share p(class) / (p(class) + p(background)) at which strength is 0.5, in (0, 1).
    """

    event_index: np.ndarray
    event_score: np.ndarray
    background_score: np.ndarray
    threshold: float = 0.5

    @classmethod
    def from_probabilities(cls, probabilities: np.ndarray) -> SegmentScores:
        """Convert the output of a model.

        Args:
            probabilities: float `[T, C+1]`, background last.

        Returns:
            The scores.

        Example:
            >>> SegmentScores.from_probabilities(np.array([[0.7, 0.1, 0.2]])).event_index
            array([0])
        """
        probabilities = np.asarray(probabilities, np.float64)  # [T, C+1]
        events = probabilities[:, :-1]  # [T, C]
        index = events.argmax(axis=1).astype(np.int64)  # [T]
        return cls(
            index,
            np.take_along_axis(events, index[:, None], axis=1)[:, 0],  # [T]
            probabilities[:, -1],  # [T]
        )

    def label_index(self, background: int) -> np.ndarray:
        """Argmax over all classes: int64 `[T]`. In a tie the event wins, as it has the lower index.

        Args:
            background: Index of background, C.
        """
        return np.where(self.event_score >= self.background_score, self.event_index, background)

    @property
    def score(self) -> np.ndarray:
        """Probability of the label: float64 `[T]`."""
        return np.maximum(self.event_score, self.background_score)

    @property
    def label_scores(self) -> None:
        """None, because a segment has one label."""
        return None

    def active(self, classes: int) -> np.ndarray:
        """Active classes of each segment, at most one: bool `[T, C]`.

        Args:
            classes: C.
        """
        return self.label_index(classes)[:, None] == np.arange(classes)

    def reaches(self, strength: float) -> np.ndarray:
        """Segments with at least this strength against the background: bool `[T]`.

        Args:
            strength: In (0, 1); at 0.5 the label of the segment becomes the class.
        """
        # Without a division, so that a strength of 0.5 is exactly the argmax at a threshold of
        # 0.5, and exactly the threshold otherwise.
        class_side = self.event_score * (2 - 2 * self.threshold) * (1 - strength)  # [T]
        return class_side >= self.background_score * (2 * self.threshold) * strength

    def tracks(self, strength: float) -> tuple[SegmentScores, ...]:
        """Sequences in which events are found independently: this one."""
        return (self,)


@dataclass(frozen=True, eq=False)
class MultiLabelScores:
    """Segments of one video, each with any number of labels.

    A segment has every label whose probability reaches the threshold of its class.

    Attributes:
        class_scores: Probability of each event class, float64 `[T, C]`.
        no_event_score: Probability that there is no event, float64 `[T]`.
        thresholds: Of each class, float64 `[C]`, in (0, 1).

    Example:
        >>> scores = MultiLabelScores.from_probabilities(np.array([[0.7, 0.6, 0.1]]), [0.5, 0.5])
        >>> scores.active(2)
        array([[ True,  True]])
    """

    class_scores: np.ndarray
    no_event_score: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def from_probabilities(
        cls, probabilities: np.ndarray, thresholds: tuple[float, ...] | list[float] | np.ndarray
    ) -> MultiLabelScores:
        """Convert the output of a model.

        Args:
            probabilities: float `[T, C+1]`, that of no event last.
            thresholds: `[C]`.

        Raises:
            ValueError: The number of thresholds is not the number of classes.
        """
        probabilities = np.asarray(probabilities, np.float64)  # [T, C+1]
        thresholds = np.asarray(thresholds, np.float64)  # [C]
        if thresholds.shape != (probabilities.shape[-1] - 1,):
            raise ValueError(
                "Expected one threshold per class. Received: "
                f"{thresholds.size} thresholds for {probabilities.shape[-1] - 1} classes."
            )
        return cls(probabilities[:, :-1], probabilities[:, -1], thresholds)

    def active(self, classes: int | None = None) -> np.ndarray:
        """Active classes of each segment: bool `[T, C]`."""
        return self.class_scores >= self.thresholds

    @property
    def label_scores(self) -> np.ndarray:
        """Probability of each label of a segment, NaN for the other classes: float64 `[T, C]`."""
        return np.where(self.active(), self.class_scores, np.nan)

    def label_index(self, background: int) -> np.ndarray:
        """The most probable label of each segment: int64 `[T]`.

        Args:
            background: Index of a segment without a label, C.
        """
        active = self.active()  # [T, C]
        best = np.where(active, self.class_scores, -1.0).argmax(axis=1)  # [T]
        return np.where(active.any(axis=1), best, background).astype(np.int64)

    @property
    def score(self) -> np.ndarray:
        """Probability of the most probable label, or of no event: float64 `[T]`."""
        active = self.active()  # [T, C]
        best = np.where(active, self.class_scores, -1.0).max(axis=1)  # [T]
        return np.where(active.any(axis=1), best, self.no_event_score)

    def tracks(self, strength: float) -> tuple[SegmentScores, ...]:
        """One sequence, class against its absence, for each class that reaches a strength.

        Args:
            strength: As of `SegmentScores.reaches`: odds of the class relative to the odds of its
                threshold, as a share; 0.5 is the threshold.
        """
        everywhere = [
            SegmentScores(
                np.full(len(scores), index, np.int64), scores, 1.0 - scores, float(threshold)
            )
            for index, (scores, threshold) in enumerate(
                zip(self.class_scores.T, self.thresholds, strict=True)
            )
        ]
        return tuple(track for track in everywhere if track.reaches(strength).any())


Scores = SegmentScores | MultiLabelScores
