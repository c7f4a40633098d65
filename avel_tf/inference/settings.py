"""Settings of inference."""

from __future__ import annotations

from pydantic import Field, model_validator

from avel_tf.utils.settings import Settings


class InferenceSettings(Settings, section="inference"):
    """Settings of windows and batches in inference."""

    window_seconds: int = Field(
        default=10,
        ge=1,
        description="Length of the windows in which longer files are labelled: the length that "
        "the model was trained on.",
    )
    hop_seconds: int = Field(
        default=5,
        ge=1,
        description="Distance between the starts of two windows; at most `window_seconds`.",
    )
    batch_clips: int = Field(
        default=16, ge=1, description="Maximum number of windows of one file labelled at once."
    )
    # Affects live streams only, whose runs cannot be resumed.
    live_lookahead_seconds: int = Field(
        default=2,
        ge=0,
        description="Seconds of a live stream that must have arrived after a segment before it is "
        "labelled; below `window_seconds`.",
        json_schema_extra={"resource_only": True},
    )

    @model_validator(mode="after")
    def _check_windows(self) -> InferenceSettings:
        if self.live_lookahead_seconds >= self.window_seconds:
            raise ValueError(
                "inference.live_lookahead_seconds must be below inference.window_seconds, because "
                "the window must contain the segment that it labels. Received: "
                f"{self.live_lookahead_seconds} and {self.window_seconds}."
            )
        if self.hop_seconds > self.window_seconds:
            raise ValueError(
                "inference.hop_seconds must not exceed inference.window_seconds, because segments "
                "between two windows would get no label. Received: "
                f"{self.hop_seconds} and {self.window_seconds}."
            )
        return self
