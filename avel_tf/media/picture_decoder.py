"""The decoder of a picture track, which can be asked for its latest picture at any time."""

from __future__ import annotations

import logging

import av

_log = logging.getLogger(__name__)
# Packets are kept from the latest key picture on. 16 MB are ten seconds at 13 Mbit/s, more than
# screen recorders and web cameras write.
_MOST_BYTES = 1 << 24


class PictureDecoder:
    """Decodes the packets of one picture track.

    A decoder holds pictures back, to bring them into order and to work on several at a time, until
    further packets push them out. Where a picture stays on screen for minutes none come, so
    `drain` fetches what is held back. A drained decoder has forgotten the pictures that later ones
    refer to; they are decoded again if any come.

    Args:
        video: The picture track of an open file.

    Example:
        >>> frames = decoder.decode(packet)
        >>> frames += decoder.drain()
    """

    def __init__(self, video: av.VideoStream) -> None:
        self._context = video.codec_context
        self._group: list[av.Packet] = []  # what came since the latest key picture
        self._bytes = 0
        self._complete = False  # whether `_group` holds all of that
        self._drained = False

    def decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Takes the next packet; returns the pictures that are done.

        Raises:
            av.FFmpegError: The packet is damaged.
        """
        if self._drained:
            self._drained = False
            if not packet.is_keyframe:
                for earlier in self._group:
                    self._decode_again(earlier)
        if packet.is_keyframe:
            self._group, self._bytes, self._complete = [], 0, True
        self._bytes += packet.size
        if self._bytes > _MOST_BYTES:
            self._group, self._complete = [], False
        if self._complete:
            self._group.append(packet)
        return self._context.decode(packet)

    def drain(self) -> list[av.VideoFrame]:
        """The pictures that are held back, although further packets may come.

        There are none where the latest group of pictures is too large to be decoded again.
        """
        if self._drained or not self._complete:
            return []
        frames = self.finish()
        self._context.flush_buffers()
        self._drained = True
        return frames

    def finish(self) -> list[av.VideoFrame]:
        """The pictures that are held back, when no further packets will come."""
        try:
            return self._context.decode(None)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            _log.debug("nothing left in the picture decoder: %s", error)
            return []

    def _decode_again(self, packet: av.Packet) -> None:
        try:
            self._context.decode(packet)  # all that it gives has been given before
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            _log.debug("picture packet skipped again: %s", error)
