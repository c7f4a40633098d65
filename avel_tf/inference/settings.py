"""Settings of inference."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from avel_tf.utils.settings import Settings

_RESOURCE_ONLY: JsonDict = {"resource_only": True}


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
        json_schema_extra=_RESOURCE_ONLY,
    )

    live_reconnects: int | None = Field(
        default=10,
        ge=0,
        description="Attempts in a row to open a lost live stream again; null for any number. 0 "
        "ends with the stream.",
        json_schema_extra=_RESOURCE_ONLY,
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


class ScreenSettings(Settings, section="screen"):
    """Settings of `avel infer --screen`. They affect results only there."""

    margin: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="Probability of background by the small model above which a segment is "
        "background without the large one. 1 gives every segment to the large model.",
    )
    context_seconds: int = Field(
        default=2,
        ge=0,
        description="Seconds before and after each other segment that the large model gets as "
        "well, as context.",
    )


class WatchSettings(Settings, section="watch"):
    """Settings of `avel infer --watch`. They affect no result."""

    poll_seconds: float = Field(
        default=2.0,
        gt=0,
        description="Interval at which the folders are listed.",
        json_schema_extra=_RESOURCE_ONLY,
    )
    settle_seconds: float = Field(
        default=5.0,
        ge=0,
        description="A file is labelled once its size and modification time have not changed for "
        "this long, and it can be opened.",
        json_schema_extra=_RESOURCE_ONLY,
    )
    patience_seconds: float = Field(
        default=60.0,
        ge=0,
        description="A file that cannot be opened is taken as it is, and quarantined, once it has "
        "not changed for this long.",
        json_schema_extra=_RESOURCE_ONLY,
    )


class WebhookSettings(Settings, section="webhook"):
    """Settings of `avel infer --on-event`. They affect no result."""

    timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Longest wait for the receiver's answer to one event.",
        json_schema_extra=_RESOURCE_ONLY,
    )
    max_delay_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Longest pause between two attempts to post an event; the first is up to one "
        "second, each further one up to twice as long.",
        json_schema_extra=_RESOURCE_ONLY,
    )
    drain_seconds: float = Field(
        default=300.0,
        ge=0,
        description="Once all files are labelled, the run waits this long for a receiver that "
        "takes no event. The events that are left are posted by the next run.",
        json_schema_extra=_RESOURCE_ONLY,
    )
