"""Overlay videos: the picture with its sound, above a timeline of its events."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avel_tf.events.result import Result
from avel_tf.reports.overlay_panel import TimelinePanel
from avel_tf.synthesis.transcode import LARGEST_PICTURE, transcode
from avel_tf.utils.durable_files import atomic_path
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.media_job import run_media_job
from avel_tf.video.media_reader import MediaReader

# Width that smaller pictures are scaled up to, so that the text is legible.
LEAST_WIDTH = 320
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
        height, width = size = reader.size(LARGEST_PICTURE, LEAST_WIDTH)
        duration = max(result.duration or 0.0, reader.info.duration or 0.0)
        panel = TimelinePanel(result, width, duration)
        drawing = _Drawing(panel, size, _unpacked(arguments["attention"]))
        times = transcode(
            reader,
            Path(arguments["out"]),
            size=size,
            drawn_size=(height + panel.height, width),
            draw=drawing,
        )
        second = 0
        for time in times:
            if time >= second:
                yield time
                second = int(time) + 1


class _Drawing:
    """Drawing of picture, heat map and panel at a time."""

    def __init__(
        self, panel: TimelinePanel, size: tuple[int, int], attention: np.ndarray | None
    ) -> None:
        self._panel, self._size, self._attention = panel, size, attention
        self._canvas = np.zeros((size[0] + panel.height, size[1], 3), np.uint8)
        self._heat: tuple[int, np.ndarray, np.ndarray] | None = None

    def __call__(self, picture: np.ndarray, time: float) -> np.ndarray:
        height = self._size[0]
        self._canvas[:height] = self._lit(picture, int(time))
        self._canvas[height:] = self._panel.draw(time)
        return self._canvas

    def _lit(self, picture: np.ndarray, second: int) -> np.ndarray:
        """Picture with the heat map of a second."""
        if self._attention is None or second >= len(self._attention):
            return picture
        if self._heat is None or self._heat[0] != second:
            size = (self._size[1], self._size[0])
            share = self._attention[second]  # [rows, columns], 0 to 255
            share = cv2.resize(share, size, interpolation=cv2.INTER_CUBIC)  # [H, W]
            colour = cv2.applyColorMap(share, cv2.COLORMAP_INFERNO)[..., ::-1]  # [H, W, 3] RGB
            weight = share[..., None].astype(np.float32) * (_HEAT / 255)
            self._heat = second, colour * weight, 1 - weight
        return (picture * self._heat[2] + self._heat[1]).astype(np.uint8)


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
