"""Which picture and which sound a second gets, and what damaged files give."""

from __future__ import annotations

import gc
import os
import struct
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.probe import probe
from tests.video.films import (
    HEIGHT,
    SIZE,
    TICKS,
    WIDTH,
    clicks,
    numbered,
    numbers,
    onset,
    tone,
    write_film,
)
from tests.video.in_process import decode_blocks, decode_clip

# (ending, picture, sound); how many seconds a container without an edit list may shift the start.
FORMATS = [
    ("mp4", "libx264", "aac", 0.002),
    ("mp4", "libx265", "aac", 0.002),
    ("mp4", "libsvtav1", "aac", 0.002),
    ("mp4", "libvpx-vp9", "libopus", 0.002),
    ("mov", "libx264", "pcm_s16le", 0.002),
    ("mkv", "libx264", "flac", 0.002),
    ("mkv", "libx265", "libopus", 0.002),
    ("mkv", "libvpx-vp9", "aac", 0.025),
    ("mkv", "libsvtav1", "libopus", 0.002),
    ("webm", "libvpx-vp9", "libopus", 0.002),
    ("webm", "libsvtav1", "libopus", 0.002),
    ("avi", "mpeg4", "mp3", 0.041),
    ("mpg", "mpeg2video", "mp2", 0.041),
    ("ts", "libx264", "aac", 0.041),
    ("flv", "libx264", "aac", 0.041),
]


def invariants(clip: Clip, rate: int, size: tuple[int, int]) -> None:
    """What holds for every clip."""
    seconds = len(clip.valid)
    assert seconds >= 1
    assert clip.frames.shape == (seconds, rate, *size, 3) and clip.frames.dtype == np.uint8
    assert clip.waveform.shape == (seconds * SAMPLE_RATE,) and clip.waveform.dtype == np.float32
    assert clip.valid.shape == (seconds,) and clip.valid.dtype == bool
    assert np.isfinite(clip.waveform).all() and np.abs(clip.waveform).max() <= 1
    assert not np.any(np.diff(clip.valid.astype(int)) > 0)  # once over, a film stays over
    assert not clip.frames[~clip.valid].any()
    assert not clip.waveform.reshape(seconds, SAMPLE_RATE)[~clip.valid].any()
    if not clip.has_sound:
        assert not clip.waveform.any()


@pytest.mark.parametrize(("ending", "video", "audio", "shift"), FORMATS)
def test_every_format(ending: str, video: str, audio: str, shift: float, tmp_path: Path) -> None:
    path = write_film(
        tmp_path / f"a.{ending}",
        video_codec=video,
        audio_codec=audio,
        seconds=3,
        sound=clicks(3, 48_000, (0.3, 1.0, 2.5)),
    )
    clip = decode_clip(path, frames_per_second=4, size=SIZE)
    invariants(clip, 4, SIZE)
    assert clip.valid.tolist() == [True] * 3 and clip.has_sound and clip.problem is None
    # SampleTimes 0.125, 0.375 ... at 25/s; a shift of the start may show the frame before.
    exact = [int(25 * (n + 0.5) / 4) for n in range(12)]
    early = [int(25 * ((n + 0.5) / 4 - shift)) for n in range(12)]
    for shown, low, high in zip(numbers(clip.frames), early, exact, strict=True):
        assert low <= shown <= high
    for time in (0.3, 1.0, 2.5):
        assert onset(clip.waveform, time - 0.1) == pytest.approx(time, abs=shift)


