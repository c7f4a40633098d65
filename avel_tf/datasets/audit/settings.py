"""Settings of the audit."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AuditSettings:
    """Settings of the audit.

    Args:
        quick: Read only the headers of the files. Truncated, damaged, silent and black files are
            found only by decoding them.
        seconds: How many seconds of each video training reads; None for AVE's own 10 where the
            data set is AVE, and the whole video elsewhere.
        minimum_examples: A class with fewer videos than this in a split is reported. Five is
            where one wrong video moves the class's accuracy by no more than 20 points.
        workers: Threads that read files.

    Raises:
        ValueError: A number is not positive.
    """

    quick: bool = False
    seconds: int | None = None
    minimum_examples: int = 5
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        for name in ("seconds", "minimum_examples", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; received {value!r}.")
