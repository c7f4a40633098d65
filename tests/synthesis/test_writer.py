from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.synthesis.writer import write_video

RATE = 16_000
COLOURS = np.array([[200, 40, 40], [40, 180, 60], [50, 60, 210], [230, 220, 70]], np.uint8)


def patches(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Four upright bars, which move one place on with every picture."""
    bars = np.repeat(COLOURS, width // 4, axis=0)  # [W, 3]
    return np.stack(
        [
            np.broadcast_to(np.roll(bars, number * width // 4, axis=0), (height, width, 3))
            for number in range(count)
        ]
    )


def tone(seconds: float, frequency: float = 440.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def read_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def read_sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


def test_colours_and_order_survive(tmp_path: Path) -> None:
    frames = patches(20)
    path = write_video(tmp_path / "a.mp4", frames, None, frame_rate=10, crf=12)
    back = read_frames(path)
    assert back.shape == frames.shape
    middle = back[:, 32, 12::24].astype(int)  # [N, 4, 3], the middle of every bar
    assert np.abs(middle - frames[:, 32, 12::24]).max() <= 6


def test_tone_survives_in_pitch_level_and_place(tmp_path: Path) -> None:
    waveform = np.concatenate([np.zeros(RATE, np.float32), tone(1.0)])
    path = write_video(tmp_path / "a.mp4", patches(20), waveform, frame_rate=10)
    back = read_sound(path)
    assert waveform.size <= back.size <= waveform.size + 2048
    heard = back[RATE + 800 : 2 * RATE - 800]
    peak = np.argmax(np.abs(np.fft.rfft(heard))) * RATE / heard.size
    assert peak == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    onset = np.argmax(np.abs(back) > 0.05)
    assert onset == pytest.approx(RATE, abs=0.02 * RATE)


def test_streams_are_what_browsers_play(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", patches(30), tone(3.0), frame_rate=10)
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (video.width, video.height, video.average_rate) == (96, 64, 10)
        assert (sound.codec_context.name, sound.sample_rate, sound.channels) == ("aac", RATE, 1)
        assert float(video.duration * video.time_base) == pytest.approx(3.0, abs=0.01)
        assert float(sound.duration * sound.time_base) == pytest.approx(3.0, abs=0.1)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_equal_input_makes_equal_bytes_without_a_date(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.mp4", patches(15), tone(1.5), frame_rate=10).read_bytes()
    again = write_video(tmp_path / "b.mp4", patches(15), tone(1.5), frame_rate=10).read_bytes()
    assert first == again
    created = first.index(b"mvhd") + 8  # after the name, the version and the flags
    assert struct.unpack(">II", first[created : created + 8]) == (0, 0)
    assert b"Lavf" not in first


def test_without_sound_there_is_no_sound_stream(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", patches(5), None, frame_rate=10)
    with av.open(str(path)) as container:
        assert not container.streams.audio


def test_sound_longer_than_the_pictures_is_kept(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", patches(5), tone(2.0), frame_rate=10)
    assert read_sound(path).size >= 2 * RATE


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", patches(5), None, frame_rate=10)
    before = path.read_bytes()

    def breaks():
        yield from patches(3)
        raise RuntimeError("the camera fell")

    with pytest.raises(RuntimeError, match="camera"):
        write_video(path, breaks(), tone(1.0), frame_rate=10)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "waveform", "said"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), None, "at least one frame"),
        (np.zeros((2, 8, 8, 3), np.float32), None, "uint8"),
        (np.zeros((2, 8, 8), np.uint8), None, r"\[H, W, 3\]"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)], None, "one size"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 100), np.float32), "one channel"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.array([0, np.nan], np.float32), "NaN"),
    ],
)
def test_wrong_input_is_refused_in_words(tmp_path, frames, waveform, said) -> None:
    with pytest.raises(ValueError, match=said):
        write_video(tmp_path / "a.mp4", frames, waveform, frame_rate=10)
    assert not list(tmp_path.iterdir())


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 12),
    height=st.integers(16, 40),
    width=st.integers(16, 40),
    samples=st.integers(0, 30_000),
    frame_rate=st.sampled_from([5, 12.5, 25, 30000 / 1001]),
)
def test_every_picture_comes_back(
    tmp_path_factory, count, height, width, samples, frame_rate
) -> None:
    frames = np.full((count, height, width, 3), 90, np.uint8)
    path = tmp_path_factory.mktemp("w") / "a.mp4"
    write_video(path, frames, np.zeros(samples, np.float32), frame_rate=frame_rate)
    back = read_frames(path)
    assert back.shape == (count, height + height % 2, width + width % 2, 3)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(
            count / frame_rate,
            rel=1e-3,
            abs=1e-3,  # headers keep milliseconds
        )
