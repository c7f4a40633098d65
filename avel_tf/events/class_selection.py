"""Selection of some of a model's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.events.segment_scores import Scores
from avel_tf.utils.text import did_you_mean


class ClassSelection:
    """Restricts the probabilities of a model to some of its classes.

    The other classes become part of background, which gets the highest of their probabilities and
    its own. So a segment keeps its label if that is selected, and becomes background otherwise.
    Classes that are related to a selected one, such as another name of it, are left out instead.

    Args:
        labels: All classes of the model.
        names: The selected classes.
        related: Mask of the classes that are related to a selected one, bool [C]; none when None.

    Attributes:
        labels: The selected classes, in the order of `names`.
        indices: Their indices in the model.

    Raises:
        ValueError: The model lacks a class, or one is selected twice.

    Example:
        >>> selection = ClassSelection(labels, ["Bark", "Cat"])
        >>> selection(probabilities).shape  # probabilities [T, C+1]
        (10, 3)
    """

    def __init__(
        self,
        labels: Labels,
        names: Sequence[str],
        related: np.ndarray | None = None,
    ) -> None:
        for name in names:
            if name not in labels.names:
                raise ValueError(
                    f"The model has no class {name!r}.{did_you_mean(name, labels.names)} Its "
                    f"classes: {'; '.join(labels.names)}."
                )
        self.labels = Labels(names)
        self.indices = [labels.index(name) for name in names]
        others = np.ones(len(labels), bool)
        others[self.indices] = False
        if related is not None:
            others &= ~related
        self._others = np.flatnonzero(others)

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Restrict probabilities of classes that exclude each other.

        Args:
            probabilities: float32 [..., C+1], background last.

        Returns:
            float32 [..., number of selected classes + 1], with a sum of one.
        """
        chosen = probabilities[..., self.indices]
        rest = probabilities[..., [*self._others, -1]]  # background is the last
        background = rest.max(axis=-1, keepdims=True)
        kept = np.concatenate([chosen, background], axis=-1)
        return kept / kept.sum(axis=-1, keepdims=True)

    def scores(self, postprocessing: Postprocessing, probabilities: np.ndarray) -> Scores:
        """Scores of the selected classes, from the probabilities float32 [T, C+1] of a model."""
        if postprocessing.thresholds is None:
            return postprocessing.scores(self(probabilities))
        # The classes of a multi-label model are independent; so is "no event", the last column.
        chosen = probabilities[:, [*self.indices, -1]]
        thresholds = tuple(postprocessing.thresholds[index] for index in self.indices)
        return replace(postprocessing, thresholds=thresholds).scores(chosen)
