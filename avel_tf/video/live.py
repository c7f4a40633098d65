"""Live streams: standard input or a URL."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import av
from av.container import InputContainer

from avel_tf.video.decode_request import DecodeRequest, is_address, without_login
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.source import HEAD_BYTES, demuxer_of, format_options, reason

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


def live_request(request: DecodeRequest, descriptor: int = 0) -> DecodeRequest:
    """Turns a request into one for a live stream, decoded second by second.

    Limits on length, number of frames and time do not apply. A stream that sends nothing for
    `max_stall_seconds` counts as ended. Every frame is decoded, because skipping frames needs
    later packets; and by one thread unless the user sets another number, because decoders hold
    back one frame for each thread.

    Args:
        request: A request whose path is `-` for standard input, or a URL.
        descriptor: File descriptor that is read for `-`.

    Raises:
        ValueError: The path is no source that can be opened.
    """
    check_source(os.fsdecode(request.path))
    settings = replace(
        request.settings,
        every_picture=True,
        threads=request.settings.threads or 1,
        max_seconds=_ENDLESS_SECONDS,
        max_frames=int(_ENDLESS_SECONDS * request.settings.max_frame_rate),
        max_wall_seconds=_ENDLESS_SECONDS,
    )
    return replace(
        request,
        settings=settings,
        seconds=None,
        block_seconds=1,
        live=True,
        descriptor=descriptor,
    )


@contextmanager
def open_stream(request: DecodeRequest) -> Iterator[InputContainer]:
    """Opens a live stream.

    Args:
        request: A request of `live_request`.

    Returns:
        A context manager that gives the open `av.container.InputContainer`.

    Raises:
        MediaError: The stream cannot be opened, or nothing came within `max_stall_seconds`.
        ValueError: The source is neither `-` nor a supported URL.
    """
    source, settings = os.fsdecode(request.path), request.settings
    check_source(source)
    shown = request.shown_path
    silence = settings.max_stall_seconds
    demuxer = ""  # not known before the first bytes have come
    try:
        if source == STDIN:
            pipe = _Pipe(request.descriptor, silence)
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
        """Bytes received, at least one and at most `size`; none at the end."""
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
