"""Every real file that lies beside the project ends as a clip or as an error with a cause."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from avel_tf.video.errors import MediaError
from tests.video.in_process import decode_clip

BESIDE = Path(__file__).resolve().parents[3] / "shared"
SIZE = (56, 56)


def files(folder: str) -> list[str]:
    """Names of the files below a shared folder; one empty name where there are none."""
    found = [p for p in (BESIDE / folder).glob("**/*") if p.is_file() and p.suffix != ".csv"]
    return sorted(os.path.relpath(p, BESIDE) for p in found) or [""]


@pytest.mark.slow
@pytest.mark.parametrize("name", files("awkward"))
def test_awkward_files(name: str, shared: Path) -> None:
    if not name:
        pytest.skip("the shared folder holds no awkward files")
    try:
        clip = decode_clip(shared / name, size=SIZE)
    except MediaError as error:
        assert error.cause and name in str(error)
        return
    assert clip.valid.all()
    if clip.info.duration is not None:
        assert clip.seconds == max(1, int(clip.info.duration + 0.5))
    assert np.isfinite(clip.waveform).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", files("clips"))
def test_clips(name: str, shared: Path) -> None:
    if not name:
        pytest.skip("the shared folder holds no clips")
    clip = decode_clip(shared / name, size=SIZE)
    assert clip.problem is None and clip.has_sound and clip.valid.all()
    assert np.abs(clip.waveform).max() > 0.05
    assert clip.frames.std() > 5  # a picture, not a blank


def test_the_film_that_was_held_sideways(shared: Path) -> None:
    """A face on a phone: eyes above mouth means the picture darkens from hair to shirt."""
    path = shared / "awkward" / "streamio" / "sideways movie.mov"
    if not path.exists():
        pytest.skip("the shared folder does not hold the rotated film")
    clip = decode_clip(path, size=(160, 120))
    assert clip.info.rotation == 90 and clip.info.width > clip.info.height
    image = clip.frames[0, 0].mean(axis=2)  # [H, W]
    # Seen by eye: the bright door stands at the upper right, the wall at the upper left is dim.
    assert image[:50, 100:].max() > 180
    assert image[:50, 100:].mean() > image[110:, 100:].mean()
