"""Settings of reading a data set."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSettings:
    """Settings of reading a data set.

    Args:
        deleaked: Drop examples so that no file stands in two splits: test keeps it before
            validation, validation before train. AVE's official split has 18 such files in 19 rows.
        split_seed: Chooses the split where the data set brings none.
        validation_fraction: Share of the videos for validation where the data set brings no split.
        test_fraction: Share of the videos for test where the data set brings no split.

    Raises:
        ValueError: A fraction is not in [0, 1), the two leave nothing to train on, or the seed is
            not a whole number of at least 0.
    """

    deleaked: bool = False
    split_seed: int = 0
    validation_fraction: float = 0.15
    test_fraction: float = 0.15

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value < 1):
                raise ValueError(f"{name} must lie in [0, 1); received {value!r}.")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction and test_fraction leave nothing to train on; received "
                f"{self.validation_fraction!r} + {self.test_fraction!r}."
            )
        seed = self.split_seed
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"split_seed must be a whole number of at least 0; received {seed!r}.")
