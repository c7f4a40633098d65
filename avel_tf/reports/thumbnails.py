"""Thumbnails of events, as data URIs for a page."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from avel_tf.events.result import Result
from avel_tf.reports.video_names import absolute
from avel_tf.video.decode import DecodeSettings, decode, read_header
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.errors import MediaError

# Height of a thumbnail: twice that of a row of the list, for dense displays. Wider ones are cut
# by the page.
HEIGHT = 108
_WIDEST = 2.5
_JPEG_QUALITY = 70
# About 3 KB each, so this bounds the page if frames compress badly.
MOST_BYTES = 16 * 2**20
# A video is decoded from its beginning, so later events have no thumbnail.
LAST_SECOND = 600
# Considered events per wanted thumbnail, where some videos cannot be read.
_SPARE = 2


@dataclass
class Thumbnails:
    """Thumbnails, and the events that have none.

    Attributes:
        images: Data URI of each event, by its video and its number in the result.
        events: Number of events in the results.
        failed: Videos that could not be decoded again, such as those that were moved.
    """

    images: dict[tuple[str, int], str] = field(default_factory=dict)
    events: int = 0
    failed: int = 0

    @property
    def omitted(self) -> int:
        """Number of events without a thumbnail."""
        return self.events - len(self.images)


def make_thumbnails(
    results: Iterable[Result],
    count: int,
    page_folder: Path,
    media: DecodeSettings | None = None,
) -> Thumbnails:
    """Decode the middle frames of events, in worker processes.

    The best event of each video comes first, in the order of the results; then the second best, and
    so on.

    Args:
        results: The results, read once.
        count: Largest number of thumbnails.
        page_folder: Folder from which relative paths are looked up, too.
        media: Limits of the decoder.
    """
    made = Thumbnails()
    if count <= 0:
        return made
    # By rank within the video; the list holds numbers only.
    chosen: list[tuple[int, int, str, int, int]] = []
    for order, result in enumerate(results):
        made.events += len(result.events)
        ranked = sorted(range(len(result.events)), key=lambda n: (-result.events[n].score, n))
        for rank, number in enumerate(ranked[:count]):
            event = result.events[number]
            second = int((event.start + event.end) / 2)
            if second < LAST_SECOND:
                chosen.append((rank, order, result.video, number, second))
        if len(chosen) > 4 * _SPARE * count:
            chosen = sorted(chosen)[: _SPARE * count]
    wanted: dict[str, list[tuple[int, int]]] = {}
    for _, _, video, number, second in sorted(chosen)[:count]:
        wanted.setdefault(video, []).append((number, second))
    settings = replace(media or DecodeSettings(), isolated=True)

    def frames_of(video: str) -> dict[int, bytes]:
        try:
            return _frames(absolute(video, page_folder), {s for _, s in wanted[video]}, settings)
        except (MediaError, OSError):
            return {}

    size = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for video, frames in zip(wanted, pool.map(frames_of, wanted), strict=True):
            made.failed += not frames
            for number, second in wanted[video]:
                image = frames.get(second)
                if image is not None and size + len(image) <= MOST_BYTES:
                    size += len(image)
                    encoded = base64.b64encode(image).decode()
                    made.images[video, number] = f"data:image/jpeg;base64,{encoded}"
    return made


def _frames(path: str, seconds: set[int], settings: DecodeSettings) -> dict[int, bytes]:
    """JPEG of the middle frame of each of some seconds."""
    info = read_header(path, settings)
    width, height = info.width, info.height
    if info.rotation in (90, 270):
        width, height = height, width
    width = min(round(HEIGHT * width / height), round(HEIGHT * _WIDEST))
    request = DecodeRequest(
        path, size=(HEIGHT, max(16, width)), seconds=max(seconds) + 1, settings=settings
    )
    found: dict[int, bytes] = {}
    start = 0
    for clip in decode(request):
        for second in seconds:
            if start <= second < start + clip.seconds and clip.valid[second - start]:
                found[second] = _jpeg(clip.frames[second - start, 0])
        start += clip.seconds
    return found


def _jpeg(frame: np.ndarray) -> bytes:
    """Encode a frame uint8 [H, W, 3]."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()
