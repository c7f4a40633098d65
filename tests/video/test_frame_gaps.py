"""Holes in the picture of a Matroska file, and pauses that are none."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from avel_tf.video.decode_summary import FrameGaps
from avel_tf.video.probe import probe
from avel_tf.video.source import open_media
from tests.video.films import TICKS, tone, write_film
from tests.video.hostile import FILMS, noise

# Seconds at which a screen recording changes: three pauses of more than two seconds.
STILLS = [0.0, 0.1, 0.2, 3.0, 3.1, 7.0, 7.1, 9.5]


def missing(path: Path) -> float:
    with open_media(path) as container:
        rate = probe(path).frame_rate
        gaps = FrameGaps(container.streams.video[0], rate, Fraction(1, 2))
        for packet in container.demux():
            if packet.size:
                gaps.add(packet)
    return float(gaps.missing)


def write(path: Path, codec: str, **more: object) -> Path:
    """Eight seconds of pictures that do not compress, ten a second, or those of `more`."""
    film = {"seconds": 8, "rate": 10, "pictures": noise(8), "video_codec": codec}
    return write_film(path, **{**film, **more})


@pytest.mark.parametrize("sound", [None, "libopus"])
@pytest.mark.parametrize("codec", [film[2] for film in FILMS])
def test_holes_are_told_and_pauses_are_not(codec: str, sound: str | None, tmp_path: Path) -> None:
    heard = {} if sound is None else {"sound": tone(8, 48_000), "audio_codec": sound}
    path = write(tmp_path / "film.mkv", codec, **heard)
    assert missing(path) == 0
    body = path.read_bytes()
    start, end = len(body) // 3, 2 * len(body) // 3
    for stuff in (bytes(end - start), b""):
        path.write_bytes(body[:start] + stuff + body[end:])
        assert 2 < missing(path) < 4.5
    times = [round(time * TICKS) for time in STILLS]
    path = write(tmp_path / "vfr.mkv", codec, times=times, pictures=noise(0.8), **heard)
    assert missing(path) == 0


def test_other_tracks_are_no_damage(tmp_path: Path) -> None:
    """A second language goes on while a picture stays; it is not decoded, but it is counted."""
    path = tmp_path / "film.mkv"
    sound = np.random.default_rng(0).integers(-9999, 9999, (1, 1024), dtype=np.int16)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        tracks = [film.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        packets = []
        for time, picture in zip(STILLS, noise(0.8), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            packets += video.encode(frame)
        packets += video.encode(None)
        for track in tracks:
            for start in range(0, 9 * 16_000, 1024):
                frame = av.AudioFrame.from_ndarray(sound, "s16", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
                packets += track.encode(frame)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            film.mux(packet)
    assert missing(path) == 0


def test_transparency_is_no_damage(tmp_path: Path) -> None:
    """It lies beside the picture in the same block, and no packet counts it."""
    path = tmp_path / "sticker.webm"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libvpx", rate=10, options={"auto-alt-ref": "0"})
        video.width, video.height, video.pix_fmt = 128, 96, "yuva420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        for time in STILLS:
            pixels = rng.integers(0, 255, (96, 128, 4), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    with open_media(path) as container:
        packets = [packet for packet in container.demux() if packet.size]
        between = [two.pos - one.pos - one.size for one, two in itertools.pairwise(packets)]
        assert max(between) > 1024  # or this would show nothing
    assert missing(path) == 0


def test_packets_that_share_a_block_or_have_no_place(film: Path) -> None:
    """Lacing, which FFmpeg reads but does not write."""
    with av.open(str(film)) as container:
        video = container.streams.video[0]
        second = int(1 / video.time_base)
        gaps = FrameGaps(video, 25.0, Fraction(1, 2))

        def add(position: int | None, size: int, time: float | None = None) -> None:
            stream = None if time is None else video
            pts = None if time is None else round(time * second)
            gaps.add(SimpleNamespace(pos=position, size=size, stream=stream, pts=pts))

        add(100, 50, 0.0)
        for _ in range(8):
            add(160, 900)
        add(160 + 8 * 900 + 10, 50, 3.0)
        assert gaps.missing == 0
        add(None, 5_000)
        add(20_000, 50, 6.0)
        assert gaps.missing == 0
        add(30_000, 50, 9.04)
        assert gaps.missing == 3
