"""One way to spoil a picture or a sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# frames or waveform, severity, random generator, other clips' sounds -> frames or waveform
Apply = Callable[[np.ndarray, float, np.random.Generator, Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One way to spoil one of the two senses.

    Args:
        name: what the command line calls it.
        sense: `picture` or `sound`.
        unit: of the severities.
        severities: from the mildest to the worst.
        apply: frames uint8 `[T,F,H,W,3]` or waveform float32 `[T*16000]`, a severity, a random
            generator and other clips' sounds, each float32 `[n]`, to an array of the same shape.
        removed_from: the severity from which on nothing is left of what could be seen or heard, so
            that every second is background in truth; None where the labels stay true.
    """

    name: str
    sense: str
    unit: str
    severities: tuple[float, ...]
    apply: Apply
    removed_from: float | None = None

    def removes(self, severity: float) -> bool:
        """True if no second of the corrupted clip is both heard and seen."""
        return self.removed_from is not None and severity >= self.removed_from
