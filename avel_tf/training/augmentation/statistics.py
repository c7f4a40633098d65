"""Mean and deviation of the features of one modality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and deviation of each feature of one modality over the training split.

    Attributes:
        mean: float32 [D].
        deviation: float32 [D]; 0 where a feature never changes.
    """

    mean: np.ndarray
    deviation: np.ndarray
