"""Settings of feature extraction."""

from __future__ import annotations

import os
from dataclasses import dataclass

FEATURE_DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class DataSettings:
    """Decoding side by side, and augmentation.

    Args:
        workers: Files decoded at the same time, each in a process of its own; `None` takes one
            per processor, as measured in `docs/design/performance.md`.
        spec_augment_copies: How many further copies of each training clip `avel train` embeds
            with masked bands and masked moments in their log-mel (SpecAugment, Park et al. 2019).
            Works with the compact audio backbone, whose log-mel is ours.
        feature_dtype: `float32`, or `float16` for a feature store of half the size; what it does
            to metrics stands in docs/design/embeddings.md.
    """

    workers: int | None = None
    spec_augment_copies: int = 0
    feature_dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"data.workers must be at least 1. Received: {self.workers}")
        if self.spec_augment_copies < 0:
            raise ValueError(
                "data.spec_augment_copies must not be negative. "
                f"Received: {self.spec_augment_copies}"
            )
        known_dtype(self.feature_dtype)

    @property
    def resolved_workers(self) -> int:
        """Files decoded at the same time, with the default filled in."""
        return self.workers or len(os.sched_getaffinity(0))


def known_dtype(name: str) -> str:
    """The name, when features can be stored so.

    Raises:
        ValueError: When they cannot.
    """
    if name not in FEATURE_DTYPES:
        raise ValueError(
            f"data.feature_dtype must be one of {', '.join(FEATURE_DTYPES)}. Received: {name!r}"
        )
    return name
