"""Live streams: standard input or a URL."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import av
from av.container import InputContainer

from avel_tf.video.decode_request import STDIN, DecodeRequest, is_address, without_login
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.source import HEAD_BYTES, demuxer_of, format_options, reason

# Demuxer and options, with the allowed protocols, of each URL scheme.
_SCHEMES = {
    # If decoding is too slow, packets are lost and the stream continues.
    "udp": ("mpegts", {"protocol_whitelist": "udp", "overrun_nonfatal": "1"}),
    # Over TCP: no port has to be open, and no packet is lost.
    "rtsp": ("rtsp", {"protocol_whitelist": "tcp", "rtsp_transport": "tcp"}),
}
# Microseconds that FFmpeg analyses before it returns a packet; by default up to seven seconds of
# MPEG-TS. Two are enough to find every track.
_ANALYSE_MICROSECONDS = 2_000_000
# A stream has no limit of length; settings have no infinity, so this is ten years.
_ENDLESS_SECONDS = 10 * 365 * 86_400.0


def check_source(source: str) -> None:
    """Checks that a source is `-` or a supported URL.

    Raises:
        ValueError: It is not.
    """
    if source == STDIN:
        return
    scheme = source.partition("://")[0].lower() if is_address(source) else None
    if scheme not in _SCHEMES:
        raise ValueError(
            f"A live stream must be - for standard input, or a URL that begins with "
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
        ValueError: The path is neither `-` nor a supported URL.
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

    Yields:
        The open `av.container.InputContainer`.

    Raises:
        MediaError: The stream cannot be opened, or sent no data within `max_stall_seconds`.
        ValueError: The source is neither `-` nor a supported URL.
    """
    source, settings = os.fsdecode(request.path), request.settings
    check_source(source)
    shown = request.shown_path
    silence = settings.max_stall_seconds
    demuxer = ""  # unknown before the first bytes
    try:
        if source == STDIN:
            pipe = _Pipe(request.descriptor, silence)
            demuxer = demuxer_of(shown, pipe.head())
            # No name is opened, so no protocol is needed; "fd" cannot open another file.
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
        raise MediaError(shown, f"no data came from it for {silence:g} s") from error
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
    return {**format_options(demuxer, settings), "analyzeduration": str(_ANALYSE_MICROSECONDS)}


class _Pipe:
    """File object for PyAV that reads a descriptor without seeking.

    Args:
        descriptor: The descriptor.
        silence: Seconds without data after which reading raises a `TimeoutError`.
    """

    def __init__(self, descriptor: int, silence: float) -> None:
        self._descriptor = descriptor
        self._silence = silence
        self._head = b""

    def head(self) -> bytes:
        """Peeks at the first bytes; there are fewer if the stream ends."""
        while len(self._head) < HEAD_BYTES:
            part = self._receive(HEAD_BYTES - len(self._head))
            if not part:
                break
            self._head += part
        return self._head

    def read(self, size: int) -> bytes:
        """Reads at least one and at most `size` bytes; none at the end."""
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
