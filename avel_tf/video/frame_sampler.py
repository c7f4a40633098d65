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
    """The F sample times of every second, on the clock of a track.

    Second s has the sample times s + (k + 0.5) / F. A frame that begins exactly at a sample time is
    on screen then, so the comparison must be exact. It is made for every frame, so it uses
    integers, a tenth of the time of `Fraction`.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        frames_per_second: F.

    Example:
        >>> SampleTimes(Fraction(0), Fraction(1, 1000), 2).before(750)  # 0.25 s; 0.75 is not before
        1
    """

    def __init__(self, origin: Fraction, tick: Fraction, frames_per_second: int) -> None:
        # Sample n is at (2n + 1) / 2F seconds. Multiplied by 2F and the common denominator, a time
        # of t ticks becomes t * scale - shift, and sample n becomes (2n + 1) * unit.
        self._unit = math.lcm(origin.denominator, tick.denominator)
        self._scale = int(2 * frames_per_second * tick * self._unit)
        self._shift = int(2 * frames_per_second * origin * self._unit)

    def before(self, ticks: int | Fraction) -> int:
        """Number of sample times before a time."""
        # The count is the smallest n >= 0 with (2n + 1) * unit >= time.
        time = ticks * self._scale - self._shift
        return max(0, -((self._unit - time) // (2 * self._unit)))


# Averaging areas avoids aliasing when shrinking. The two flags disable assembler shortcuts that
# differ between processors, at no measurable cost.
_AREA = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class FrameScaler:
    """Conversion of decoded frames to upright RGB images of one size, without a crop.

    Shrinking averages areas and converts colours in one pass of FFmpeg's scaler, in a quarter of
    the time of a conversion at full size followed by `cv2.resize`.

    Args:
        size: (H, W) of the images.

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
        """Converts a frame to uint8 `[H, W, 3]`."""
        height, width = self._size
        (a, b), (c, d) = self._matrix_of(frame)
        turned = abs(a) + abs(d) < abs(b) + abs(c)  # x and y change places
        target = (height, width) if turned else (width, height)  # width first
        image = self._resize(frame, target)
        if turned:
            image = image.transpose(1, 0, 2)  # [H, W, 3]
        # A negative factor of an axis in the display matrix means that the axis is mirrored.
        if (c if turned else a) < 0:
            image = image[:, ::-1]
        if (b if turned else d) < 0:
            image = image[::-1]
        return np.ascontiguousarray(image)  # [H, W, 3]

    def _resize(self, frame: av.VideoFrame, target: tuple[int, int]) -> np.ndarray:
        """Resizes a frame in its stored orientation to `target`, (width, height)."""
        shrinking = frame.width >= target[0] and frame.height >= target[1]
        # FFmpeg's scaler shrinks the two fields of an interlaced frame separately, and enlarging
        # by areas gives blocks. Both are rare.
        if not shrinking or frame.interlaced_frame:
            stored = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            means = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            return cv2.resize(stored, target, interpolation=means)
        # To planes, because for packed RGB the scaler halves the resolution of the colours; with
        # one thread, because starting others takes longer than the work.
        small = self._reformatter.reformat(
            frame, *target, format="gbrp", interpolation=_AREA, threads=1
        )
        green, blue, red = (
            np.asarray(memoryview(plane)).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in small.planes
        )
        return cv2.merge([red, green, blue])

    def _matrix_of(self, frame: av.VideoFrame) -> list[list[int]]:
        """Display matrix, read again only if the rotation has changed.

        In PyAV a frame and its side data form a reference cycle, so reading it for every frame
        would keep frames in memory until the next garbage collection.
        """
        if self._matrix is None or frame.rotation != self._rotation:
            matrix = display_matrix(frame)
            self._matrix = [[1, 0], [0, 1]] if matrix is None else matrix.tolist()
            self._rotation = frame.rotation
        return self._matrix


# Duration of a frame in seconds if neither frame nor track declare one: that of PAL television.
_USUAL_DURATION = Fraction(1, 25)
# A first frame at most this many seconds after the audio is shown from the start. Encoders that
# reorder frames delay the video by two or three of them, and viewers do not notice video that leads
# its audio by less than 125 ms (ITU-R BT.1359-1).
_TOLERANCE = Fraction(125, 1000)


class FrameSampler:
    """Selection of the decoded frames that are on screen at the sample times.

    The frame on screen is the last one that begins at or before the sample time. Before the first
    frame the screen is black; the last frame stays on screen. Only sampled frames are converted.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        frame_rate: Mean frames per second, for frames without a duration; None if unknown.
        times: Sample times.
        size: (H, W) of the sampled images.
        trust_durations: Whether the declared durations of frames are used.

    Attributes:
        start: Start of the first frame in seconds; None before it has arrived.
        late: Earliest time, in seconds, of a frame that arrived too late; None without any.
    """

    def __init__(
        self,
        origin: Fraction,
        tick: Fraction,
        frame_rate: float | None,
        times: SampleTimes,
        size: tuple[int, int],
        trust_durations: bool = True,
    ) -> None:
        self._origin = origin
        self._trust_durations = trust_durations
        self._tick = tick
        self.start: Fraction | None = None
        self.late: Fraction | None = None
        self._held = 0  # seconds that are sampled, although later frames may still arrive
        usual = 1 / Fraction(frame_rate) if frame_rate else _USUAL_DURATION
        self._usual = usual / tick  # ticks
        self._times = times
        # In ticks; a Fraction only after frames that lack a time or a duration.
        self._clock: int | Fraction | None = None
        self._end: int | Fraction = origin / tick
        self._samples: list[np.ndarray] = []
        self._sampled = 0  # samples made so far, including those already returned
        self._current: av.VideoFrame | None = None
        self._image: np.ndarray | None = None  # the current frame, converted once
        self._convert = FrameScaler(size)
        self._black = np.zeros((*size, 3), np.uint8)  # [H, W, 3]
        # Called for every packet, always with the same few seconds.
        self._ticks_at = lru_cache(lambda time: (time + origin) / tick)
        self._skipped: list[
            tuple[int, int]
        ] = []  # heap of (time, duration) of frames that are not decoded

    @property
    def end(self) -> Fraction:
        """End of the latest frame in seconds."""
        return self._end * self._tick - self._origin

    @property
    def empty(self) -> bool:
        """True until the first frame has arrived."""
        return self._current is None

    def reached(self, time: int | Fraction) -> bool:
        """Returns True if all samples before this second are made."""
        if time <= self._held:
            return True
        return self._clock is not None and self._clock >= self._ticks_at(time)

    def ends_after(self, time: float) -> bool:
        """Returns True if the latest frame stays on screen beyond this second."""
        return self._end > self._ticks_at(time)

    def add(self, frame: av.VideoFrame) -> None:
        """Adds the next frame and makes the samples before it."""
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is not None:
            while self._skipped and self._skipped[0][0] <= ticks:
                self._move_on(*heapq.heappop(self._skipped))
        time = self._end if ticks is None else ticks  # a frame without a time follows without a gap
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
        """Makes all samples before a second; the latest frame is on screen until then."""
        self._held = max(self._held, second)
        count = self._times.before(self._ticks_at(self._held))
        while self._sampled < count:
            self._sample()

    def skip(self, ticks: int, duration: int | None) -> None:
        """Adds the time of a frame that is not decoded because no sample needs it.

        Decoded frames arrive in display order; these do not. Each counts from the arrival of the
        decoded frame after it.
        """
        heapq.heappush(self._skipped, (ticks, duration or 0))

    def close(self, duration: int | None = None) -> None:
        """Ends the track.

        Args:
            duration: Ticks that the last frame stays, if durations are not trusted; None if
                unknown.
        """
        while self._skipped and not self.empty:
            self._move_on(*heapq.heappop(self._skipped))
        if not self._trust_durations and self._clock is not None:
            self._end = self._clock + (duration or self._usual)

    def take(self, count: int) -> np.ndarray:
        """Returns the next `count` samples; the last frame stays on screen.

        Returns:
            uint8 `[count, H, W, 3]`.
        """
        while len(self._samples) < count:
            self._sample()
        taken, self._samples = self._samples[:count], self._samples[count:]
        return np.stack(taken)  # [count, H, W, 3]

    def _move_on(self, time: int | Fraction, duration: int | None) -> None:
        """Advances the clock to the time of the next frame, never backwards."""
        # Decoders return frames in display order, so a time that steps back is an error.
        time = max(time, self._origin / self._tick if self._clock is None else self._clock)
        count = self._times.before(time)
        while self._sampled < count:
            self._sample()
        self._clock = time
        shown = duration if duration and self._trust_durations else self._usual
        self._end = max(self._end, time + shown)

    def _show(self, frame: av.VideoFrame) -> None:
        self._current, self._image = frame, None

    def _sample(self) -> None:
        if self._image is None and self._current is not None:
            self._image = self._convert(self._current)
        self._samples.append(self._black if self._image is None else self._image)
        self._sampled += 1
