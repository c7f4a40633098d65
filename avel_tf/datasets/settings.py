"""Settings of reading a data set."""

from __future__ import annotations

from pydantic import Field, model_validator

from avel_tf.utils.settings import Settings


class DatasetSettings(Settings, section="dataset"):
    """Settings of reading a data set."""

    deleaked: bool = Field(
        default=False,
        description="Keep each file in one split only: test before validation, validation before "
        "training. AVE's official split has 18 files, in 19 rows, that are in two splits.",
    )
    split_seed: int = Field(
        default=0, ge=0, description="Seed of the split of a data set that has none."
    )
    validation_fraction: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="Share of the videos for validation if the data set has no split.",
    )
    test_fraction: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="Share of the videos for test if the data set has no split.",
    )

    @model_validator(mode="after")
    def _leave_videos_to_train_on(self) -> DatasetSettings:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "dataset.validation_fraction and dataset.test_fraction must add up to less than 1, "
                "to leave videos to train on. Received: "
                f"{self.validation_fraction} and {self.test_fraction}."
            )
        return self
