"""Coded clips muxed in every odd way show and play what a player would."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avel_tf.video.clip import Clip
from tests.video.coded_clip import SIZE, Coded, copy, heard, shown, steady, write
from tests.video.in_process import decode_blocks, decode_clip
from tests.video.player import differences, play

RATE = 4  # instants in a second
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+delay_moov"}


def sound(begin: float, end: float) -> tuple[tuple[Fraction, Fraction], ...]:
    return ((Fraction(begin).limit_denominator(1000), Fraction(end).limit_denominator(1000)),)


@dataclass(frozen=True)
class Format:
    """A container, what is put into it, and by how much it may shift a track."""

    ending: str
    picture_codec: str = "libx264"
    sound_codec: str = "aac"
    options: dict[str, str] = field(default_factory=dict)
    shift: Fraction = Fraction(2, 1000)
    picture_shift: Fraction = Fraction(0)


# One AAC packet at 48 kHz lasts 21 ms: its encoder's delay, which ts and flv do not take back.
FORMATS = {
    "mp4": Format("mp4"),
    "fragmented": Format("mp4", options=FRAGMENTED),
    "mov": Format("mov", sound_codec="pcm_s16le"),
    "mkv": Format("mkv", sound_codec="flac"),
    "webm": Format("webm", "libvpx", "libopus", shift=Fraction(8, 1000)),
    "ts": Format("ts", shift=Fraction(22, 1000)),
    "flv": Format("flv", shift=Fraction(22, 1000)),
    # Small packs, or FFmpeg looks at pictures only before it decides which tracks there are.
    # Of pictures that share a pack FFmpeg knows to one picture when each is shown.
    "mpg": Format(
        "mpg",
        "mpeg2video",
        "mp2",
        {"packetsize": "200"},
        shift=Fraction(24, 1000),
        picture_shift=Fraction(1, 5),
    ),
    "ogv": Format("ogv", "libvpx", "libopus", shift=Fraction(8, 1000)),
    # A packet of wmav2 at 48 kHz lasts 43 ms.
    "wmv": Format("wmv", "wmv2", "wmav2", shift=Fraction(43, 1000)),
    "3gp": Format("3gp", "libx264", "amr_nb", shift=Fraction(22, 1000)),
    "avi": Format("avi", "mpeg4", "pcm_s16le", shift=Fraction(24, 1000)),
}

# Pictures, sound, and what is said of it.
SHAPES = {
    "plain": (steady(0, 5), sound(0, 5), None),
    "sound begins late": (steady(0, 6), sound(2, 6), "the audio begins at 2.0 s: silence"),
    "picture begins late": (steady(3, 6), sound(0, 6), "the video begins at 3.0 s: black"),
    "both begin late": (steady(3, 6), sound(1, 6), "the video begins at 2.0 s: black"),
    "sound over a still": (steady(0, 0.2), sound(0, 6), "its last frame was held"),
    "last frame held": (steady(0, 2), sound(0, 6), "the video ends at 2.0 s: its last frame"),
    "sound ends early": (steady(0, 6), sound(0, 2), "the audio ends at 2.0 s: silence"),
    "frames on change only": (
        tuple(Fraction(n, 5) for n in (0, 1, 7, 8, 19, 26)),
        sound(0, 6),
        "its last frame was held",
    ),
    "shorter than half a second": (steady(0, 0.4), sound(0, 0.3), None),
}
# What a container cannot tell.
IMPOSSIBLE = {
    # It has no time stamps: all tracks begin at zero.
    ("avi", "sound begins late"),
    ("avi", "picture begins late"),
    ("avi", "both begin late"),
    # MPEG-2 knows no picture that stays: an encoder repeats it.
    ("mpg", "frames on change only"),
    # Nor does VP8 in Ogg, which counts pictures.
    ("ogv", "frames on change only"),
}
GRID = [(shape, name) for shape in SHAPES for name in FORMATS if (name, shape) not in IMPOSSIBLE]


def decode(path: Path) -> Clip:
    return decode_clip(path, frames_per_second=RATE, size=SIZE)


def check(clip: Clip, coded: Coded, form: Format) -> None:
    """Raises where a clip is not what a player shows, or something is wrong with it."""
    expected = play(coded, RATE, form.shift, form.picture_shift)
    assert expected.decided >= (0.5 if form.picture_shift else 0.75)
    assert clip.problem is None
    assert clip.valid.all()
    assert not differences(expected, shown(clip.frames), heard(clip.waveform))


@pytest.mark.parametrize(("shape", "name"), GRID)
def test_every_shape_in_every_container(shape: str, name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    pictures, sounds, remark = SHAPES[shape]
    coded = Coded(
        pictures,
        sounds=sounds,
        picture_codec=form.picture_codec,
        sound_codec=form.sound_codec,
    )
    path = write(tmp_path / f"a.{form.ending}", coded, options=form.options)
    clip = decode(path)
    check(clip, coded, form)
    if remark is not None:
        assert remark in clip.remark


# Copied out of an mp4 whose tracks begin late: the `DURATION` tag is the end of a track then.
@pytest.mark.parametrize("ending", ["mkv", "mov", "ts"])
@pytest.mark.parametrize(
    "shape", ["sound begins late", "picture begins late", "both begin late", "last frame held"]
)
def test_copied_from_an_mp4(shape: str, ending: str, tmp_path: Path) -> None:
    pictures, sounds, remark = SHAPES[shape]
    coded = Coded(pictures, sounds=sounds)
    path = copy(write(tmp_path / "a.mp4", coded), tmp_path / f"b.{ending}")
    clip = decode(path)
    check(clip, coded, FORMATS["ts"])  # the encoder's delay is copied, too
    assert remark in clip.remark


def test_pictures_too_few_to_tell_when_they_begin(tmp_path: Path) -> None:
    """FFmpeg says that they begin with the sound, which is late."""
    for begin in (0.2, 0.6):
        coded = Coded(steady(0, 0.4), sounds=sound(begin, 2.7))
        clip = decode(copy(write(tmp_path / "a.mp4", coded), tmp_path / "a.mkv"))
        check(clip, coded, FORMATS["ts"])


@pytest.mark.parametrize("name", ["mp4", "mkv", "webm", "ts"])
def test_a_track_that_is_late_and_ends_early(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    for pictures, sounds in ((steady(0, 7), sound(2, 4)), (steady(2, 4), sound(0, 7))):
        coded = Coded(pictures, 5, sounds, form.picture_codec, form.sound_codec)
        clip = decode(write(tmp_path / f"a.{form.ending}", coded))
        check(clip, coded, form)
        assert "begins at 2.0 s" in clip.remark and "ends at 4.0 s" in clip.remark


@pytest.mark.parametrize("name", ["mp4", "mkv", "ts"])
def test_pictures_in_another_order(name: str, tmp_path: Path) -> None:
    """With B pictures, which encoders write behind those that they refer to."""
    form = FORMATS[name]
    paused = (*steady(0, 2.4), *steady(5.4, 6))  # mp4 gives one of these three a stay of 3.2 s
    for pictures in (steady(0, 6), steady(2.2, 6), paused):
        options = {"bf": "3", "preset": "veryfast", "b_strategy": "0"}
        coded = Coded(pictures, 5, sound(0, 6), form.picture_codec, form.sound_codec, options)
        check(decode(write(tmp_path / f"a.{form.ending}", coded)), coded, form)


@pytest.mark.parametrize("cut", [0.4, 1, 2.2])
def test_an_edit_list_that_leaves_out_the_beginning(cut: float, tmp_path: Path) -> None:
    """Pictures and sound before the cut are in the file and are not played."""
    seconds = Fraction(cut).limit_denominator(10)
    for name in ("mp4", "mov"):
        coded = Coded(steady(0, 5), 5, sound(0, 5), "libx264", "pcm_s16le", cut=seconds)
        # Pictures before zero count as well, so that the first number is not zero.
        early = tuple(t for t in steady(-cut, 0) if t < 0)
        whole = replace(coded, pictures=early + coded.pictures)
        path = write(tmp_path / f"a.{name}", whole, container="mov")
        clip = decode(path)
        expected = play(coded, RATE, FORMATS["mov"].shift)
        numbers = [[n - len(early) for n in second] for second in shown(clip.frames)]
        assert clip.problem is None
        assert not differences(expected, numbers, heard(clip.waveform))


@pytest.mark.parametrize("tracks", ["sound begins late", "picture begins late"])
def test_fragments_without_an_edit_list(tracks: str, tmp_path: Path) -> None:
    """They know no late start: the first packet is written at zero, to last until the second."""
    pictures, sounds, _ = SHAPES[tracks]
    coded = Coded(pictures, sounds=sounds)
    options = {"movflags": "frag_keyframe+empty_moov"}
    clip = decode(write(tmp_path / "a.mp4", coded, options=options))
    if tracks == "picture begins late":
        coded = replace(coded, pictures=(Fraction(0), *pictures[1:]))
    check(clip, coded, FORMATS["ts"])


@pytest.mark.parametrize(
    ("picture", "heard_to", "seconds"),
    [(4.4, 0, 4), (4.6, 0, 5), (4.4, 4.6, 5), (4.6, 4.4, 5), (0.2, 0, 1), (0.2, 1.7, 2)],
)
def test_the_longer_track_rounded(
    picture: float, heard_to: float, seconds: int, tmp_path: Path
) -> None:
    sounds = sound(0, heard_to) if heard_to else ()
    for name in ("mp4", "mkv"):
        coded = Coded(steady(0, picture), 5, sounds, sound_codec="flac")
        path = write(tmp_path / f"a.{name}", coded, options={"strict": "-2"})
        clip = decode(path)
        check(clip, coded, FORMATS["mkv"])
        assert clip.seconds == seconds and clip.has_sound == bool(sounds)


@pytest.mark.parametrize("late", [0.1, 0.2])
def test_a_picture_that_comes_a_little_late(late: float, tmp_path: Path) -> None:
    """Up to 125 ms nobody notices; encoders need some of that."""
    coded = Coded(steady(late, 2 + late), 5, sound(0, 2), sound_codec="flac")
    clip = decode_clip(write(tmp_path / "a.mkv", coded), frames_per_second=16, size=SIZE)
    first = [None if (2 * k + 1) / 32 < late and late > 0.125 else 0 for k in range(4)]
    assert shown(clip.frames)[0][:4] == first
    assert clip.remark is None


def test_pictures_that_stay_for_seconds(tmp_path: Path) -> None:
    for name in ("mp4", "mkv", "webm"):
        form = FORMATS[name]
        times = tuple(Fraction(t) for t in (0, 2, 5))
        coded = Coded(times, 1, (), form.picture_codec)
        clip = decode(write(tmp_path / f"a.{form.ending}", coded))
        check(clip, coded, form)
        assert clip.seconds == 6 and not clip.has_sound


def test_a_hole_in_the_sound(tmp_path: Path) -> None:
    """It is silent and everything behind it is in its place; and it is a loss."""
    stretches = (sound(0, 2)[0], sound(3.5, 6)[0])
    coded = Coded(steady(0, 6), 5, stretches, sound_codec="flac")
    clip = decode(write(tmp_path / "a.mkv", coded))
    expected = play(coded, RATE, Fraction(72, 1000))  # a packet of FLAC
    assert not differences(expected, shown(clip.frames), heard(clip.waveform))
    assert "of audio are missing in the middle" in clip.problem


@pytest.mark.parametrize("shape", ["plain", "last frame held", "picture begins late"])
@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_a_true_loss_is_told(name: str, shape: str, tmp_path: Path) -> None:
    """What was cut off is missing, and what is there is in its place."""
    pictures, sounds, _ = SHAPES[shape]
    coded = Coded(pictures, sounds=sounds, sound_codec="aac")
    options = {"movflags": "faststart"} if name == "mp4" else {}
    path = write(tmp_path / f"a.{name}", coded, options=options)
    body = path.read_bytes()
    path.write_bytes(body[: len(body) * 7 // 10])
    clip = decode(path)
    expected = play(coded, RATE, Fraction(64, 1000))
    assert 2 <= clip.seconds < expected.seconds
    assert "were declared" in clip.problem
    kept = replace(
        expected,
        seconds=clip.seconds - 1,  # the last one ends in its midst
        shown=expected.shown[: clip.seconds - 1],
        heard=expected.heard[: clip.seconds - 1],
    )
    assert not differences(kept, shown(clip.frames)[:-1], heard(clip.waveform)[:-1])


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_are_the_clip(shape: str, tmp_path: Path) -> None:
    pictures, sounds, _ = SHAPES[shape]
    for name in ("mp4", "ts"):
        path = write(tmp_path / f"a.{name}", Coded(pictures, sounds=sounds))
        clip = decode(path)
        for seconds in (1, 4):
            blocks = list(
                decode_blocks(path, block_seconds=seconds, frames_per_second=RATE, size=SIZE)
            )
            for part in ("frames", "waveform", "valid"):
                joined = np.concatenate([getattr(block, part) for block in blocks])
                np.testing.assert_array_equal(joined, getattr(clip, part))
            assert (blocks[-1].problem, blocks[-1].remark) == (clip.problem, clip.remark)
        cut = decode_clip(path, seconds=3, frames_per_second=RATE, size=SIZE)
        count = min(3, clip.seconds)
        np.testing.assert_array_equal(cut.frames[:count], clip.frames[:count])
        assert cut.problem is None and cut.valid.sum() == count
