"""Decoding in the current process. Other rooms call `avel_tf.video.decode.decode`."""

from __future__ import annotations

from collections.abc import Iterator

from avel_tf.video.clip import Clip
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.live import open_stream
from avel_tf.video.source import open_media
from avel_tf.video.stream_decoder import StreamDecoder


def decode_in_process(request: DecodeRequest) -> Iterator[Clip]:
    """Decodes a file or live stream without a worker process.

    Args:
        request: The source and the form of its clips; `settings.isolated` is ignored.

    Yields:
        Blocks of up to `request.block_seconds` seconds.

    Raises:
        MediaError: The source cannot be decoded, or not to its end.
    """
    opened = open_stream(request) if request.live else open_media(request.path, request.settings)
    with opened as container:
        yield from StreamDecoder(container, request).blocks()
