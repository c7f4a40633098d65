"""Settings of the audit."""

from __future__ import annotations

import os

from pydantic import Field

from avel_tf.utils.settings import Settings


class AuditSettings(Settings, section="audit"):
    """Settings of the audit of a data set."""

    quick: bool = Field(
        default=False,
        description="Read only the headers of the files. Truncated, damaged, silent and black "
        "files are found only by decoding.",
    )
    seconds: int | None = Field(
        default=None,
        ge=1,
        description="Seconds of each video that training reads. null: 10 for AVE, the whole video "
        "otherwise.",
    )
    # With five videos, one wrong video changes the class's accuracy by 20 points.
    minimum_examples: int = Field(
        default=5,
        ge=1,
        description="A class with fewer videos than this in a split is reported.",
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Threads that read files; one per processor by default.",
        json_schema_extra={"resource_only": True},
    )
