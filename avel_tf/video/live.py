"""Streams that are decoded while they come: standard input, or an address."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from avel_tf.video.clip import Clip
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.source import HEAD_BYTES, demuxer_of, format_options, reason
from avel_tf.video.stream_decoder import StreamDecoder

STDIN = "-"
# By scheme, the demuxer that reads such an address and the protocols that it may use for it.
_SCHEMES = {
    # When we are too slow packets are lost; the stream goes on.
    "udp": ("mpegts", {"protocol_whitelist": "udp", "overrun_nonfatal": "1"}),
    # Over the connection that asks for it: no port has to be open, and nothing is lost on the way.
    "rtsp": ("rtsp", {"protocol_whitelist": "tcp", "rtsp_transport": "tcp"}),
}
# FFmpeg looks at as much of a stream before it hands out any of it; by default that is up to
# seven seconds of MPEG-TS. Two are enough for every track to have shown itself.
_LOOK_MICROSECONDS = 2_000_000
# A stream may come for as long as nobody ends it; a number, as settings have no infinity.
_ENDLESS_SECONDS = 10 * 365 * 86_400.0


def is_address(text: str) -> bool:
    """Whether a word of the command line is an address and no path of a file."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None and not os.path.lexists(text)


def check_source(source: str) -> None:
    """Refuse what is neither `-` nor an address that is opened.

    Raises:
        ValueError: It says what is opened.
    """
    if source == STDIN:
        return
    scheme = source.partition("://")[0].lower() if is_address(source) else None
    if scheme not in _SCHEMES:
        raise ValueError(
            f"A live stream is - for standard input, or an address that begins with "
            f"{' or '.join(f'{each}://' for each in _SCHEMES)}. Received: {without_login(source)}"
        )


def without_login(source: str) -> str:
    """An address as it may be shown and kept: without name and password."""
    if not is_address(source):
        return source
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def live_settings(settings: DecodeSettings) -> DecodeSettings:
    """What of a user's settings holds for a stream.

    No length, number of pictures or time is too much. Every picture is decoded, because leaving
    some out means to look at those behind them first; and by one thread unless the user says
    otherwise, because decoders hold a picture back for each thread.
    """
    return replace(
        settings,
        every_picture=True,
        threads=settings.threads or 1,
        max_seconds=_ENDLESS_SECONDS,
        max_frames=int(_ENDLESS_SECONDS * settings.max_frame_rate),
        max_wall_seconds=_ENDLESS_SECONDS,
    )


def decode_live(
    source: str,
    *,
    descriptor: int = 0,
    frames_per_second: int = 1,
    size: tuple[int, int] = (224, 224),
    settings: DecodeSettings | None = None,
) -> Iterator[Clip]:
    """The seconds of a stream, each as soon as its pictures and sound have come.

    Args:
        source: `-` for standard input, or an address.
        descriptor: What is read for `-`.
        frames_per_second: F, pictures per second.
        size: (H, W) to which the whole picture is resized.
        settings: Limits; those of length and time do not apply. A stream that is silent for
            `max_stall_seconds` counts as ended.

    Yields:
        Clips of T = 1.

    Raises:
        MediaError: Nothing can be had from this stream, or no more, or some of it was damaged.
    """
    settings = live_settings(settings or DecodeSettings())
    with _open(source, descriptor, settings) as container:
        shown = without_login(source)
        walk = StreamDecoder(shown, container, None, frames_per_second, size, settings, live=True)
        yield from walk.blocks(1)


@contextmanager
def _open(source: str, descriptor: int, settings: DecodeSettings) -> Iterator[InputContainer]:
    check_source(source)
    shown = without_login(source)
    silence = settings.max_stall_seconds
    demuxer = ""  # not known before the first bytes have come
    try:
        if source == STDIN:
            pipe = _Pipe(descriptor, silence)
            demuxer = demuxer_of(shown, pipe.head())
            # No name is opened, so no protocol is wanted; "fd" is one that opens nothing unasked.
            options = {"protocol_whitelist": "fd", **_options(demuxer, settings)}
            container = av.open(
                pipe, "r", format=demuxer, options=options, metadata_errors="replace"
            )
        else:
            demuxer, protocols = _SCHEMES[source.partition("://")[0].lower()]
            container = av.open(
                source,
                "r",
                format=demuxer,
                options=protocols | _options(demuxer, settings),
                metadata_errors="replace",
                timeout=silence,
            )
    except (TimeoutError, av.error.ExitError) as error:
        raise MediaError(shown, f"nothing came from it for {silence:g} s") from error
    except MemoryError:
        raise
    except (av.FFmpegError, EOFError, OSError, ValueError) as error:
        cause = f"no stream can be read from it ({reason(error)})"
        if source == STDIN and demuxer == "mov":
            cause += (
                "; an mp4 in a pipe must be fragmented, as by ffmpeg's "
                "-movflags frag_keyframe+empty_moov, or have its index in front"
            )
        raise MediaError(shown, cause) from error
    with container:
        yield container


def _options(demuxer: str, settings: DecodeSettings) -> dict[str, str]:
    return {**format_options(demuxer, settings), "analyzeduration": str(_LOOK_MICROSECONDS)}


class _Pipe:
    """A descriptor that cannot be sought, as a file for PyAV.

    Args:
        descriptor: What is read.
        silence: Seconds without a byte after which reading raises a `TimeoutError`.
    """

    def __init__(self, descriptor: int, silence: float) -> None:
        self._descriptor = descriptor
        self._silence = silence
        self._head = b""

    def head(self) -> bytes:
        """The first bytes, which are read again afterwards; fewer where the stream ends."""
        while len(self._head) < HEAD_BYTES:
            part = self._receive(HEAD_BYTES - len(self._head))
            if not part:
                break
            self._head += part
        return self._head

    def read(self, size: int) -> bytes:
        """What has come, at least a byte and at most `size`; nothing at the end."""
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(self._silence * 1000):
            raise TimeoutError
        return os.read(self._descriptor, size)
