"""Limits and choices of opening and decoding."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class DecodeSettings:
    """How far a file is trusted.

    The pixel and frame-rate limits are the ones that Mastodon has long put on uploads
    (`MAX_VIDEO_MATRIX_LIMIT`, `MAX_VIDEO_FRAME_RATE` in its `media_attachment.rb`). Its limits on
    size (99 MB) and frames (36,000) are meant for web uploads and would turn away a film, so
    length is limited here by what an archive holds. There is no limit on bytes: the file is read
    as a stream, so its size costs no memory.

    Args:
        max_pixels: Width x height of a stored picture.
        max_frame_rate: Pictures per second, on average, as declared.
        max_seconds: Declared length, and the time that any decoded picture may carry.
        max_frames: Pictures in the file, declared or met.
        follow_links: Whether a symbolic link may be opened.
        threads: Decoder threads; 0 means one per core.

    Raises:
        ValueError: A limit is not a positive number.
    """

    max_pixels: int = 8_294_400  # 3840 x 2160, Mastodon
    max_frame_rate: float = 120.0  # Mastodon
    max_seconds: float = 14_400.0  # 4 h: an E-240 video tape, two feature films
    max_frames: int = 500_000  # 4 h at 30/s are 432,000, and so are 2 h at 60/s
    follow_links: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("max_") and not value > 0:
                raise ValueError(f"media.{field.name} must be above 0. Received: {value!r}.")
        if self.threads < 0:
            raise ValueError(
                f"media.threads must be 0 (one per core) or more. Received: {self.threads!r}."
            )
