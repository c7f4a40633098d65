"""Which picture is on screen at which instant."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from avel_tf.media.probe import display_matrix

# When neither the frame nor the track says how long a picture stays, it is taken to stay as long
# as one of the 25 per second of PAL television.
_USUAL_DURATION = Fraction(1, 25)


class PictureSampler:
    """Takes decoded frames in order and keeps those on screen at the sample instants.

    Second s has F instants, at s + (k + 0.5) / F. At each, the frame on screen is the last one
    with a time at or before it; before the first frame it is the first. Only frames that are
    taken are converted to RGB.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        time_base: Seconds per tick of the track's clock.
        frame_rate: Mean pictures per second, for frames that do not say how long they stay.
        frames_per_second: F.
        size: (H, W) of the pictures to make.
    """

    def __init__(
        self,
        origin: Fraction,
        time_base: Fraction,
        frame_rate: float | None,
        frames_per_second: int,
        size: tuple[int, int],
    ) -> None:
        self.clock: Fraction | None = None  # time of the latest frame
        self.end = Fraction(0)  # when the latest frame leaves the screen
        self._origin = origin
        self._time_base = time_base
        self._usual = 1 / Fraction(frame_rate) if frame_rate else _USUAL_DURATION
        self._frames_per_second = frames_per_second
        self._size = size
        self._samples: list[np.ndarray] = []
        self._sampled = 0  # instants decided so far, those already taken away included
        self._current: av.VideoFrame | None = None
        self._image: np.ndarray | None = None  # the current frame, once it has been converted
        self._matrix: list[list[int]] | None = None
        self._rotation = 0
        self._reformatter = VideoReformatter()

    def add(self, frame: av.VideoFrame) -> None:
        """Takes the next frame; the instants before it are decided by this."""
        time = self._time_of(frame)
        if self._current is None:
            self._show(frame)
        self._sample_until(time)
        self._show(frame)
        self.clock = time
        self.end = max(self.end, time + self._duration_of(frame))

    def take(self, count: int) -> np.ndarray:
        """Hands out the next `count` pictures; the last frame stays on screen to the end.

        Returns:
            uint8 `[count, H, W, 3]`.
        """
        while len(self._samples) < count:
            self._sample()
        taken, self._samples = self._samples[:count], self._samples[count:]
        return np.stack(taken)  # [count, H, W, 3]

    def _show(self, frame: av.VideoFrame) -> None:
        self._current, self._image = frame, None

    def _sample_until(self, time: Fraction) -> None:
        # The middle of interval n lies at (n + 0.5) / F; exact arithmetic, because a frame that
        # begins just then is already on screen.
        while Fraction(2 * self._sampled + 1, 2 * self._frames_per_second) < time:
            self._sample()

    def _sample(self) -> None:
        if self._current is None:
            raise ValueError("No frame has been added, so none is on screen.")
        if self._image is None:
            self._image = self._convert(self._current)
        self._samples.append(self._image)
        self._sampled += 1

    def _time_of(self, frame: av.VideoFrame) -> Fraction:
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is None:  # then it follows the one before without a gap
            return self.end
        time = ticks * self._time_base - self._origin
        # A clock that steps back is held: decoders hand out frames in the order of showing.
        return max(time, self.clock) if self.clock is not None else max(time, Fraction(0))

    def _duration_of(self, frame: av.VideoFrame) -> Fraction:
        return frame.duration * self._time_base if frame.duration else self._usual

    def _matrix_of(self, frame: av.VideoFrame) -> list[list[int]]:
        """The display matrix, read anew only when the rotation has changed.

        PyAV ties a frame and its side data into a cycle, so asking every frame would keep whole
        pictures in memory until the garbage collector comes by.
        """
        if self._matrix is None or frame.rotation != self._rotation:
            matrix = display_matrix(frame)
            self._matrix = [[1, 0], [0, 1]] if matrix is None else matrix.tolist()
            self._rotation = frame.rotation
        return self._matrix

    def _convert(self, frame: av.VideoFrame) -> np.ndarray:
        """The whole frame, upright, at the size asked for: uint8 `[H, W, 3]`."""
        stored = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        height, width = self._size
        (a, b), (c, d) = self._matrix_of(frame)
        turned = abs(a) + abs(d) < abs(b) + abs(c)  # x and y change places
        target = (height, width) if turned else (width, height)  # OpenCV wants width first
        shrinking = stored.shape[1] >= target[0] and stored.shape[0] >= target[1]
        # Averaging areas is free of aliasing when shrinking, but a block pattern when enlarging.
        image = cv2.resize(
            stored, target, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
        if turned:
            image = image.transpose(1, 0, 2)  # [H, W, 3]
        # After the swap, x is shown along c * y or a * x, and the like for y: where the factor
        # is negative, that axis runs backwards.
        if (c if turned else a) < 0:
            image = image[:, ::-1]
        if (b if turned else d) < 0:
            image = image[::-1]
        return np.ascontiguousarray(image)  # [H, W, 3]
