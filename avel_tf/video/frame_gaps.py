"""Pictures that a damaged Matroska file has lost without a word."""

from __future__ import annotations

from fractions import Fraction

import av

from avel_tf.video.track_times import tick_of

# Between two packets lie the headers of a block or a cluster, some dozen bytes, and at most the
# few hundred of HDR10+ data beside a picture.
_HEADER_BYTES = 1024


class FrameGaps:
    """Tells holes in a video track from pictures that stay on screen.

    FFmpeg passes over damage in Matroska without an error, to the next cluster. The pause alone
    says nothing: a screen recording may hold one picture for minutes. But packets lie in the file
    in the order in which they are read. Where a pause goes with bytes that belong to none of them,
    something was passed over, and pictures were in it.

    Args:
        video: The video track.
        frame_rate: Mean pictures per second; None when unknown.
        shortest: Seconds; a pause that is longer by this than a picture usually stays may be a
            hole.

    Attributes:
        missing: Seconds of picture that are missing.

    Example:
        >>> gaps = FrameGaps(video, 25.0, Fraction(1, 2))
        >>> for packet in container.demux():
        ...     gaps.add(packet)
    """

    def __init__(self, video: av.VideoStream, frame_rate: float | None, shortest: Fraction) -> None:
        self.missing = Fraction(0)
        self._video = video
        self._tick = tick_of(video)
        self._usual = 1 / Fraction(frame_rate) if frame_rate else Fraction(0)
        self._shortest = shortest
        self._latest: int | None = None  # time of the latest picture, in ticks
        self._begin: int | None = None  # where the packet before lies in the file
        self._end: int | None = None
        self._unread = 0  # the longest stretch between two packets since the latest picture
        # What is transparent lies beside the picture, in bytes that no packet counts.
        self._blind = "alpha_mode" in video.metadata

    def add(self, packet: av.Packet) -> None:
        """Takes every packet of the file, those of other tracks included, in its order."""
        position = packet.pos
        if position is None or position < 0:
            self._begin = self._end = None
        elif position == self._begin and self._end is not None:
            self._end += packet.size  # a block may hold several packets of sound: lacing
        else:
            if self._end is not None:
                self._unread = max(self._unread, position - self._end)
            self._begin, self._end = position, position + packet.size
        if packet.stream is not self._video or packet.pts is None or self._blind:
            return
        if self._latest is not None and self._unread > _HEADER_BYTES:
            pause = (packet.pts - self._latest) * self._tick - self._usual
            if pause > self._shortest:
                self.missing += pause
        self._latest = packet.pts if self._latest is None else max(self._latest, packet.pts)
        self._unread = 0