@pytest.mark.parametrize("rate", [1, 2, 3, 16, 25, 30])
def test_the_frame_on_screen_at_the_instant(rate: int, film: Path) -> None:
    clip = decode_clip(film, frames_per_second=rate, size=SIZE)
    invariants(clip, rate, SIZE)
    # (2n + 1) / (2 rate) s at 25/s, in whole numbers
    expected = [25 * (2 * n + 1) // (2 * rate) for n in range(3 * rate)]
    assert numbers(clip.frames) == expected


def test_variable_frame_rate(tmp_path: Path) -> None:
    starts = [0.0, 0.2, 0.5, 0.51, 1.4, 1.49, 2.6, 2.9]
    path = write_film(tmp_path / "a.mp4", times=[round(t * TICKS) for t in starts])
    clip = decode_clip(path, seconds=3, frames_per_second=2, size=SIZE)
    on_screen = [max(n for n, s in enumerate(starts) if s <= t) for t in np.arange(0.25, 3, 0.5)]
    assert numbers(clip.frames) == on_screen


def test_a_frame_that_begins_at_the_instant_is_on_screen(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", times=[0, TICKS // 2 - 1, TICKS // 2, TICKS])
    assert numbers(decode_clip(path, seconds=1, size=SIZE).frames) == [2]


def test_a_picture_that_begins_late(tmp_path: Path) -> None:
    times = [round((1.7 + n / 25) * TICKS) for n in range(50)]
    pictures = [numbered(n + 1) for n in range(50)]
    sound = clicks(4, 48_000, (2.0,))
    path = write_film(tmp_path / "a.mkv", times=times, pictures=pictures, sound=sound)
    clip = decode_clip(path, size=SIZE)
    # Before the first frame the screen is black; time zero is where the sound begins.
    assert numbers(clip.frames) == [0, 0, 21, 46] and not clip.frames[:2].any()
    assert clip.valid.all() and clip.problem is None
    assert clip.remark == "the video begins at 1.7 s: black was assumed before it"
    assert onset(clip.waveform) == pytest.approx(2.0, abs=0.025)


def test_both_tracks_begin_late(tmp_path: Path) -> None:
    times = [round((5 + n / 25) * TICKS) for n in range(50)]
    sound = clicks(2, 48_000, (1.0,))
    path = write_film(
        tmp_path / "a.mkv", times=times, sound=sound, sound_start=5.0, audio_codec="flac"
    )
    clip = decode_clip(path, size=SIZE)
    assert clip.info.duration == pytest.approx(2.0, abs=0.05) and clip.problem is None
    assert numbers(clip.frames) == [12, 37]
    assert onset(clip.waveform) == pytest.approx(1.0, abs=0.002)


def test_sound_that_begins_late_is_laid_down_late(tmp_path: Path) -> None:
    sound = tone(1.5, 48_000)
    path = write_film(tmp_path / "a.mkv", sound=sound, sound_start=0.3, audio_codec="flac")
    clip = decode_clip(path, size=SIZE)
    assert not clip.waveform[:4790].any()
    assert np.abs(clip.waveform[4800:5200]).max() > 0.4
    assert np.abs(clip.waveform[28_792:28_800]).max() > 0.1  # to its very end at 1.8 s
    assert not clip.waveform[28_900:].any()


def test_a_gap_in_the_sound_becomes_silence(tmp_path: Path) -> None:
    """A recorder that lost half a second of sound must not pull what follows forward."""

    def lose(packet: av.Packet) -> av.Packet | None:
        time = packet.pts * packet.time_base
        return None if packet.stream.type == "audio" and 1 <= time < 2 else packet

    sound = clicks(4, 48_000, (0.5, 3.0))
    path = write_film(tmp_path / "a.mkv", seconds=4, sound=sound, audio_codec="flac", change=lose)
    clip = decode_clip(path, size=SIZE)
    assert onset(clip.waveform) == pytest.approx(0.5, abs=0.002)
    assert onset(clip.waveform, 1.0) == pytest.approx(3.0, abs=0.002)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6)])
def test_pitch_and_level(rate: int, layout: str, channels: int, tmp_path: Path) -> None:
    sound = np.stack([tone(3, rate, level=0.5)] * channels)
    path = write_film(
        tmp_path / "a.mkv",
        seconds=3,
        sound=sound,
        sound_rate=rate,
        layout=layout,
        audio_codec="flac",
    )
    clip = decode_clip(path, size=SIZE)
    middle = clip.waveform[8000:40_000]
    loudest = np.abs(np.fft.rfft(middle)).argmax()  # of two seconds, in steps of half a hertz
    assert loudest * SAMPLE_RATE / len(middle) == 440
    # The same tone in every channel keeps its level, whatever the layout.
    assert np.abs(middle).max() == pytest.approx(0.5, rel=0.02)


