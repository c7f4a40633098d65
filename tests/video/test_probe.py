"""What the header says, and the limits on it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.probe import probe
from tests.video.films import HEIGHT, TICKS, WIDTH, tone, write_film
from tests.video.in_process import decode_clip


def test_the_header_of_a_film(tmp_path: Path) -> None:
    stereo = [tone(4, 44_100)] * 2
    info = probe(
        write_film(tmp_path / "a.mp4", seconds=4, sound=stereo, sound_rate=44_100, layout="stereo")
    )
    assert (info.width, info.height, info.frame_rate) == (WIDTH, HEIGHT, 25.0)
    assert (info.video_codec, info.audio_codec) == ("h264", "aac")
    assert (info.sample_rate, info.channels, info.rotation) == (44_100, 2, 0)
    assert info.container == "mov"
    assert info.duration == pytest.approx(4, abs=0.05)
    assert info.video_duration == pytest.approx(4, abs=0.01)
    assert info.audio_duration == pytest.approx(4, abs=0.05)
    assert info.path == str(tmp_path / "a.mp4")


def test_matroska_keeps_the_lengths_of_its_tracks_in_tags(tmp_path: Path) -> None:
    info = probe(write_film(tmp_path / "a.mkv", seconds=4, sound=tone(2, 48_000)))
    assert info.container == "matroska"
    assert info.video_duration == pytest.approx(4, abs=0.01)
    assert info.audio_duration == pytest.approx(2, abs=0.05)


def test_without_a_sound_track(tmp_path: Path) -> None:
    info = probe(write_film(tmp_path / "a.mp4"))
    assert info.audio_codec is info.audio_duration is info.sample_rate is info.channels is None


@pytest.mark.parametrize(("anticlockwise", "clockwise"), [(0, 0), (90, 270), (180, 180), (-90, 90)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation(anticlockwise: int, clockwise: int, mirrored: bool, tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", rotation=anticlockwise, mirrored=mirrored)
    assert probe(path).rotation == decode_clip(path).info.rotation == clockwise


def test_probe_and_decode_agree(film: Path) -> None:
    assert probe(film) == decode_clip(film).info


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", picture=False, sound=tone(1, 48_000))
    for door in (probe, decode_clip):
        with pytest.raises(MediaError, match="no video track, only audio"):
            door(path)


@pytest.mark.parametrize(
    ("limit", "value", "found"),
    [
        ("max_pixels", WIDTH * HEIGHT - 1, "128 x 64 = 8,192 pixels"),
        ("max_seconds", 2.9, "3 seconds"),
        ("max_frames", 74, "75 frames"),
    ],
)
def test_limits(limit: str, value: float, found: str, film: Path) -> None:
    settings = DecodeSettings(**{limit: value})
    for door in (probe, decode_clip):
        with pytest.raises(MediaError) as caught:
            door(film, settings=settings)
        message = str(caught.value)
        assert found in message and f"{value:,}" in message and f"media.{limit}" in message
    exactly = {"max_pixels": WIDTH * HEIGHT, "max_frame_rate": 25, "max_seconds": 3.0}
    decode_clip(film, settings=DecodeSettings(**exactly, max_frames=75))


def test_a_film_of_two_hours_is_let_through(tmp_path: Path) -> None:
    times = [n * 60 * TICKS for n in range(121)]
    info = probe(write_film(tmp_path / "long.mp4", times=times))
    assert info.duration > 7200


def test_a_film_of_a_hundred_hours_is_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "long.mkv", times=[0, 100 * 3600 * TICKS])
    for door in (probe, decode_clip):
        with pytest.raises(MediaError, match=r"media\.max_seconds"):
            door(path)


def test_a_header_that_lies_about_the_length(tmp_path: Path) -> None:
    """Matroska may leave the length out; then the pictures themselves are measured."""
    path = write_film(tmp_path / "long.mkv", times=[0, 5 * 3600 * TICKS], options={"live": "1"})
    assert probe(path).duration is None
    with pytest.raises(MediaError, match=r"frame at 18000 seconds.*media\.max_seconds"):
        decode_clip(path, size=(8, 8))


def test_a_header_that_lies_about_the_number_of_pictures(tmp_path: Path) -> None:
    path = write_film(tmp_path / "many.mkv", seconds=3)
    assert probe(path, DecodeSettings(max_frames=74))  # Matroska does not declare it
    with pytest.raises(MediaError, match=r"75 frames.*media\.max_frames"):
        decode_clip(path, settings=DecodeSettings(max_frames=74))


def test_a_header_that_lies_about_the_size(film: Path, tmp_path: Path) -> None:
    """The container says 16 x 16, the codec's own header 128 x 64."""
    body = film.read_bytes()
    size = struct.pack(">HH", WIDTH, HEIGHT)
    at = body.index(size, body.index(b"avc1", body.index(b"stsd")))
    liar = tmp_path / "liar.mp4"
    liar.write_bytes(body[:at] + struct.pack(">HH", 16, 16) + body[at + 4 :])
    for allowed in (WIDTH * HEIGHT - 1, 300):
        with pytest.raises(MediaError):
            decode_clip(liar, settings=DecodeSettings(max_pixels=allowed))
