"""A batch of clips for the losses: indices and distributions that say the same."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(0)
CLASSES = 3
# An event with background, two events, background alone, an event throughout, no second at all.
TARGETS = np.array(
    [[3, 0, 0, 3], [1, 1, 2, 3], [3, 3, 3, 3], [2, 2, 2, 2], [-1, -1, -1, -1]], "int64"
)
VALID = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
WEIGHTS = VALID.astype("float32")
DISTRIBUTIONS = np.eye(CLASSES + 1, dtype="float32")[np.maximum(TARGETS, 0)]
LOGITS = RNG.normal(size=(5, 4, CLASSES + 1)).astype("float32")
EVENT = TARGETS < CLASSES
