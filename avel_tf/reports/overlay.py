"""Overlay videos: the picture with its sound, above a timeline of its events."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avel_tf.events.result import Result
from avel_tf.reports.overlay_panel import TimelinePanel
from avel_tf.synthesis.writer import VideoWriter
from avel_tf.utils.durable_files import atomic_path
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.frame_sampler import FrameScaler
from avel_tf.video.media_job import run_media_job
from avel_tf.video.media_reader import MediaReader, Sound

# (H, W) that larger pictures are scaled down to, and the width that smaller ones are scaled up to,
# so that the text is legible.
LARGEST_PICTURE = (1080, 1920)
LEAST_WIDTH = 320
# Frames per second beyond which frames are left out; screens show no more.
_HIGHEST_RATE = 60
# A tenth less than the distance of two frames then, because frame rates are not exact.
_SOON = Fraction(9, 10 * _HIGHEST_RATE)
# Frames per second below which frames are repeated, so that the playhead moves on a still picture.
_LOWEST_RATE = 5
_AUDIO_BIT_RATE = 80_000  # of each channel
# Weight of the heat map where attention is highest.
_HEAT = 0.6


def write_overlay(
    result: Result,
    path: Path,
    *,
    attention: np.ndarray | None = None,
    media: DecodeSettings | None = None,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write a video with the timeline of its events below the picture.

    The file is mp4 with H.264 and AAC, for any browser: upright, with square pixels, at most 1920
    pixels wide, with the times of the frames of the source, and its sound in mono or stereo. Memory
    does not depend on the length. The source is read in a worker process with the limits of
    `media`.

    Args:
        result: Result of the video, with status `ok` or `partial`.
        path: The mp4 file to write.
        attention: Spatial attention maps, float `[T, rows, columns]`, as of
            `avel_tf.inference.spatial_attention`; shown as a heat map.
        media: Limits and isolation of decoding.
        progress: Called about once a second of the video with the seconds that are done.

    Returns:
        `path`.

    Raises:
        MediaError: The video cannot be read.
        ValueError: `path` is the video itself.
        OSError: The file cannot be written.
    """
    if os.path.realpath(path) == os.path.realpath(result.video):
        raise ValueError(f"{path} is the video itself. Choose another folder for the overlay.")
    if result.status == "quarantined":
        raise MediaError(result.video, result.reason or "it was quarantined")
    with atomic_path(path) as temporary:
        arguments: dict[str, Any] = {
            "out": os.path.abspath(temporary),
            "result": result.to_json(),
            "attention": None if attention is None else _packed(attention),
        }
        steps = run_media_job(render_overlay, result.video, media or DecodeSettings(), arguments)
        for second in steps:
            if progress and isinstance(second, int | float):
                progress(second)
    return path


def render_overlay(
    path: str, settings: DecodeSettings, arguments: dict[str, Any]
) -> Iterator[float]:
    """Writes an overlay; runs in the worker process of `write_overlay`.

    Yields:
        Seconds done.
    """
    result = Result.from_json(arguments["result"])
    with MediaReader.open(path, settings) as reader:
        height, width = reader.size(LARGEST_PICTURE, LEAST_WIDTH)
        duration = max(result.duration or 0.0, reader.info.duration or 0.0)
        panel = TimelinePanel(result, width, duration)
        rate = min(_HIGHEST_RATE, max(_LOWEST_RATE, reader.info.frame_rate or _LOWEST_RATE))
        with VideoWriter(
            Path(arguments["out"]),
            (height + panel.height, width),
            frame_rate=rate,
            sample_rate=reader.sample_rate,
            layout=reader.layout,
            audio_bit_rate=_AUDIO_BIT_RATE * (1 if reader.layout == "mono" else 2),
            timed=True,
            atomic=False,
        ) as writer:
            composer = _Composer(writer, panel, (height, width), _unpacked(arguments["attention"]))
            second = 0
            for part in reader.parts():
                if isinstance(part, Sound):
                    writer.add_audio(part.samples)
                    continue
                # A frame before the end of the file is shown to the end.
                until = part.time if part.frame else part.time - 1 / Fraction(rate)
                for time in composer.show(until, part.frame):
                    if time >= second:
                        yield float(time)
                        second = int(time) + 1
            composer.finish(until)


class _Composer:
    """Composition of picture, heat map and panel, at increasing times."""

    def __init__(
        self,
        writer: VideoWriter,
        panel: TimelinePanel,
        size: tuple[int, int],
        attention: np.ndarray | None,
    ) -> None:
        self._writer, self._panel, self._size = writer, panel, size
        self._scale = FrameScaler(size)
        self._attention = attention
        self._canvas = np.zeros((size[0] + panel.height, size[1], 3), np.uint8)
        self._picture = np.zeros((*size, 3), np.uint8)  # black before the first frame
        self._last: Fraction | None = None  # time of the latest frame written
        self._heat: tuple[int, np.ndarray, np.ndarray] | None = None

    def show(self, time: Fraction, frame: Any) -> Iterator[Fraction]:
        """Writes the frames up to a time, and a new one then; yields the times written."""
        if self._last is None and time > 0:
            yield self._write(Fraction(0))
        while self._last is not None and time - self._last > Fraction(1, _LOWEST_RATE):
            yield self._write(self._last + Fraction(1, _LOWEST_RATE))
        if frame is None:
            return
        if self._last is None or time - self._last >= _SOON:
            self._picture = self._scale(frame)
            yield self._write(time)

    def finish(self, time: Fraction) -> None:
        """Writes the last frame once more, at a time, unless it is later."""
        if self._last is not None and time - self._last > _SOON:
            self._write(time)

    def _write(self, time: Fraction) -> Fraction:
        height = self._size[0]
        self._canvas[:height] = self._lit(int(time))
        self._canvas[height:] = self._panel.draw(float(time))
        self._writer.add_frame(self._canvas, time)
        self._last = time
        return time

    def _lit(self, second: int) -> np.ndarray:
        """Picture with the heat map of a second."""
        if self._attention is None or second >= len(self._attention):
            return self._picture
        if self._heat is None or self._heat[0] != second:
            size = (self._size[1], self._size[0])
            share = self._attention[second]  # [rows, columns], 0 to 255
            share = cv2.resize(share, size, interpolation=cv2.INTER_CUBIC)  # [H, W]
            colour = cv2.applyColorMap(share, cv2.COLORMAP_INFERNO)[..., ::-1]  # [H, W, 3] RGB
            weight = share[..., None].astype(np.float32) * (_HEAT / 255)
            self._heat = second, colour * weight, 1 - weight
        return (self._picture * self._heat[2] + self._heat[1]).astype(np.uint8)


def _packed(maps: np.ndarray) -> dict[str, Any]:
    """Maps as JSON values: each is scaled to its maximum, in 8 bits."""
    highest = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)
    data = np.clip(255 * maps / highest, 0, 255).astype(np.uint8)
    return {"shape": list(maps.shape), "data": base64.b64encode(data.tobytes()).decode("ascii")}


def _unpacked(maps: dict[str, Any] | None) -> np.ndarray | None:
    if maps is None:
        return None
    data = np.frombuffer(base64.b64decode(maps["data"]), np.uint8)
    return data.reshape(maps["shape"])  # [T, rows, columns]
