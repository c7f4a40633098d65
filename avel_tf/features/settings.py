"""Settings of feature extraction."""

from __future__ import annotations

import os
from typing import Literal, get_args

from pydantic import Field

from avel_tf.utils.settings import Settings

FeatureDtype = Literal["float32", "float16"]


class DataSettings(Settings, section="data"):
    """Settings of feature extraction: worker processes, SpecAugment copies and the dtype."""

    workers: int | None = Field(
        default=None,
        ge=1,
        description="Files decoded at the same time, each in a worker process. null: one per "
        "processor (docs/design/performance.md).",
        json_schema_extra={"resource_only": True},
    )
    spec_augment_copies: int = Field(
        default=0,
        ge=0,
        description="Additional copies of each training clip that `avel train` embeds with masked "
        "bands and times in their log-mel spectrogram (SpecAugment, Park et al. 2019). Requires "
        "the compact audio backbone.",
    )
    feature_dtype: FeatureDtype = Field(
        default="float32",
        description="`float16` halves a feature store; its effect on the metrics is in "
        "docs/design/embeddings.md.",
    )

    @property
    def resolved_workers(self) -> int:
        """Files decoded at the same time, with the default filled in."""
        return self.workers or len(os.sched_getaffinity(0))


def known_dtype(name: str) -> str:
    """Returns the name of a dtype if features can be stored in it.

    Raises:
        ValueError: They cannot.
    """
    known = get_args(FeatureDtype)
    if name not in known:
        raise ValueError(
            f"data.feature_dtype must be one of {', '.join(known)}. Received: {name!r}"
        )
    return name
