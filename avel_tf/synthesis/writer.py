"""Writer of mp4 files that browsers play."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from avel_tf.utils.durable_files import atomic_path

logger = logging.getLogger(__name__)

_PIXEL_FORMAT = "yuv420p"  # the only one that every browser decodes
_KEYFRAME_SECONDS = 2  # accuracy of seeking in a player
# Players that ignore the tag assume Rec. 601 for small videos, which agrees with it.
_SMPTE170M = 6  # value of Rec. 601 in ISO/IEC 23091-2: primaries, transfer and matrix
_TICK = Fraction(1, 90_000)  # the clock of MPEG, of which the usual frame rates are multiples
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG: luma from 16 to 235


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    waveform: NDArray[np.float32] | None,
    *,
    frame_rate: float,
    sample_rate: int = 16_000,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    crf: int = 23,
    preset: str = "veryfast",
    audio_bit_rate: int = 64_000,
) -> Path:
    """Writes an mp4 file with H.264 video and AAC audio.

    The file is written atomically, and equal input gives equal bytes. Odd width or height is padded
    by repeating the last column or row.

    Args:
        path: the file.
        frames: RGB frames uint8 `[H,W,3]`, or one array `[N,H,W,3]`; read one at a time.
        waveform: float32 `[n]` mono in [-1, 1], or None for a video without an audio track.
        frame_rate: frames per second.
        sample_rate: samples per second of `waveform`.
        video_codec: an FFmpeg encoder that takes `crf` and `preset`.
        audio_codec: an FFmpeg audio encoder.
        crf: constant rate factor of x264, 0 (best) to 51.
        preset: speed of x264, "ultrafast" to "veryslow".
        audio_bit_rate: bits per second of the audio.

    Returns:
        The path of the file.

    Raises:
        ValueError: there are no frames, or an array has another shape or type.

    Example:
        >>> frames = np.zeros((20, 48, 64, 3), np.uint8)
        >>> write_video("black.mp4", frames, np.zeros(32_000, np.float32), frame_rate=10)
    """
    path = Path(path)
    if not frame_rate > 0:
        raise ValueError(f"frame_rate must be above 0. Received: frame_rate={frame_rate}.")
    if waveform is not None:
        waveform = _checked_waveform(waveform, path)
    images = _checked_frames(frames, path)
    first = next(images, None)
    if first is None:
        raise ValueError(f"A video needs at least one frame. Received: none for {path}.")

    rate = Fraction(frame_rate).limit_denominator(1001)
    written = 0  # samples
    with VideoWriter(
        path,
        first.shape[:2],
        frame_rate=frame_rate,
        sample_rate=None if waveform is None else sample_rate,
        video_codec=video_codec,
        audio_codec=audio_codec,
        crf=crf,
        preset=preset,
        audio_bit_rate=audio_bit_rate,
    ) as writer:
        for number, image in enumerate(_chain(first, images)):
            if waveform is None:
                writer.add(image)
                continue
            # Interleaved, so that a player that streams the file does not wait for a track.
            until = max(written, min(waveform.size, int((number + 1) / rate * sample_rate)))
            writer.add(image, waveform[written:until])
            written = until
        if waveform is not None:
            writer.rest = waveform[written:]
    logger.debug("wrote %s", path)
    return path


class VideoWriter:
    """Writer of an mp4 file frame by frame, in bounded memory; see `write_video`.

    The file exists when the block ends without an exception.

    Args:
        path: The file.
        size: (H, W) of the frames, even.
        frame_rate: Frames per second.
        sample_rate: Samples per second of the audio; None for a video without an audio track.
        video_codec: As of `write_video`, like the following.
        audio_codec: An FFmpeg audio encoder.
        crf: Constant rate factor.
        preset: Speed of x264.
        audio_bit_rate: Bits per second of the audio.
        layout: Channels of the audio, `mono` or `stereo`.
        timed: Whether frames come at times of their own, by `add_frame`.
        atomic: False if `path` is itself a temporary file, such as one of `atomic_path`.

    Attributes:
        rest: Samples after those of the last frame, float32 `[n]`.

    Example:
        >>> with VideoWriter(Path("black.mp4"), (48, 64), frame_rate=10) as writer:
        ...     writer.add(np.zeros((48, 64, 3), np.uint8), np.zeros(1_600, np.float32))
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, ...],
        *,
        frame_rate: float,
        sample_rate: int | None = 16_000,
        video_codec: str = "libx264",
        audio_codec: str = "aac",
        crf: int = 23,
        preset: str = "veryfast",
        audio_bit_rate: int = 64_000,
        layout: str = "mono",
        timed: bool = False,
        atomic: bool = True,
    ) -> None:
        self._layout, self._atomic = layout, atomic
        self.rest = np.zeros(0, np.float32)
        self._path, self._size, self._codec = path, size, video_codec
        self._rate = Fraction(frame_rate).limit_denominator(1001)  # for rates such as 30000/1001
        self._tick = _TICK if timed else 1 / self._rate
        self._crf, self._preset = crf, preset
        self._sample_rate = sample_rate
        self._audio_codec, self._audio_bit_rate = audio_codec, audio_bit_rate
        self._converter = VideoReformatter()
        self._frames = self._samples = 0
        self._audio: Any = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> VideoWriter:
        # bitexact: no library versions
        flags = {"movflags": "+faststart", "fflags": "+bitexact"}
        with contextlib.ExitStack() as stack:
            temporary = self._path
            if self._atomic:
                temporary = stack.enter_context(atomic_path(self._path))
            self._container = stack.enter_context(
                av.open(os.fspath(temporary), "w", format="mp4", options=flags)
            )
            self._video = _video_stream(
                *(self._container, self._codec, self._rate, self._size, self._crf, self._preset),
                self._tick,
            )
            if self._sample_rate is not None:
                options = {"flags": "+bitexact"}
                if self._audio_codec == "aac":
                    options["aac_coder"] = "fast"  # half the time of the default search
                self._audio = self._container.add_stream(
                    self._audio_codec, rate=self._sample_rate, options=options
                )
                self._audio.layout = self._layout
                self._audio.bit_rate = self._audio_bit_rate
            self._stack = stack.pop_all()
        return self

    def add(self, image: NDArray[np.uint8], samples: NDArray[np.float32] | None = None) -> None:
        """Append a frame, RGB uint8 `[H,W,3]`, and the audio that it is shown with, `[n]`."""
        self.add_frame(image, self._frames / self._rate)
        self._frames += 1
        if samples is not None:
            self.add_audio(samples[None])

    def add_frame(self, image: NDArray[np.uint8], time: Fraction) -> None:
        """Append a frame, RGB uint8 `[H,W,3]`, that is shown from a time in seconds on."""
        frame = _video_frame(self._converter, image, round(time / self._tick), self._tick)
        self._container.mux(self._video.encode(frame))

    def add_audio(self, samples: NDArray[np.float32]) -> None:
        """Append audio, float32 `[C,n]` in [-1, 1]."""
        if self._audio is None or self._sample_rate is None or not samples.size:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout=self._layout
        )
        frame.sample_rate = self._sample_rate
        frame.pts = self._samples
        frame.time_base = Fraction(1, self._sample_rate)
        self._container.mux(self._audio.encode(frame))
        self._samples += samples.shape[1]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            self._container.mux(self._video.encode())
            if self._audio is not None:
                self.add_audio(self.rest[None])
                self._container.mux(self._audio.encode())


