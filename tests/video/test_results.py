"""Results of files with odd timing: what `localize` answers for them, and what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from avel_tf.inference.localizer import Localizer
from tests.conftest import FLOAT32
from tests.video.coded_clip import SIZE, Coded, heard, shown, write
from tests.video.in_process import decode_blocks, decode_live
from tests.video.player import differences, play
from tests.video.test_live import piped
from tests.video.test_timing_cases import FORMATS, FRAGMENTED, RATE, SHAPES


@pytest.fixture(scope="module")
def localizer(exported: Path) -> Localizer:
    return Localizer(exported, engine=FLOAT32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_every_second_of_the_longer_track_has_an_answer(
    shape: str, localizer: Localizer, tmp_path: Path
) -> None:
    pictures, sounds, remark = SHAPES[shape]
    coded = Coded(pictures, sounds=sounds)
    result = localizer.localize(write(tmp_path / "a.mp4", coded))
    seconds = play(coded, 1, FORMATS["mp4"].shift).seconds
    assert result.status == "ok"
    assert [second.start for second in result.seconds] == list(range(seconds))
    if remark is None:
        assert result.reason is None
    else:
        assert remark in result.reason


@pytest.mark.parametrize("shape", ["plain", "sound begins late", "last frame held"])
def test_a_loss_makes_the_result_partial(shape: str, localizer: Localizer, tmp_path: Path) -> None:
    pictures, sounds, _ = SHAPES[shape]
    coded = Coded(pictures, sounds=sounds)
    path = write(tmp_path / "a.mp4", coded, options={"movflags": "faststart"})
    body = path.read_bytes()
    path.write_bytes(body[: len(body) * 7 // 10])
    result = localizer.localize(path)
    assert result.status == "partial" and "were declared" in result.reason
    assert 1 <= len(result.seconds) < play(coded, 1, FORMATS["mp4"].shift).seconds


def test_files_that_people_have(localizer: Localizer, shared: Path) -> None:
    folder = shared / "awkward" / "timing"
    if not folder.is_dir():
        pytest.skip("the shared folder holds no odd timing")
    for name, seconds, words in (
        ("still1.mp4", 8, "its last frame was held"),
        ("frozen.mp4", 8, "the video ends at 3.0 s: its last frame was held"),
        ("decim.mp4", 8, "its last frame was held"),
        ("late_video.mkv", 8, "the video begins at 3.0 s: black was assumed before it"),
        ("late_audio.mkv", 8, "the audio begins at 2.0 s: silence was assumed before it"),
        ("short0.3.mp4", 1, None),
        ("chrome_jitter.webm", 8, None),
    ):
        result = localizer.localize(folder / name)
        assert (result.status, len(result.seconds)) == ("ok", seconds), name
        assert result.reason is None if words is None else words in result.reason, name


@pytest.mark.parametrize("name", ["mkv", "fragmented", "ts"])
@pytest.mark.parametrize(
    "shape", ["sound begins late", "picture begins late", "last frame held", "sound ends early"]
)
def test_a_stream_is_what_its_file_is(shape: str, name: str, tmp_path: Path) -> None:
    pictures, sounds, _ = SHAPES[shape]
    form = FORMATS[name]
    coded = Coded(pictures, sounds=sounds, sound_codec=form.sound_codec)
    options = FRAGMENTED if name == "fragmented" else {}
    path = write(tmp_path / f"a.{form.ending}", coded, options=options)
    expected = play(coded, RATE, FORMATS["ts"].shift)
    with piped(path.read_bytes()) as descriptor:
        clips = list(decode_live("-", descriptor=descriptor, frames_per_second=RATE, size=SIZE))
    found = [shown(clip.frames)[0] for clip in clips], [heard(clip.waveform)[0] for clip in clips]
    assert not differences(expected, *found)
    assert all(clip.valid.all() and clip.problem is None for clip in clips)


def test_the_isolated_decoder_says_the_same(tmp_path: Path) -> None:
    from avel_tf.video import decode

    pictures, sounds, remark = SHAPES["picture begins late"]
    path = write(tmp_path / "a.mp4", Coded(pictures, sounds=sounds))
    copied = shutil.copyfile(path, tmp_path / "b.mp4")
    last = list(decode_blocks(path, size=SIZE))[-1]
    isolated = list(decode.decode_blocks(copied, size=SIZE))[-1]
    assert last.remark == isolated.remark and remark in last.remark
