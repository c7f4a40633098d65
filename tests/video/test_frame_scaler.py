"""Small pictures are area averages of the stored one, in the right place and in its colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from avel_tf.video.frame_sampler import FrameScaler

# Weights of red and blue in the luma of ITU-R BT.601 and BT.709, by FFmpeg's number for them.
WEIGHTS = {6: (0.299, 0.114), 1: (0.2126, 0.0722)}


def scene(height: int, width: int) -> np.ndarray:
    """A picture with edges, colours and a fine pattern: uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(30, 220, (9, 16, 3)).repeat(height // 9 + 1, 0).repeat(width // 16 + 1, 1)
    fine = rng.normal(0, 12, (height, width, 1))
    return (coarse[:height, :width] + fine).clip(0, 255).astype(np.uint8)


def average(stored: int, wanted: int) -> np.ndarray:
    """The matrix that averages areas along one side: `[wanted, stored]`."""
    edges = np.linspace(0, stored, wanted + 1)
    pixel = np.arange(stored)
    shares = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return shares.clip(0) * wanted / stored


def reference(
    frame: av.VideoFrame, size: tuple[int, int], weights: tuple[float, float], full: bool
) -> np.ndarray:
    """Exact averages of luma and colour differences, turned into RGB in floating point."""
    height, width = size
    planes = []
    for plane in frame.planes:
        stored = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width]
        planes.append(average(plane.height, height) @ stored @ average(plane.width, width).T)
    luma, blue, red = planes
    luma = luma if full else (luma - 16) * 255 / 219
    blue, red = ((p - 128) * 255 / (255 if full else 224) for p in (blue, red))
    red_weight, blue_weight = weights
    r = luma + 2 * (1 - red_weight) * red
    b = luma + 2 * (1 - blue_weight) * blue
    g = (luma - red_weight * r - blue_weight * b) / (1 - red_weight - blue_weight)
    return np.stack([r, g, b], axis=-1).clip(0, 255)  # [H, W, 3]


@pytest.mark.parametrize("size", [(224, 224), (56, 56), (112, 200), (8, 8)])
@pytest.mark.parametrize("stored", [(360, 640), (719, 1279), (480, 854), (231, 225)])
@pytest.mark.parametrize(("colours", "full"), [(6, False), (1, False), (6, True)])
def test_it_averages_areas(
    colours: int, full: bool, stored: tuple[int, int], size: tuple[int, int]
) -> None:
    rgb = av.VideoFrame.from_ndarray(scene(*stored), "rgb24")
    frame = VideoReformatter().reformat(
        rgb, format="yuv420p", dst_colorspace=colours, dst_color_range=2 if full else 1
    )
    frame.colorspace, frame.color_range = colours, 2 if full else 1
    image = FrameScaler(size)(frame).astype(float)  # [H, W, 3]
    assert image.shape == (*size, 3)
    exact = reference(frame, size, WEIGHTS[colours], full)
    # Where hardly anything is shrunk, FFmpeg's filter is wider than the area; else it is 0.6.
    assert np.abs(image - exact).mean() < 1.5
    assert np.abs((image - exact).mean(axis=(0, 1))).max() < 0.3  # no cast, neither dark nor bright
    if min(size) > 50:
        assert np.abs(shift(image[..., 1], exact[..., 1])).max() < 0.03


def shift(image: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """By how many pixels one picture lies beside the other: (down, right), by least squares."""
    down, right = np.gradient(exact)
    slopes = np.stack([down.ravel(), right.ravel(), np.ones(exact.size)], axis=1)
    return np.linalg.lstsq(slopes, (image - exact).ravel(), rcond=None)[0][:2]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["yuv422p", "yuv444p", "yuv420p10le", "nv12", "rgb24", "gray"])
def test_other_pixel_formats(form: str) -> None:
    picture = scene(180, 320)
    if form == "gray":
        picture[:] = picture.mean(axis=2, keepdims=True)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24")
    image = FrameScaler((56, 56))(VideoReformatter().reformat(frame, format=form))
    exact = np.einsum("ij,jkc,lk->ilc", average(180, 56), picture.astype(float), average(320, 56))
    assert np.abs(image - exact).mean() < 2.0


def test_enlarging_is_linear() -> None:
    ramp = np.linspace(0, 255, 16, dtype=np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (16, 16, 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
    row = FrameScaler((64, 64))(frame)[32, :, 0].astype(int)
    assert np.abs(np.diff(row)).max() <= 6  # a step of 17 becomes four, without blocks


def test_the_fields_of_an_interlaced_picture_are_not_taken_apart(tmp_path: Path) -> None:
    """Lines that alternate between black and white average to grey, interlaced or not."""
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[::2] = 255
    options = {"x264-params": "tff=1:qp=4", "flags": "+ildct+ilme"}
    with av.open(str(tmp_path / "a.mp4"), "w") as film:
        video = film.add_stream("libx264", rate=25, options=options)
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(lines, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    with av.open(str(tmp_path / "a.mp4")) as film:
        frame = next(film.decode(video=0))
    assert frame.interlaced_frame
    image = FrameScaler((64, 64))(frame)
    assert np.abs(image.astype(int) - 127).max() < 8
