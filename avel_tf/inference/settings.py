"""Settings of inference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InferenceSettings:
    """Settings of windows and batches in inference.

    Args:
        window_seconds: Files longer than this are labelled in windows; the length that the model
            was trained on.
        hop_seconds: From the start of one window to the start of the next.
        batch_clips: The most windows of one file labelled at once.
        live_lookahead_seconds: How many seconds of a live stream must have come behind one before
            it is labelled.
    """

    window_seconds: int = 10
    hop_seconds: int = 5
    batch_clips: int = 16
    live_lookahead_seconds: int = 2

    def __post_init__(self) -> None:
        for name in ("window_seconds", "hop_seconds", "batch_clips"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"inference.{name} must be at least 1. Received: {getattr(self, name)}"
                )
        if not 0 <= self.live_lookahead_seconds < self.window_seconds:
            raise ValueError(
                "inference.live_lookahead_seconds must be 0 or more and less than "
                "inference.window_seconds, as the window must hold the second that it labels. "
                f"Received: {self.live_lookahead_seconds} and {self.window_seconds}"
            )
        if self.hop_seconds > self.window_seconds:
            raise ValueError(
                "inference.hop_seconds must not exceed inference.window_seconds, or seconds "
                f"between two windows would stay without a label. Received: {self.hop_seconds} "
                f"and {self.window_seconds}"
            )
