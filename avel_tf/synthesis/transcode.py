"""Encoding of a file again, as a player shows it: H.264 and AAC for any browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avel_tf.synthesis.writer import VideoWriter
from avel_tf.video.errors import MediaError
from avel_tf.video.frame_sampler import FrameScaler
from avel_tf.video.media_reader import MediaReader, Sound

# (H, W) that larger pictures are scaled down to.
LARGEST_PICTURE = (1080, 1920)
# Frames per second beyond which frames are left out; screens show no more.
HIGHEST_RATE = 60
# A tenth less than the distance of two frames then, because frame rates are not exact.
_SOON = Fraction(9, 10 * HIGHEST_RATE)
# Frames per second below which frames are repeated, so that players seek well and drawings move.
LOWEST_RATE = 5
_AUDIO_BIT_RATE = 80_000  # of each channel
# Seconds of video read beyond the end for audio that is stored late, and the reverse.
_BEHIND = 10

Draw = Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]


def transcode(
    reader: MediaReader,
    path: Path,
    *,
    size: tuple[int, int],
    drawn_size: tuple[int, int] | None = None,
    draw: Draw = lambda image, time: image,
    seconds: float | None = None,
) -> Iterator[float]:
    """Write what a reader reads to an mp4 file, in bounded memory.

    Frames keep their times, and the sound its rate and up to two channels. Before a late picture
    the screen is black, before late sound it is silent.

    Args:
        reader: The file.
        path: File to write, which is not renamed: the caller passes a temporary one.
        size: (H, W) of the upright picture, even.
        drawn_size: (H, W) of the frames written, even; `size` when None.
        draw: Function from a picture `[H,W,3]` and its time in seconds to the frame to write.
        seconds: Time at which to end; the end of the file when None.

    Yields:
        Times of the frames written, in seconds.

    Raises:
        MediaError: The file cannot be read, or ends before time zero of the reader.
    """
    rate = min(HIGHEST_RATE, max(LOWEST_RATE, reader.info.frame_rate or LOWEST_RATE))
    stop = None if seconds is None else Fraction(seconds).limit_denominator(1000)
    channels = 1 if reader.layout == "mono" else 2
    with VideoWriter(
        path,
        drawn_size or size,
        frame_rate=rate,
        sample_rate=reader.sample_rate,
        layout=reader.layout,
        audio_bit_rate=_AUDIO_BIT_RATE * channels,
        timed=True,
        atomic=False,
    ) as writer:
        pacer = _FramePacer(writer, size, draw)
        seen, heard = Fraction(0), 0  # end of the frames in seconds, and of the audio in samples
        for part in reader.parts():
            if isinstance(part, Sound):
                room = None if stop is None else int(stop * (reader.sample_rate or 0)) - heard
                writer.add_audio(part.samples[:, : max(0, room) if room is not None else None])
                heard += part.samples.shape[1]
            else:
                seen = part.time
                # A frame before the end is shown to the end, for the time of one frame at least.
                until = seen if part.frame else seen - 1 / Fraction(rate)
                if stop is not None and seen >= stop:
                    until = stop - 1 / Fraction(rate)
                    yield from pacer.show(until, None)
                else:
                    yield from pacer.show(until, part.frame)
            if stop is not None and _complete(seen, heard, stop, reader.sample_rate):
                break
        if seen <= 0:
            raise MediaError(reader.info.path, f"it ends before second {float(reader.start):g}")
        pacer.finish(until)


def _complete(seen: Fraction, heard: int, stop: Fraction, sample_rate: int | None) -> bool:
    """Return True if frames and audio are read up to the end."""
    end = stop if sample_rate is None else Fraction(heard, sample_rate)
    return min(seen, end) >= stop or max(seen, end) >= stop + _BEHIND


class _FramePacer:
    """Writing of frames at increasing times, with a least and a largest distance."""

    def __init__(self, writer: VideoWriter, size: tuple[int, int], draw: Draw) -> None:
        self._writer, self._draw = writer, draw
        self._scale = FrameScaler(size)
        self._picture = np.zeros((*size, 3), np.uint8)  # black before the first frame
        self._last: Fraction | None = None  # time of the latest frame written

    def show(self, time: Fraction, frame: Any) -> Iterator[float]:
        """Writes the frames up to a time, and a new one then; yields the times written."""
        if self._last is None and time > 0:
            yield self._write(Fraction(0))
        while self._last is not None and time - self._last > Fraction(1, LOWEST_RATE):
            yield self._write(self._last + Fraction(1, LOWEST_RATE))
        if frame is not None and (self._last is None or time - self._last >= _SOON):
            self._picture = self._scale(frame)
            yield self._write(time)

    def finish(self, time: Fraction) -> None:
        """Writes the last frame once more, at a time, unless it is later."""
        if self._last is not None and time - self._last > _SOON:
            self._write(time)

    def _write(self, time: Fraction) -> float:
        self._writer.add_frame(self._draw(self._picture, float(time)), time)
        self._last = time
        return float(time)
