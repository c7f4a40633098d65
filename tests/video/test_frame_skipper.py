"""Pictures that are left out are missed by nobody: the clip is the same, byte for byte."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from avel_tf.video.clip import Clip
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.frame_sampler import SampleTimes
from avel_tf.video.frame_skipper import FrameSkipper, role_reader
from tests.video.films import SIZE, TICKS, film_writer, numbered
from tests.video.in_process import decode_blocks, decode_clip

X264 = {"preset": "veryfast"}
# What encoders make of groups of pictures: closed and open, with and without pyramids of B
# pictures, with several slices, with fields, without B pictures, and pictures that stand alone.
STRUCTURES = {
    "default": ("mp4", "libx264", X264),
    "matroska": ("mkv", "libx264", X264),
    "start codes": ("ts", "libx264", X264),
    "flash": ("flv", "libx264", X264),
    "no dts": ("avi", "libx264", X264),
    "short groups": ("mp4", "libx264", {**X264, "g": "12"}),
    "many B": ("mp4", "libx264", {**X264, "bf": "8", "b_strategy": "0", "g": "30"}),
    "no pyramid": ("mp4", "libx264", {**X264, "bf": "3", "x264-params": "b-pyramid=none"}),
    "open groups": ("mp4", "libx264", {**X264, "x264-params": "open-gop=1:keyint=20:bframes=3"}),
    "no B": ("mp4", "libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    "intra only": ("mp4", "libx264", {**X264, "g": "1"}),
    "no key pictures": ("mp4", "libx264", {**X264, "x264-params": "intra-refresh=1:keyint=25"}),
    "slices": ("mp4", "libx264", {**X264, "x264-params": "slices=4"}),
    "fields": ("ts", "libx264", {**X264, "x264-params": "tff=1", "flags": "+ildct+ilme"}),
    "hevc": ("mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "hevc groups": (
        "mkv",
        "libx265",
        {"preset": "fast", "x265-params": "log-level=none:keyint=20:min-keyint=20:bframes=6"},
    ),
    "hevc closed": (
        "ts",
        "libx265",
        {"preset": "fast", "x265-params": "log-level=none:keyint=15:open-gop=0:bframes=4"},
    ),
    "hevc layers": (
        "mp4",
        "libx265",
        {"preset": "fast", "x265-params": "log-level=none:temporal-layers=3:bframes=7:b-adapt=0"},
    ),
    "mjpeg": ("mov", "mjpeg", {}),
    "prores": ("mov", "prores_ks", {}),
    "vp9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "20"}),
    "av1": ("mp4", "libsvtav1", {"preset": "12", "g": "20"}),
    "mpeg4": ("mp4", "mpeg4", {"bf": "2", "g": "12"}),
    "mpeg2": ("mpg", "mpeg2video", {"bf": "2", "g": "12"}),
}
# Those of which something can be left out at one picture a second.
SKIPPED = ("default", "matroska", "start codes", "flash", "short groups", "many B", "no pyramid",
           "open groups", "intra only", "no key pictures", "slices", "fields", "hevc",
           "hevc groups", "hevc closed", "hevc layers", "mjpeg", "prores")  # fmt: skip


ANY_RATE = DecodeSettings(max_frame_rate=1e9)


def film(path: Path, name: str, times: list[int], start: int = 0) -> Path:
    """Numbered pictures over moving noise, so that every one is coded and told apart."""
    _, codec, options = STRUCTURES[name]
    noise = np.random.default_rng(0).integers(0, 60, (*SIZE, 3), dtype=np.uint8)
    with film_writer(path) as out:
        video = out.add_stream(codec, rate=25, options=options)
        video.height, video.width = SIZE
        video.pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
        ticks = 25 if codec.startswith("mpeg") or path.suffix == ".avi" else TICKS
        video.codec_context.time_base = Fraction(1, ticks)
        for number, time in enumerate(times):
            picture = numbered(number % 256) // 2 + np.roll(noise, number, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = (start + time) * ticks // TICKS, Fraction(1, ticks)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def both(path: Path, rate: int, **settings_: int) -> tuple[Clip, Clip]:
    """The clip with every picture decoded, and the clip as usual."""
    options = replace(ANY_RATE, **{"threads": 1, **settings_})
    every = replace(options, every_picture=True)
    return (
        decode_clip(path, frames_per_second=rate, size=SIZE, settings=every),
        decode_clip(path, frames_per_second=rate, size=SIZE, settings=options),
    )


def same(one: Clip, other: Clip) -> None:
    """Raises where two clips differ in anything."""
    assert one.frames.tobytes() == other.frames.tobytes()
    assert one.waveform.tobytes() == other.waveform.tobytes()
    assert one.valid.tolist() == other.valid.tolist()
    assert (one.info, one.has_sound, one.problem) == (other.info, other.has_sound, other.problem)


def steady(count: int) -> list[int]:
    return [n * TICKS // 25 for n in range(count)]


def left_out(path: Path, rate: int) -> tuple[int, int]:
    """How many packets are left out, and of how many."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        role_of = role_reader(
            video.codec_context.codec.canonical_name, video.codec_context.extradata
        )
        choice = FrameSkipper(
            role_of,
            SampleTimes(Fraction(0), video.time_base, rate),
            bool(video.codec_context.has_b_frames),
        )
        packets = [p for p in container.demux(video) if p.size]
        chosen = [pair for packet in packets for pair in choice.add(packet)] + choice.rest()
    assert [p.dts for p, _ in chosen] == [p.dts for p in packets]  # all of them, in their order
    return sum(not needed for _, needed in chosen), len(chosen)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_clip_is_the_same(name: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"a.{STRUCTURES[name][0]}", name, steady(130))
    for rate in (1, 2, 3, 8, 16):
        same(*both(path, rate))
    same(*both(path, 2, threads=2))
    out, count = left_out(path, 1)
    assert count >= 129
    assert (out > count // 5) if name in SKIPPED else (out < count // 5)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(["default", "many B", "open groups", "short groups", "hevc closed"]),
    ending=st.sampled_from(["mp4", "mkv", "ts"]),
    gaps=st.lists(
        st.sampled_from([1, 400, 1500, 3600, 3601, 45_000, 130_000]), min_size=1, max_size=90
    ),
    start=st.sampled_from([0, 1, 45_000, 200_000]),
    rate=st.integers(1, 12),
    block=st.integers(1, 3),
)
def test_any_frame_rate(
    name: str, ending: str, gaps: list[int], start: int, rate: int, block: int
) -> None:
    """Pictures that stay for a hundredth of a millisecond or for more than a second."""
    times = np.cumsum([0, *gaps]).tolist()
    if ending == "mkv":  # which counts milliseconds
        times = [90 * (t // 90 + n) for n, t in enumerate(times)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = film(Path(folder) / f"a.{ending}", name, times, start)
        except av.FFmpegError:  # a clock that this encoder and this muxer cannot agree upon
            reject()
        every, usual = both(path, rate)
        same(every, usual)
        blocks = list(
            decode_blocks(
                path, block_seconds=block, frames_per_second=rate, size=SIZE, settings=ANY_RATE
            )
        )
    assert np.concatenate([b.frames for b in blocks]).tobytes() == every.frames.tobytes()


@pytest.mark.parametrize("name", ["default", "open groups", "hevc groups"])
def test_an_edit_list_that_begins_late(name: str, tmp_path: Path) -> None:
    """The pictures before the cut are decoded and not shown."""
    whole = film(tmp_path / "whole.mp4", name, steady(130))
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        copy = out.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.size:
                packet.stream = copy
                packet.pts -= round(0.7 / packet.time_base)
                packet.dts -= round(0.7 / packet.time_base)
                out.mux(packet)
    for rate in (1, 2, 5):
        same(*both(path, rate))


@pytest.mark.parametrize("name", ["default", "many B", "hevc", "start codes"])
def test_damage_leaves_the_rest_as_it_was(name: str, tmp_path: Path) -> None:
    """After the first damage that is met every picture is decoded."""
    path = film(tmp_path / f"a.{STRUCTURES[name][0]}", name, steady(200))
    body = bytearray(path.read_bytes())
    middle = len(body) // 2
    body[middle : middle + 3000] = b"\xa5" * 3000
    path.write_bytes(body)
    every, usual = both(path, 2)
    assert every.problem is not None and usual.problem is not None
    assert every.valid.tolist() == usual.valid.tolist()
    assert every.frames[:3].tobytes() == usual.frames[:3].tobytes()


def test_a_decoder_that_gives_nothing(tmp_path: Path) -> None:
    """Pictures that were left out do not stand in for those that could not be decoded."""
    path = film(tmp_path / "a.mp4", "hevc", steady(50))
    body = bytearray(path.read_bytes())
    parameters = body.index(b"\x42\x01", body.index(b"hvcC"))  # H.265, 7.3.1.2: type 33, the SPS
    body[parameters + 2 : parameters + 22] = bytes(20)
    path.write_bytes(body)
    for every in (True, False):
        with pytest.raises(MediaError, match="holds no frame"):
            decode_clip(path, size=SIZE, settings=replace(ANY_RATE, every_picture=every))


def test_recordings_joined_end_to_end(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", "start codes", steady(60))
    other = film(tmp_path / "b.ts", "start codes", steady(150))
    path.write_bytes(path.read_bytes() + other.read_bytes())
    for rate in (1, 4):
        same(*both(path, rate))


def test_every_picture_counts_against_the_limit(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", "matroska", steady(130))
    same(*both(path, 1, max_frames=130))
    with pytest.raises(MediaError, match="130 frames.*max_frames"):
        both(path, 1, max_frames=129)
