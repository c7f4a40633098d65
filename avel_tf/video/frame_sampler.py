"""Sampling of frames: times, resizing, and the frame that is on screen at each time."""

from __future__ import annotations

import heapq
import math
from fractions import Fraction
from functools import lru_cache

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from avel_tf.video.probe import display_matrix


class SampleTimes:
    """The F instants of every second, seen from the clock of a track.

    Second s has its instants at s + (k + 0.5) / F. A picture that begins exactly at one is on
    screen then, so the comparison must be exact; and it is made for every picture of a film, so it
    is made in whole numbers, a tenth of the time that `Fraction` takes.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        frames_per_second: F.

    Example:
        >>> SampleTimes(Fraction(0), Fraction(1, 1000), 2).before(750)  # 0.25 s; 0.75 is not before
        1
    """

    def __init__(self, origin: Fraction, tick: Fraction, frames_per_second: int) -> None:
        # Instant n lies at (2n + 1) / 2F seconds. Times 2F and the common denominator, a time of
        # t ticks becomes t * scale - shift, and instant n becomes (2n + 1) * unit.
        self._unit = math.lcm(origin.denominator, tick.denominator)
        self._scale = int(2 * frames_per_second * tick * self._unit)
        self._shift = int(2 * frames_per_second * origin * self._unit)

    def before(self, ticks: int | Fraction) -> int:
        """Number of sample times before a time."""
        # The count is the smallest n >= 0 with (2n + 1) * unit >= time.
        time = ticks * self._scale - self._shift
        return max(0, -((self._unit - time) // (2 * self._unit)))


# Averaging areas is free of aliasing when shrinking. The two flags leave out the short cuts of
# FFmpeg's assembler, which differ between processors; they cost nothing that can be measured.
_AREA = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class FrameScaler:
    """Turns frames upright, resizes them whole, without a crop, and converts them to RGB.

    Shrinking, which is the rule, averages areas and converts colours in one pass of FFmpeg's
    scaler: a quarter of the time of a conversion at full size that OpenCV shrinks afterwards.

    Args:
        size: (H, W) of the pictures to make.

    Example:
        >>> FrameScaler((224, 224))(frame).shape
        (224, 224, 3)
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._matrix: list[list[int]] | None = None
        self._rotation = 0
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """The whole frame, upright, at the size asked for: uint8 `[H, W, 3]`."""
        height, width = self._size
        (a, b), (c, d) = self._matrix_of(frame)
        turned = abs(a) + abs(d) < abs(b) + abs(c)  # x and y change places
        target = (height, width) if turned else (width, height)  # width first
        image = self._resize(frame, target)
        if turned:
            image = image.transpose(1, 0, 2)  # [H, W, 3]
        # After the swap, x is shown along c * y or a * x, and the like for y: where the factor
        # is negative, that axis runs backwards.
        if (c if turned else a) < 0:
            image = image[:, ::-1]
        if (b if turned else d) < 0:
            image = image[::-1]
        return np.ascontiguousarray(image)  # [H, W, 3]

    def _resize(self, frame: av.VideoFrame, target: tuple[int, int]) -> np.ndarray:
        """As it is stored, at the size of `target`, which is (width, height)."""
        shrinking = frame.width >= target[0] and frame.height >= target[1]
        # FFmpeg's scaler shrinks the two fields of an interlaced picture apart, and what it
        # enlarges by areas is a pattern of blocks. Both are rare.
        if not shrinking or frame.interlaced_frame:
            stored = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            means = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            return cv2.resize(stored, target, interpolation=means)
        # To separate planes, because on the way to packed RGB the scaler halves the resolution of
        # the colours; and by one thread, because starting others takes longer than the work.
        small = self._reformatter.reformat(
            frame, *target, format="gbrp", interpolation=_AREA, threads=1
        )
        green, blue, red = (
            np.asarray(memoryview(plane)).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in small.planes
        )
        return cv2.merge([red, green, blue])

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


# When neither the frame nor the track says how long a picture stays, it is taken to stay as long
# as one of the 25 per second of PAL television.
_USUAL_DURATION = Fraction(1, 25)
# A first frame that comes later than the sound by no more than this is on screen from the
# beginning. Encoders that bring frames into another order delay the picture by two or three of
# them, and nobody notices a picture that leads its sound by less than 125 ms (ITU-R BT.1359-1).
_TOLERANCE = Fraction(125, 1000)


class FrameSampler:
    """Takes decoded frames in order and keeps those on screen at the sample instants.

    At each instant the frame on screen is the last one with a time at or before it. Before the
    first frame the screen is black, and the last one stays on it for as long as pictures are taken.
    Only frames that are taken are resized and converted to RGB.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        frame_rate: Mean pictures per second, for frames that do not say how long they stay.
        instants: When pictures are taken.
        size: (H, W) of the pictures to make.
        trust_durations: Whether frames know how long they stay on screen.

    Attributes:
        start: When the first frame comes, in seconds; None before it has come.
        late: The earliest time, in seconds, of a frame that came when it was over; None without.
    """

    def __init__(
        self,
        origin: Fraction,
        tick: Fraction,
        frame_rate: float | None,
        instants: SampleTimes,
        size: tuple[int, int],
        trust_durations: bool = True,
    ) -> None:
        self._origin = origin
        self._trust_durations = trust_durations
        self._tick = tick
        self.start: Fraction | None = None
        self.late: Fraction | None = None
        self._held = 0  # seconds whose instants are decided, though later frames may still come
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
        self._convert = FrameScaler(size)
        self._black = np.zeros((*size, 3), np.uint8)  # [H, W, 3]
        # Asked for every packet, and always about the same few seconds.
        self._ticks_at = lru_cache(lambda time: (time + origin) / tick)
        self._passed: list[tuple[int, int]] = []  # a heap of (time, duration), not yet in order

    @property
    def end(self) -> Fraction:
        """When the latest frame leaves the screen, in seconds."""
        return self._end * self._tick - self._origin

    @property
    def empty(self) -> bool:
        """True until the first frame has arrived."""
        return self._current is None

    def reached(self, time: int | Fraction) -> bool:
        """Return True if all frames before this second are sampled."""
        if time <= self._held:
            return True
        return self._clock is not None and self._clock >= self._ticks_at(time)

    def ends_after(self, time: float) -> bool:
        """Return True if the latest frame stays on screen beyond this second."""
        return self._end > self._ticks_at(time)

    def add(self, frame: av.VideoFrame) -> None:
        """Takes the next frame; the instants before it are decided by this."""
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is not None:
            while self._passed and self._passed[0][0] <= ticks:
                self._move_on(*heapq.heappop(self._passed))
        time = self._end if ticks is None else ticks  # without a time it follows without a gap
        if self._current is None:
            self.start = max(Fraction(0), time * self._tick - self._origin)
            if self.start <= _TOLERANCE:
                self._show(frame)
        if self._held and time < self._ticks_at(self._held):
            late = time * self._tick - self._origin
            self.late = late if self.late is None else min(self.late, late)
        self._move_on(time, frame.duration)
        self._show(frame)

    def hold(self, second: int) -> None:
        """Decides all instants before a second: the latest frame is on screen until then."""
        self._held = max(self._held, second)
        count = self._instants.before(self._ticks_at(self._held))
        while self._sampled < count:
            self._sample()

    def pass_over(self, ticks: int, duration: int | None) -> None:
        """Takes note of a picture that no instant needs and that was not decoded.

        Frames come in the order of showing, but these do not; each counts from the moment when
        the frame behind it comes.
        """
        heapq.heappush(self._passed, (ticks, duration or 0))

    def close(self, stay: int | None = None) -> None:
        """No frame will come any more.

        Args:
            stay: Ticks that the last one stays, for frames that do not know; None when unknown.
        """
        while self._passed and not self.empty:
            self._move_on(*heapq.heappop(self._passed))
        if not self._trust_durations and self._clock is not None:
            self._end = self._clock + (stay or self._usual)

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
        stay = duration if duration and self._trust_durations else self._usual
        self._end = max(self._end, time + stay)

    def _show(self, frame: av.VideoFrame) -> None:
        self._current, self._image = frame, None

    def _sample(self) -> None:
        if self._image is None and self._current is not None:
            self._image = self._convert(self._current)
        self._samples.append(self._black if self._image is None else self._image)
        self._sampled += 1
