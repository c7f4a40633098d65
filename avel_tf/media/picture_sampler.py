"""Which picture is on screen at which instant."""

from __future__ import annotations

import heapq
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from avel_tf.media.instants import Instants
from avel_tf.media.picture_scaler import PictureScaler

# When neither the frame nor the track says how long a picture stays, it is taken to stay as long
# as one of the 25 per second of PAL television.
_USUAL_DURATION = Fraction(1, 25)


class PictureSampler:
    """Takes decoded frames in order and keeps those on screen at the sample instants.

    At each instant the frame on screen is the last one with a time at or before it; before the
    first frame it is the first. Only frames that are taken are resized and converted to RGB.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        frame_rate: Mean pictures per second, for frames that do not say how long they stay.
        instants: When pictures are taken.
        size: (H, W) of the pictures to make.
    """

    def __init__(
        self,
        origin: Fraction,
        tick: Fraction,
        frame_rate: float | None,
        instants: Instants,
        size: tuple[int, int],
    ) -> None:
        self._origin = origin
        self._tick = tick
        usual = 1 / Fraction(frame_rate) if frame_rate else _USUAL_DURATION
        self._usual = usual / tick  # ticks
        self._instants = instants
        # In ticks; a Fraction only after frames that lack a time or a duration.
        self._clock: int | Fraction | None = None
        self._end: int | Fraction = origin / tick
        self._samples: list[np.ndarray] = []
        self._sampled = 0  # instants decided so far, those already taken away included
        self._current: av.VideoFrame | None = None
        self._image: np.ndarray | None = None  # the current frame, once it has been converted
        self._convert = PictureScaler(size)
        # Asked for every packet, and always about the same few seconds.
        self._ticks_at = lru_cache(lambda time: (time + origin) / tick)
        self._passed: list[tuple[int, int]] = []  # a heap of (time, duration), not yet in order

    @property
    def end(self) -> Fraction:
        """When the latest frame leaves the screen, in seconds."""
        return self._end * self._tick - self._origin

    @property
    def empty(self) -> bool:
        """Whether no frame has come yet."""
        return self._current is None

    def reached(self, time: int | Fraction) -> bool:
        """Whether the latest frame begins at this second or later."""
        return self._clock is not None and self._clock >= self._ticks_at(time)

    def ends_after(self, time: float) -> bool:
        """Whether the latest frame stays on screen for longer than to this second."""
        return self._end > self._ticks_at(time)

    def add(self, frame: av.VideoFrame) -> None:
        """Takes the next frame; the instants before it are decided by this."""
        if self._current is None:
            self._show(frame)
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is not None:
            while self._passed and self._passed[0][0] <= ticks:
                self._move_on(*heapq.heappop(self._passed))
        time = self._end if ticks is None else ticks  # without a time it follows without a gap
        self._move_on(time, frame.duration)
        self._show(frame)

    def pass_over(self, ticks: int, duration: int | None) -> None:
        """Takes note of a picture that no instant needs and that was not decoded.

        Frames come in the order of showing, but these do not; each counts from the moment when
        the frame behind it comes.
        """
        heapq.heappush(self._passed, (ticks, duration or 0))

    def close(self) -> None:
        """No frame will come any more."""
        while self._passed and not self.empty:
            self._move_on(*heapq.heappop(self._passed))

    def take(self, count: int) -> np.ndarray:
        """Hands out the next `count` pictures; the last frame stays on screen to the end.

        Returns:
            uint8 `[count, H, W, 3]`.
        """
        while len(self._samples) < count:
            self._sample()
        taken, self._samples = self._samples[:count], self._samples[count:]
        return np.stack(taken)  # [count, H, W, 3]

    def _move_on(self, time: int | Fraction, duration: int | None) -> None:
        """Goes to the time of the next picture, which may not lie behind that of the last."""
        # Decoders hand out frames in the order of showing, so a clock that steps back is held.
        time = max(time, self._origin / self._tick if self._clock is None else self._clock)
        count = self._instants.before(time)
        while self._sampled < count:
            self._sample()
        self._clock = time
        self._end = max(self._end, time + (duration or self._usual))

    def _show(self, frame: av.VideoFrame) -> None:
        self._current, self._image = frame, None

    def _sample(self) -> None:
        if self._current is None:
            raise ValueError("No frame has been added, so none is on screen.")
        if self._image is None:
            self._image = self._convert(self._current)
        self._samples.append(self._image)
        self._sampled += 1
