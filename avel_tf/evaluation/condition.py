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
        corruption: None leaves clips as they are.
        severity: in the corruption's unit.
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
        """Spoil the frames uint8 `[T,F,H,W,3]` or the waveform float32 `[T*16000]` of a clip."""
        if self.corruption is None:
            return values
        # The same noise at each severity, only louder: the curve is not blurred by chance.
        rng = generator_for(clip, self.corruption.name, seed)
        return self.corruption.apply(values, self.severity, rng, others)


CLEAN = Condition(None)


def conditions(names: str) -> list[Condition]:
    """The conditions that a comma-separated list of corruptions names, after the clean one.

    Args:
        names: `all`, or names out of `CORRUPTIONS`.

    Raises:
        ValueError: There is no such corruption.
    """
    chosen = list(CORRUPTIONS) if names == "all" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in CORRUPTIONS:
            raise ValueError(
                f"There is no corruption {name!r}.{did_you_mean(name, CORRUPTIONS)} "
                f"Known: all, {', '.join(CORRUPTIONS)}."
            )
    return [CLEAN] + [
        Condition(CORRUPTIONS[name], severity)
        for name in dict.fromkeys(chosen)
        for severity in CORRUPTIONS[name].severities
    ]
