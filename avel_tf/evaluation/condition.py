"""Test conditions: one corruption at one severity, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avel_tf.synthesis.corruptions import CORRUPTIONS, Corruption, generator_for
from avel_tf.utils.text import did_you_mean


@dataclass(frozen=True)
class Condition:
    """One corruption at one severity.

    Args:
        corruption: None for unchanged clips.
        severity: In the unit of the corruption.
    """

    corruption: Corruption | None
    severity: float = 0.0

    @property
    def removes(self) -> bool:
        """True if the corruption makes every segment background."""
        return self.corruption is not None and self.corruption.removes(self.severity)

    def apply(
        self, values: np.ndarray, clip: str, seed: int, others: Sequence[np.ndarray] = ()
    ) -> np.ndarray:
        """Corrupt the frames uint8 `[T,F,H,W,3]` or the waveform float32 `[T*16000]` of a clip."""
        if self.corruption is None:
            return values
        # The same random numbers at each severity, so that severities differ in nothing else.
        rng = generator_for(clip, self.corruption.name, seed)
        return self.corruption.apply(values, self.severity, rng, others)


CLEAN = Condition(None)


def conditions(names: str) -> list[Condition]:
    """Conditions of a comma-separated list of corruptions, after the clean one.

    Args:
        names: `all`, or names from `CORRUPTIONS`.

    Raises:
        ValueError: If a name is unknown.
    """
    chosen = list(CORRUPTIONS) if names == "all" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in CORRUPTIONS:
            raise ValueError(
                f"Unknown corruption {name!r}.{did_you_mean(name, CORRUPTIONS)} "
                f"Known: all, {', '.join(CORRUPTIONS)}."
            )
    return [CLEAN] + [
        Condition(CORRUPTIONS[name], severity)
        for name in dict.fromkeys(chosen)
        for severity in CORRUPTIONS[name].severities
    ]
