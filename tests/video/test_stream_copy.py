"""Copies of a part of a file without decoding it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.probe import probe
from avel_tf.video.stream_copy import copy_span
from tests.video.films import TICKS, clicks, numbers, onset, tone, write_film

SETTINGS = DecodeSettings()
KEY = 12 / 25  # seconds between key frames of `write_film`


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as film:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in film.decode(video=0)]


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as film:
        stream = getattr(film.streams, kind)[0]
        return [bytes(packet) for packet in film.demux(stream) if packet.size]


@pytest.mark.parametrize(
    ("name", "video_codec", "audio_codec"),
    [
        ("film.mp4", "libx264", "aac"),
        ("film.mp4", "libx265", "aac"),
        ("film.mkv", "libx264", "flac"),
        ("film.mkv", "libsvtav1", "libopus"),
        ("film.mov", "libx264", "alac"),
        ("film.webm", "libvpx-vp9", "libopus"),
    ],
)
def test_a_copy_has_the_packets_of_the_source(name, video_codec, audio_codec, tmp_path):
    # Noise, so that no two packets are equal.
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4 * 48_000)).astype(np.float32)
    film = write_film(
        tmp_path / name, seconds=4, sound=sound, layout="stereo", video_codec=video_codec,
        audio_codec=audio_codec,
    )  # fmt: skip
    out = tmp_path / "out.mp4"
    start = copy_span(film, SETTINGS, str(out), start=1.5, end=3.0, tolerance=0.5)
    assert start == pytest.approx(3 * KEY, abs=0.001)
    for kind in ("video", "audio"):
        copied, source = packets(out, kind), iter(packets(film, kind))
        assert copied and all(packet in source for packet in copied)  # in this order
    info, before = probe(out), probe(film)
    assert (info.sample_rate, info.channels) == (before.sample_rate, 2)
    # Frames are decoded to the same pixels, at the same times from the start on.
    source = [(t - start, image) for t, image in frames(film) if start - 0.001 <= t < 2.999]
    found = frames(out)[: len(source)]
    assert [t for t, _ in found] == pytest.approx([t for t, _ in source], abs=0.0015)
    assert all((a == b).all() for (_, a), (_, b) in zip(found, source, strict=True))
    assert len(frames(out)) <= len(source) + 4  # frames that others refer to


@pytest.mark.parametrize("sound_start", [0.0, 0.2])
def test_sound_stays_in_sync(sound_start, tmp_path):
    """A click is as far from its picture as in the source, within a frame."""
    film = write_film(
        tmp_path / "film.mp4", seconds=4, sound=clicks(4, 44_100, (2.0,)), sound_rate=44_100,
        sound_start=sound_start,
    )  # fmt: skip
    start = copy_span(film, SETTINGS, str(tmp_path / "o.mp4"), start=1.0, end=4.0, tolerance=0.5)
    with av.open(str(tmp_path / "o.mp4")) as copy:
        parts = list(copy.decode(audio=0))
    samples = np.concatenate([part.to_ndarray()[0] for part in parts])
    click = parts[0].time + onset(samples, rate=44_100)
    assert click == pytest.approx(2.0 + sound_start - start, abs=0.02)
    shown = dict(zip((t for t, _ in frames(tmp_path / "o.mp4")), range(99), strict=False))
    number = numbers(np.stack([frames(tmp_path / "o.mp4")[0][1]])[None])
    assert number == [round(start * 25)] and min(shown) == 0


@pytest.mark.parametrize("rotation", [90, 180])
def test_a_copy_keeps_the_rotation(rotation, tmp_path):
    film = write_film(tmp_path / "film.mp4", seconds=2, rotation=rotation, sound=tone(2, 48_000))
    start = copy_span(film, SETTINGS, str(tmp_path / "o.mp4"), start=1.0, end=2.0, tolerance=0.5)
    assert start is not None
    assert probe(tmp_path / "o.mp4").rotation == probe(film).rotation != 0


@pytest.mark.parametrize(
    ("fields", "start", "tolerance"),
    [
        ({}, 0.9, 0.1),  # no key frame is near
        ({"video_codec": "mpeg4"}, 1.0, 0.5),
        ({"audio_codec": "pcm_s16le", "name": "film.mov"}, 1.0, 0.5),
        ({"name": "film.ts"}, 1.0, 0.5),
    ],
)
def test_other_spans_are_not_copied(fields, start, tolerance, tmp_path):
    fields = {"name": "film.mp4", **fields}
    film = write_film(tmp_path / fields.pop("name"), seconds=2, sound=tone(2, 48_000), **fields)
    out = str(tmp_path / "out.mp4")
    assert copy_span(film, SETTINGS, out, start=start, end=2.0, tolerance=tolerance) is None


def test_damage_near_the_span_is_no_copy(tmp_path):
    film = write_film(tmp_path / "film.mp4", seconds=4, times=[n * TICKS // 25 for n in range(100)])
    data = bytearray(film.read_bytes())
    data[60:] = bytes(len(data) - 60)
    film.write_bytes(data)
    with pytest.raises(MediaError):
        copy_span(film, SETTINGS, str(tmp_path / "o.mp4"), start=1.0, end=2.0, tolerance=0.5)
