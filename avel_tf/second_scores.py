"""What is kept of each second's probabilities: the best event class against the background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SecondScores:
    """The seconds of one video, as far as labels and events need them.

    Whatever the number of classes, three numbers of a second decide: its label is the argmax of its
    probabilities, and whether an event goes on there is a question between the best event class
    and the background.

    Attributes:
        event_index: The most probable event class, int64 `[T]`, 0 to C-1.
        event_score: Its probability, float64 `[T]`.
        background_score: That of the background, float64 `[T]`.
    """

    event_index: np.ndarray
    event_score: np.ndarray
    background_score: np.ndarray

    @classmethod
    def from_probabilities(cls, probabilities: np.ndarray) -> SecondScores:
        """Read them off a model's output.

        Args:
            probabilities: float `[T, C+1]`, background last.

        Returns:
            The scores; probabilities that rounding has lifted above one are one.

        Example:
            >>> SecondScores.from_probabilities(np.array([[0.7, 0.1, 0.2]])).event_index
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
        """The argmax over all classes: int64 `[T]`; of equals the event, as it has the lower index.

        Args:
            background: The index of the background, C.
        """
        return np.where(self.event_score >= self.background_score, self.event_index, background)

    @property
    def score(self) -> np.ndarray:
        """Probability of the label: float64 `[T]`."""
        return np.maximum(self.event_score, self.background_score)