def test_resampling_agrees_with_scipy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stereo = rng.uniform(-0.3, 0.3, (2, 3 * 44_100)).astype(np.float32)
    path = write_film(
        tmp_path / "a.mkv",
        seconds=3,
        sound=stereo,
        sound_rate=44_100,
        layout="stereo",
        audio_codec="flac",
    )
    ours = decode_clip(path, size=SIZE).waveform
    theirs = resample_poly(stereo.mean(0), SAMPLE_RATE // 100, 441)
    # The filters differ near 8 kHz; below 6 kHz the two must be one and the same.
    low = np.fft.rfftfreq(len(ours), 1 / SAMPLE_RATE) < 6000
    a, b = (np.fft.irfft(np.fft.rfft(x[: len(ours)]) * low) for x in (ours, theirs))
    assert np.abs(a - b)[800:-800].max() < 0.01


def test_loud_channels_do_not_clip(tmp_path: Path) -> None:
    sound = np.stack([tone(2, 48_000, level=0.95)] * 2)
    path = write_film(tmp_path / "a.mkv", sound=sound, layout="stereo", audio_codec="flac")
    waveform = decode_clip(path, size=SIZE).waveform
    assert np.abs(waveform).max() == pytest.approx(0.95, abs=0.02)


def test_sound_that_is_not_a_number(tmp_path: Path) -> None:
    sound = tone(2, 48_000)
    sound[24_000:24_100], sound[48_000:48_100] = np.nan, np.inf
    path = write_film(tmp_path / "a.mkv", sound=sound, audio_codec="pcm_f32le")
    clip = decode_clip(path, size=SIZE)
    invariants(clip, 1, SIZE)
    assert np.abs(clip.waveform[20_000:]).max() > 0.4


def test_short_sound_is_followed_by_silence(tmp_path: Path) -> None:
    clip = decode_clip(write_film(tmp_path / "a.mp4", seconds=4, sound=tone(2, 48_000)), size=SIZE)
    assert clip.seconds == 4 and clip.valid.all() and clip.problem is None
    assert np.abs(clip.waveform[:31_000]).max() > 0.4 and not clip.waveform[34_000:].any()
    assert clip.remark == "the audio ends at 2.0 s: silence was assumed after it"


def test_the_last_frame_is_held_while_sound_goes_on(tmp_path: Path) -> None:
    clip = decode_clip(write_film(tmp_path / "b.mp4", seconds=2, sound=tone(9, 48_000)), size=SIZE)
    assert clip.seconds == 9 and clip.valid.all() and clip.problem is None
    assert numbers(clip.frames) == [12, 37] + [49] * 7
    assert np.abs(clip.waveform[-1000:]).max() > 0.4
    assert clip.remark == "the video ends at 2.0 s: its last frame was held after it"


def test_no_sound_track(tmp_path: Path) -> None:
    clip = decode_clip(write_film(tmp_path / "a.mp4"), size=SIZE)
    invariants(clip, 1, SIZE)
    assert not clip.has_sound and clip.problem is None


def test_one_frame(tmp_path: Path) -> None:
    clip = decode_clip(write_film(tmp_path / "a.mp4", times=[0]), size=SIZE)
    invariants(clip, 1, SIZE)
    assert clip.valid.tolist() == [True]  # the first second of a file is always one


@pytest.mark.filterwarnings("error")
def test_a_display_matrix_that_makes_no_sense(film: Path, tmp_path: Path) -> None:
    body = film.read_bytes()
    at = body.index(b"tkhd") + 4 + 40  # version, flags and ten numbers come first
    unity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    assert body[at : at + 36] == unity
    for numbers_ in ([0] * 9, [-(2**31)] * 9, [2**31 - 1] * 9):
        path = tmp_path / "a.mp4"
        path.write_bytes(body[:at] + struct.pack(">9i", *numbers_) + body[at + 36 :])
        invariants(decode_clip(path, size=SIZE), 1, SIZE)


CORNERS = np.zeros((64, 128, 3), np.uint8)
CORNERS[:32, :64] = 255, 0, 0  # red, upper left
CORNERS[:32, 64:] = 0, 255, 0  # green, upper right
CORNERS[32:, :64] = 0, 0, 255  # blue, lower left


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("anticlockwise", [0, 90, 180, 270])
def test_the_picture_comes_upright(anticlockwise: int, mirrored: bool, tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "a.mp4", pictures=[CORNERS] * 50, rotation=anticlockwise, mirrored=mirrored
    )
    expected = np.rot90(CORNERS, anticlockwise // 90)
    expected = expected[:, ::-1] if mirrored else expected
    clip = decode_clip(path, size=expected.shape[:2])
    difference = np.abs(clip.frames[0, 0].astype(int) - expected)
    assert np.mean(difference) < 8


def test_the_whole_picture_is_resized(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", pictures=[CORNERS] * 50)
    for size in ((32, 32), (224, 224), (64, 128), (10, 300)):
        image = decode_clip(path, size=size).frames[0, 0].astype(int)  # [H, W, 3]
        assert image.shape == (*size, 3)
        assert np.abs(image[1, 1] - (255, 0, 0)).max() < 30
        assert np.abs(image[1, -2] - (0, 255, 0)).max() < 30
        assert np.abs(image[-2, 1] - (0, 0, 255)).max() < 30


def test_padding_and_cutting(film: Path) -> None:
    whole = decode_clip(film, size=SIZE)
    longer = decode_clip(film, seconds=5, size=SIZE)
    invariants(longer, 1, SIZE)
    assert longer.valid.tolist() == [True] * 3 + [False] * 2 and longer.problem is None
    assert longer.frames[:3].tobytes() == whole.frames.tobytes()
    shorter = decode_clip(film, seconds=2, size=SIZE)
    assert shorter.valid.tolist() == [True] * 2 and shorter.problem is None
    assert shorter.frames.tobytes() == whole.frames[:2].tobytes()
    assert shorter.waveform.tobytes() == whole.waveform[: 2 * SAMPLE_RATE].tobytes()


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 90),
    rate=st.sampled_from([5, 12, 25, 30]),
    sound=st.one_of(st.none(), st.floats(0.1, 5)),
    seconds=st.one_of(st.none(), st.integers(1, 8)),
    per_second=st.integers(1, 4),
    block=st.integers(1, 4),
)
def test_length_validity_and_blocks(
    frames: int, rate: int, sound: float | None, seconds: int | None, per_second: int, block: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(
            Path(folder) / "a.mp4",
            times=[n * (TICKS // rate) for n in range(frames)],
            rate=rate,
            sound=None if sound is None else tone(sound, 48_000),
        )
        clip = decode_clip(path, seconds=seconds, frames_per_second=per_second, size=SIZE)
        blocks = list(
            decode_blocks(path, block_seconds=block, frames_per_second=per_second, size=SIZE)
        )
    invariants(clip, per_second, SIZE)
    # AAC packets hold 1,024 samples; mp4 says how many of the last one count.
    own = {max(1, int(max(frames / rate, end) + 0.5)) for end in (sound or 0, (sound or 0) + 0.022)}
    own = own & {sum(b.seconds for b in blocks)}
    assert own, "the longer track gives the length"
    own = own.pop()
    assert clip.seconds == (seconds or own)
    assert clip.valid.tolist() == [s < own for s in range(clip.seconds)]
    assert [b.seconds for b in blocks[:-1]] == [block] * (len(blocks) - 1)
    shared = min(own, clip.seconds)
    for name, unit in (("frames", 1), ("waveform", SAMPLE_RATE), ("valid", 1)):
        joined = np.concatenate([getattr(b, name) for b in blocks])
        assert np.array_equal(joined[: shared * unit], getattr(clip, name)[: shared * unit])
    assert clip.problem is None and blocks[-1].problem is None


@pytest.mark.parametrize("threads", [1, 2, 0])
def test_the_same_bytes_every_time(threads: int, film: Path) -> None:
    first = decode_clip(film, frames_per_second=8, size=(50, 70))
    again = decode_clip(
        film, frames_per_second=8, size=(50, 70), settings=DecodeSettings(threads=threads)
    )
    assert first.frames.tobytes() == again.frames.tobytes()
    assert first.waveform.tobytes() == again.waveform.tobytes()


@pytest.mark.slow
def test_blocks_of_a_long_film_hold_only_one_block(tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "a.mkv",
        times=[n * TICKS // 2 for n in range(600)],
        rate=2,
        sound=tone(300, 16_000),
        sound_rate=16_000,
    )
    gc.collect()
    gc.disable()  # memory must be freed without waiting for the collector
    try:
        blocks = decode_blocks(path, block_seconds=20, size=(8, 8))
        first = next(blocks)
        rest = list(blocks)
        assert sum(type(o) is av.VideoFrame for o in gc.get_objects()) < 5
    finally:
        gc.enable()
    assert first.seconds == 20 and first.problem is None
    assert [b.seconds for b in rest] == [20] * 14
    assert all(np.abs(b.waveform).max() > 0.4 for b in rest)


def test_sound_that_ends_early_does_not_hold_up_the_blocks(tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "a.mp4",
        times=[n * TICKS for n in range(200)],
        rate=1,
        sound=tone(1, 16_000),
        sound_rate=16_000,
    )
    blocks = list(decode_blocks(path, block_seconds=5, size=(8, 8)))
    assert sum(b.seconds for b in blocks) == 200
    assert np.abs(blocks[0].waveform).max() > 0.4 and not blocks[1].waveform.any()
    assert blocks[-1].problem is None


@pytest.mark.slow
def test_sound_stored_behind_all_pictures_is_reported(tmp_path: Path) -> None:
    times = [n * TICKS for n in range(100)]
    for ending, whole in (("mp4", True), ("mkv", False)):
        path = tmp_path / f"a.{ending}"
        sound = tone(100, 16_000)
        write_film(path, times=times, rate=1, sound=sound, sound_rate=16_000, late_sound=True)
        blocks = list(decode_blocks(path, block_seconds=7, size=(8, 8)))
        clip = decode_clip(path, size=(8, 8))
        joined = np.concatenate([b.waveform for b in blocks])
        assert np.array_equal(joined, clip.waveform)
        assert np.abs(clip.waveform[-16_000:]).max() > 0.4
        if whole:
            assert clip.problem is None and np.abs(clip.waveform[:16_000]).max() > 0.4
        else:
            assert "left out" in clip.problem
            assert clip.problem == blocks[-1].problem


def test_a_film_cut_off_while_it_was_copied(tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "a.mp4",
        seconds=8,
        sound=tone(8, 48_000),
        options={"movflags": "faststart"},
    )
    body = path.read_bytes()
    path.write_bytes(body[: len(body) * 6 // 10])
    clip = decode_clip(path, size=SIZE)
    invariants(clip, 1, SIZE)
    assert 3 <= clip.seconds < 8
    assert "the video ends at" in clip.problem.lower() and "8.0 s were declared" in clip.problem
    assert numbers(clip.frames) == [int(25 * (s + 0.5)) for s in range(clip.seconds)]
    padded = decode_clip(path, seconds=8, size=SIZE)
    assert padded.valid.sum() == clip.seconds and padded.problem is not None
    # What is asked for is there, so nothing is missing.
    assert decode_clip(path, seconds=2, size=SIZE).problem is None


def test_a_damaged_time_stamp_does_not_pass_for_a_long_film(tmp_path: Path) -> None:
    def stray(packet: av.Packet) -> av.Packet:
        if packet.pts * packet.time_base == Fraction(196, 100):  # the last picture
            packet.pts = packet.dts = round(500 / packet.time_base)
        return packet

    body = write_film(tmp_path / "a.mkv", change=stray).read_bytes()
    # The lengths are declared as "00:08:20.040000000" and in milliseconds; say 2.04 s instead.
    path = tmp_path / "b.mkv"
    body = body.replace(struct.pack(">d", 500_040.0), struct.pack(">d", 2_040.0))
    path.write_bytes(body.replace(b"00:08:20.04", b"00:00:02.04"))
    assert probe(path).duration == pytest.approx(2.04)
    assert (
        "ends 498.0 s after the declared end of the file" in decode_clip(path, size=(8, 8)).problem
    )
    assert decode_clip(path, seconds=2, size=(8, 8)).problem is None


def test_only_the_last_block_can_say_that_the_end_is_missing(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", seconds=6, options={"movflags": "faststart"})
    body = path.read_bytes()
    for keep in range(50, 95, 5):
        path.write_bytes(body[: len(body) * keep // 100])
        blocks = list(decode_blocks(path, block_seconds=1, size=(8, 8)))
        assert [b.problem for b in blocks[:-1]] == [None] * (len(blocks) - 1)
        assert "6.0 s were declared" in blocks[-1].problem


def test_a_picture_that_changes_its_size_half_way(tmp_path: Path) -> None:
    """Two recordings in one file: the clock starts over and the second picture is larger."""
    small = write_film(tmp_path / "small.ts", seconds=2)
    large = np.repeat(np.repeat(CORNERS, 2, axis=0), 2, axis=1)
    wide = write_film(tmp_path / "large.ts", pictures=[large] * 50)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + wide.read_bytes())
    invariants(decode_clip(joined, frames_per_second=2, size=SIZE), 2, SIZE)
    with pytest.raises(MediaError, match=r"32,768 pixels.*media\.max_pixels"):
        decode_clip(joined, settings=DecodeSettings(max_pixels=WIDTH * HEIGHT * 2))


def test_a_film_whose_index_was_cut_off(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(MediaError, match="header is broken"):
        decode_clip(path)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_damage_in_the_middle_is_passed_over(ending: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 64, 128, 3), dtype=np.uint8)
    path = write_film(
        tmp_path / f"a.{ending}",
        pictures=list(noise),
        seconds=4,
        sound=tone(4, 48_000),
        options={"movflags": "faststart"} if ending == "mp4" else {},
    )
    body = bytearray(path.read_bytes())
    middle = len(body) // 2
    body[middle : middle + 20_000] = b"\xa5" * 20_000
    path.write_bytes(body)
    clip = decode_clip(path, size=SIZE)
    invariants(clip, 1, SIZE)
    assert clip.seconds == 4 and clip.valid.all()
    if ending != "mkv":  # Matroska finds its way back without a word
        assert "damaged" in clip.problem


def test_pictures_that_are_all_damaged(film: Path, tmp_path: Path) -> None:
    body = bytearray(film.read_bytes())
    start, end = body.index(b"mdat") + 4, body.index(b"moov") - 4
    body[start:end] = b"\xa5" * (end - start)
    path = tmp_path / "a.mp4"
    path.write_bytes(body)
    with pytest.raises(MediaError, match="none of its frames can be decoded"):
        decode_clip(path)


def test_sound_that_is_all_damaged(tmp_path: Path) -> None:

    def spoil(packet: av.Packet) -> av.Packet:
        if packet.stream.type == "video":
            return packet
        spoilt = av.Packet(b"\xa5" * packet.size)
        spoilt.stream, spoilt.time_base = packet.stream, packet.time_base
        spoilt.pts, spoilt.dts = packet.pts, packet.dts
        return spoilt

    path = write_film(tmp_path / "a.mkv", sound=tone(2, 48_000), change=spoil)
    clip = decode_clip(path, size=SIZE)
    invariants(clip, 1, SIZE)
    assert clip.valid.all() and "audio" in clip.problem


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_damage_gives_a_clip_or_an_error(data: st.DataObject, film: Path) -> None:
    body = bytearray(film.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(body) - 1))
        length = data.draw(st.integers(1, 60))
        body[at : at + length] = data.draw(st.binary(min_size=length, max_size=length))
    keep = data.draw(st.integers(0, len(body)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        path.write_bytes(body[:keep] if data.draw(st.booleans()) else body)
        try:
            clip = decode_clip(path, seconds=4, size=(8, 8))
        except MediaError:
            return
    invariants(clip, 1, (8, 8))


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"seconds": 0}, "seconds"),
        ({"frames_per_second": 0}, "frames_per_second"),
        ({"size": (0, 224)}, "size"),
        ({"size": (224,)}, "size"),
    ],
)
def test_requests_that_make_no_sense(wrong: dict, word: str, film: Path) -> None:
    with pytest.raises(ValueError, match=word):
        decode_clip(film, **wrong)
    with pytest.raises(ValueError, match="block_seconds"):
        decode_blocks(film, block_seconds=0)


def test_numbered_pictures_can_be_read_back() -> None:
    frames = np.stack([numbered(n) for n in range(256)])[:, None]
    assert frames.shape[2:4] == (HEIGHT, WIDTH)
    assert numbers(frames) == list(range(256))


def test_encoding_av1_leaves_scheduling_as_it_was(tmp_path: Path) -> None:
    """Real-time priority would starve everything beside the tests."""
    before = os.sched_getscheduler(0)
    write_film(tmp_path / "a.mkv", rate=4, video_codec="libsvtav1")
    assert os.sched_getscheduler(0) == before
