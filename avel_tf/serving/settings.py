"""Settings of the server."""

from __future__ import annotations

from pydantic import Field

from avel_tf.utils.settings import Settings


class ServingSettings(Settings, section="serving"):
    """Limits of the server `avel serve`."""

    # Two hours of 1080p at 2 Mbit/s.
    max_upload_bytes: int = Field(
        default=2_000_000_000,
        ge=1,
        description="Largest upload, counted while it arrives. Larger ones get status 413.",
    )
    max_seconds: float = Field(
        default=14_400.0,
        gt=0,
        description="Longest video, by its declared duration. Longer ones get status 413. "
        "`media.max_seconds` applies as well.",
    )
    max_synchronous_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Longest video of `POST /v1/video/events`, whose answer waits for the labels.",
    )
    # 32 clips of 10 s with 4 frames of 224 x 224 each are 193 MB.
    max_body_bytes: int = Field(
        default=256_000_000,
        ge=1,
        description="Largest body of a request other than an upload.",
    )
    queue: int = Field(
        default=1_000,
        ge=1,
        description="Most jobs that wait. Further ones get status 503 with Retry-After.",
    )
    concurrent_uploads: int = Field(
        default=128,
        ge=1,
        description="Most uploads received at the same time. Further ones get status 503.",
    )
    # Browsers resend a paused chunk within seconds; a phone in a tunnel may take half a minute.
    upload_idle_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Time without a byte after which an upload is given up.",
    )
    requests_per_minute: int = Field(
        default=6_000,
        ge=1,
        description="Requests of one client address, as a token bucket of this size. Further ones "
        "get status 429.",
    )
    keep_uploads_hours: float = Field(
        default=168.0,
        gt=0,
        description="Time after which an upload without corrections is removed.",
    )
    micro_batch_wait_ms: float = Field(
        default=4.0,
        ge=0,
        description="Time that a prediction request waits for others to share its batch.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Further names in the `Host` header, such as that of a proxy.",
    )