def _video_stream(
    container: av.container.OutputContainer,
    codec: str,
    rate: Fraction,
    shape: tuple[int, ...],
    crf: int,
    preset: str,
    tick: Fraction,
) -> Any:
    stream: Any = container.add_stream(codec, rate=rate)
    stream.codec_context.time_base = stream.time_base = tick
    stream.height, stream.width = shape[0], shape[1]
    stream.pix_fmt = _PIXEL_FORMAT
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = _SMPTE170M
    context.color_range = _LIMITED_RANGE
    context.gop_size = max(1, round(_KEYFRAME_SECONDS * rate))
    context.thread_count = 1  # the bits of x264 depend on its threads
    context.options = {"crf": str(crf), "preset": preset, "flags": "+bitexact"}
    if codec == "libx264":
        # x264's AVX-512 code of the macroblock tree is not deterministic; files without it are
        # slightly larger.
        context.options = {**context.options, "x264-params": "no-mbtree=1"}
    return stream


def _video_frame(
    converter: VideoReformatter, image: NDArray[np.uint8], ticks: int, tick: Fraction
) -> av.VideoFrame:
    frame = converter.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
        format=_PIXEL_FORMAT,
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        threads=1,  # starting threads takes longer than converting a small frame
    )
    frame.pts = ticks
    frame.time_base = tick
    return frame


def _chain(
    first: NDArray[np.uint8], rest: Iterator[NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    yield first
    yield from rest


def _checked_frames(frames: Iterable[NDArray[np.uint8]], path: Path) -> Iterator[NDArray[np.uint8]]:
    shape: tuple[int, ...] | None = None
    for number, image in enumerate(frames):
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"Frames must be uint8 [H, W, 3] RGB. Received for {path}, frame {number}: "
                f"{image.dtype} {list(image.shape)}."
            )
        if shape is not None and image.shape != shape:
            raise ValueError(
                f"All frames of a video must have one size. Received for {path}: "
                f"{list(shape)} first, then {list(image.shape)} as frame {number}."
            )
        shape = image.shape
        odd = (shape[0] % 2, shape[1] % 2)
        if any(odd):
            image = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
        yield image


def _checked_waveform(waveform: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(
            "The waveform must be one channel of floats, [n]. "
            f"Received for {path}: {waveform.dtype} {list(waveform.shape)}."
        )
    if not np.isfinite(waveform).all():
        raise ValueError(f"The audio for {path} contains NaN or infinite samples.")
    return np.ascontiguousarray(np.clip(waveform, -1, 1), np.float32)
