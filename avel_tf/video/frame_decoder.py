"""Video decoder that can return the frames it holds back at any time."""

from __future__ import annotations

import logging
import mmap
from fractions import Fraction

import av

_log = logging.getLogger(__name__)
# Limit in bytes of the packets kept since the latest key frame: ten seconds at 13 Mbit/s, more than
# screen recorders and web cameras write.
_MOST_BYTES = 1 << 24
# Motion vectors and block types that H.264 keeps with each frame (FFmpeg's libavcodec/h264_slice.c,
# `init_table_pools`: 2 lists of 16 vectors of 4 bytes, and 12 bytes more, for 256 pixels).
_SIDE_BYTES_PER_PIXEL = 0.55


class FrameDecoder:
    """Decodes the packets of one video track.

    A decoder holds frames back, to reorder them and to decode several at once, until it receives
    further packets. A frame may stay on screen for minutes without one, so `drain` flushes the
    decoder. A flushed decoder has lost the frames that later ones refer to; they are decoded again
    if further packets follow.

    Args:
        video: The video track of an open file.

    Example:
        >>> frames = decoder.decode(packet)
        >>> frames += decoder.drain(until=90_000)
    """

    def __init__(self, video: av.VideoStream) -> None:
        self._context = video.codec_context
        self._group: list[av.Packet] = []  # packets since the latest key frame
        self._bytes = 0
        self._complete = False  # whether `_group` holds all of them
        self._given: set[int] = set()  # times of its frames that have been returned
        self._drained = False
        self._ahead: list[av.VideoFrame] = []  # drained before their time
        self._again: set[int] = set()  # times of frames that will be decoded a second time

    def decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Decodes the next packet; returns the finished frames.

        Raises:
            av.FFmpegError: The packet is damaged.
            MemoryError: A frame cannot be allocated.
        """
        frames = []
        if self._drained:
            if packet.is_keyframe:
                frames = self._ahead
            else:
                self._again = set(self._given)
                for earlier in self._group:
                    frames += self._decode_again(earlier)
            self._drained, self._ahead = False, []
        if packet.is_keyframe:
            self._group, self._bytes, self._complete, self._given = [], 0, True, set()
        self._bytes += packet.size
        if self._bytes > _MOST_BYTES or packet.pts is None:
            self._group, self._complete, self._given = [], False, set()
        if self._complete:
            self._group.append(packet)
        try:
            new = self._new(frames + self._context.decode(packet))
        except av.FFmpegError:
            self._raise_if_memory_is_short()
            raise
        if self._complete:
            self._given.update(frame.pts for frame in new if frame.pts is not None)
        return new

    def drain(self, until: int | Fraction) -> list[av.VideoFrame]:
        """Returns the frames before a time, although further packets may follow.

        There are none if the latest group of pictures is too large to be decoded again.

        Args:
            until: Time in ticks of the track's clock.
        """
        if not self._drained:
            if not self._complete:
                return []
            self._ahead = self._new(self.finish())
            self._context.flush_buffers()
            self._drained = True
        coded = {packet.pts for packet in self._group}
        due: list[av.VideoFrame] = []
        ahead: list[av.VideoFrame] = []
        for frame in self._ahead:
            later = frame.pts is not None and frame.pts >= until and frame.pts in coded
            (ahead if later else due).append(frame)
        self._ahead = ahead
        self._given.update(frame.pts for frame in due if frame.pts is not None)
        return due

    def finish(self) -> list[av.VideoFrame]:
        """Returns the remaining frames after the last packet."""
        if self._drained:
            return self._ahead
        try:
            return self._new(self._context.decode(None))
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            self._raise_if_memory_is_short()
            _log.debug("nothing left in the video decoder: %s", error)
            return []

    def _new(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """Removes frames that have been returned before."""
        new = []
        for frame in frames:
            if frame.pts in self._again:
                self._again.discard(frame.pts)
                continue
            if frame.is_corrupt:
                self._raise_if_memory_is_short()
            new.append(frame)
        return new

    def _raise_if_memory_is_short(self) -> None:
        """Distinguishes a limit on memory from damage.

        A decoder that cannot allocate a frame reports invalid data as often as `ENOMEM`, depending
        on its threads, and continues with the next packet.
        """
        size = int(self._context.width * self._context.height * _SIDE_BYTES_PER_PIXEL)
        for plane in self._context.format.components if self._context.format else ():
            size += plane.width * plane.height * -(-plane.bits // 8)
        try:
            # Private and writable, so that it counts towards `RLIMIT_DATA`; it is never touched.
            mmap.mmap(-1, size or 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError as error:
            raise MemoryError(f"no room for a frame of {size:,} bytes") from error

    def _decode_again(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return self._context.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            self._raise_if_memory_is_short()
            _log.debug("video packet skipped again: %s", error)
            return []
