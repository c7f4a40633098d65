"""Pictures that stay on screen for minutes while sound goes on, in bounded memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avel_tf.video.clip import Clip
from avel_tf.video.decode import join
from avel_tf.video.decode_settings import DecodeSettings
from tests.video.coded_clip import SIZE, Coded, shown, steady, write
from tests.video.in_process import decode_blocks, decode_clip

# After so many seconds of sound without a picture the latest one is taken to stay; 300 in truth.
BEHIND = 10
SOUND = ((Fraction(0), Fraction(36)),)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avel_tf.video.stream_decoder._VIDEO_BEHIND", BEHIND)


def both(path: Path, threads: int = 1) -> Clip:
    """The clip, after it has been shown that blocks of any length make no difference."""
    settings = DecodeSettings(threads=threads)
    clip = decode_clip(path, frames_per_second=2, size=SIZE, settings=settings)
    for seconds in (7, 50):
        blocks = decode_blocks(
            path, block_seconds=seconds, frames_per_second=2, size=SIZE, settings=settings
        )
        other = join(blocks, None)
        for part in ("frames", "waveform", "valid"):
            np.testing.assert_array_equal(getattr(other, part), getattr(clip, part))
        assert (other.problem, other.remark) == (clip.problem, clip.remark)
    return clip


def on_screen(times: tuple[Fraction, ...], seconds: int) -> list[list[int | None]]:
    """The picture at the two instants of every second."""
    instants = [[second + Fraction(1, 4), second + Fraction(3, 4)] for second in range(seconds)]
    return [[sum(time <= t for time in times) - 1 for t in second] for second in instants]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    "options",
    [{"bf": "0"}, {"bf": "3", "b_strategy": "0", "preset": "veryfast", "g": "100"}],
    ids=["in order", "B pictures"],
)
def test_pictures_go_on_after_a_long_pause(
    options: dict[str, str], threads: int, tmp_path: Path
) -> None:
    """Those held back in the decoder are shown in the pause, and later ones refer to them."""
    times = (*steady(0, 2), Fraction(16, 5), *steady(31, 34))
    coded = Coded(times, 5, SOUND, sound_codec="flac", picture_options=options)
    clip = both(write(tmp_path / "a.mkv", coded), threads)
    assert clip.seconds == 36 and clip.problem is None and clip.valid.all()
    assert shown(clip.frames) == on_screen(times, 36)


def test_a_still_is_held_for_as_long_as_sound_goes_on(tmp_path: Path) -> None:
    for name in ("mkv", "mp4"):
        coded = Coded((Fraction(0),), 5, SOUND)
        clip = both(write(tmp_path / f"a.{name}", coded))
        assert clip.seconds == 36 and clip.problem is None
        assert shown(clip.frames) == [[0, 0]] * 36


def test_a_picture_that_begins_after_minutes(tmp_path: Path) -> None:
    coded = Coded(steady(26, 31), 5, SOUND, sound_codec="flac")
    clip = both(write(tmp_path / "a.mkv", coded))
    assert clip.seconds == 36 and clip.problem is None
    assert shown(clip.frames)[:26] == [[None, None]] * 26
    assert shown(clip.frames)[26:31] == on_screen(steady(0, 5), 5)
    cut = decode_clip(tmp_path / "a.mkv", seconds=3, frames_per_second=2, size=SIZE)
    assert not cut.frames.any() and cut.valid.all() and cut.waveform.any()


def test_pictures_stored_far_behind_their_sound_are_told(tmp_path: Path) -> None:
    times = tuple(Fraction(n * 3, 2) for n in range(24))
    coded = Coded(times, 1, SOUND, sound_codec="flac", picture_options={"g": "300"})
    # Or the muxer would wait ten seconds for a packet of the other track.
    at_once = {"max_interleave_delta": "1"}
    path = write(tmp_path / "a.mkv", coded, options=at_once, interleaved=False)
    clip = both(path)
    assert clip.seconds == 36
    held = 36 - BEHIND
    assert "video from 0.0 s on was left out" in clip.problem.lower()
    assert shown(clip.frames)[:held] == [[None, None]] * held
    assert shown(clip.frames)[held:] == on_screen(times, 36)[held:]
    # In an mp4 FFmpeg brings them together.
    clip = both(write(tmp_path / "a.mp4", coded, options={"strict": "-2"}, interleaved=False))
    assert clip.problem is None and shown(clip.frames) == on_screen(times, 36)
