"""Request to decode one media file or live stream."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from avel_tf.video.decode_settings import DecodeSettings

# Blocks bound the memory that a long file takes. All batch sizes are divisors of this number.
BLOCK_SECONDS = 10
# Path of the live stream on standard input.
STDIN = "-"


@dataclass(frozen=True)
class DecodeRequest:
    """All that decoding one source needs. `avel_tf.video.decode.decode` takes it.

    Args:
        path: Path of a file. For a live stream: `-` for standard input, or a URL.
        frames_per_second: F, number of frames sampled in each second.
        size: (H, W) in pixels, to which the whole frame is resized.
        seconds: Number of seconds after which decoding stops. None decodes the whole file.
        block_seconds: T of every block but the last, which may be shorter.
        settings: Limits, decoder threads and isolation.
        live: True for a live stream. Use `avel_tf.video.live.live_request` to set it.
        descriptor: File descriptor that is read when a live stream's path is `-`.

    Raises:
        ValueError: An argument is out of range.
    """

    path: str | bytes | os.PathLike
    frames_per_second: int = 1
    size: tuple[int, int] = (224, 224)
    seconds: int | None = None
    block_seconds: int = BLOCK_SECONDS
    settings: DecodeSettings = field(default_factory=DecodeSettings)
    live: bool = False
    descriptor: int = 0

    def __post_init__(self) -> None:
        for name in ("frames_per_second", "block_seconds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)!r}.")
        if self.seconds is not None and self.seconds < 1:
            raise ValueError(
                f"seconds must be at least 1, or None for the whole file. "
                f"Received: {self.seconds!r}."
            )
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size must be (height, width) in pixels. Received: {self.size!r}.")

    @property
    def block_shape(self) -> tuple[int, int, int, int]:
        """(T, F, H, W) of a whole block."""
        return (self.block_seconds, self.frames_per_second, self.size[0], self.size[1])

    @property
    def shown_path(self) -> str | bytes | os.PathLike:
        """The path for messages and results; a URL is shown without its credentials."""
        return without_login(os.fsdecode(self.path)) if self.live else self.path


def is_address(text: str) -> bool:
    """Returns True if a command line argument is a URL and no file of that name exists."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None and not os.path.lexists(text)


def without_login(source: str) -> str:
    """Removes the user name and the password from a URL."""
    if not is_address(source):
        return source
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
