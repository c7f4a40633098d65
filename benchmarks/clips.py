"""Test clips of ten seconds, H.264 and AAC, drawn by `synthesis`."""

from __future__ import annotations

import os
from pathlib import Path

from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset

WIDTHS = {360: 640, 720: 1280}
DRAWN = 4  # per size; drawing one at 720p takes about ten seconds


def make_clips(scratch: Path, height: int, count: int) -> list[str]:
    """Paths of `count` clips of 25 frames per second, created if missing.

    After the fourth they are copies of the first four, because decoders do not cache files.
    """
    folder = scratch / "clips" / f"{height}p"
    if not (folder / "annotations.csv").exists():
        form = SynthesisSettings(seconds=10, width=WIDTHS[height], height=height, frame_rate=25.0)
        workers = len(os.sched_getaffinity(0))
        make_dataset(folder, train=DRAWN, validation=0, test=0, settings=form, workers=workers)
    drawn = sorted((folder / "videos" / "train").glob("*.mp4"))[:DRAWN]
    paths = []
    for number in range(count):
        path = folder / f"{number:03d}.mp4"
        if not path.exists():
            path.hardlink_to(drawn[number % len(drawn)])
        paths.append(str(path))
    return paths
