"""Files of any timing show and play what a player would, whatever the blocks."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from avel_tf.video.decode import join
from tests.video.coded_clip import SIZE, Coded, copy, heard, shown, write
from tests.video.in_process import decode_blocks, decode_clip
from tests.video.player import differences, play
from tests.video.test_timing_cases import FORMATS

RATE = 5  # pictures in a second, where they are steady
# Neither the resolution of a container's clock nor an encoder's delay moves these over an instant.
TENTHS = st.integers(0, 25).map(lambda n: Fraction(n, 10))
GAPS = st.lists(st.sampled_from([1, 2, 2, 2, 3, 7, 16]), min_size=1, max_size=14)


@st.composite
def clips(draw: st.DrawFn) -> tuple[str, Coded]:
    """A container and what goes into it."""
    name = draw(st.sampled_from(["mp4", "fragmented", "mov", "mkv", "webm", "ts", "flv", "avi"]))
    form = FORMATS[name]
    counting = name == "avi"  # it has no time stamps
    begin = Fraction(0) if counting else draw(TENTHS)
    steady = counting or draw(st.booleans())
    gaps = [Fraction(1 if steady else gap, RATE) for gap in draw(GAPS)]
    pictures = [begin]
    for gap in gaps:
        pictures.append(pictures[-1] + gap)
    # Only sound says for certain when a file ends whose pictures are not steady.
    late = Fraction(0) if counting else draw(TENTHS)
    least = late + Fraction(1, 2) if steady else max(pictures[-1], late) + 2
    sounds = ((late, least + draw(TENTHS)),)
    if steady and draw(st.booleans()):
        sounds = ()
    ends = [pictures[-1] + Fraction(1, RATE), *(end for _, end in sounds)]
    length = max(ends) - min([begin, *(start for start, _ in sounds)])
    assume(abs(length % 1 - Fraction(1, 2)) > Fraction(1, 10))  # rounding is another test's
    options = {}
    if form.picture_codec == "libx264" and draw(st.booleans()):
        options = {"bf": "2", "b_strategy": "0", "preset": "veryfast"}
    return name, Coded(tuple(pictures), RATE, sounds, form.picture_codec, form.sound_codec, options)


# Fragmented, with reordered pictures at a variable rate: its header adds up decoding times.
@example(
    drawn=(
        "fragmented",
        Coded(
            tuple(Fraction(n, 5) for n in (0, 7, 8, 9)),
            RATE,
            ((Fraction(0), Fraction(19, 5)),),
            picture_options={"bf": "2", "b_strategy": "0", "preset": "veryfast"},
        ),
    ),
    rate=1,
    block=1,
    copied=False,
)
@settings(max_examples=20, deadline=None)
@given(drawn=clips(), rate=st.integers(1, 4), block=st.integers(1, 4), copied=st.booleans())
def test_a_player_shows_and_plays_the_same(
    drawn: tuple[str, Coded], rate: int, block: int, copied: bool
) -> None:
    name, coded = drawn
    form = FORMATS[name]
    shift = form.shift
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / f"a.{form.ending}", coded, options=form.options)
        # Of reordered pictures mp4 says how long they last until the next one is decoded. A copy
        # takes that over as how long they are shown, and then its header means it.
        if copied and name == "mp4" and not coded.picture_options:
            path, shift = copy(path, Path(folder) / "b.mkv"), Fraction(22, 1000)
        clip = decode_clip(path, frames_per_second=rate, size=SIZE)
        blocks = decode_blocks(path, block_seconds=block, frames_per_second=rate, size=SIZE)
        joined = join(blocks, None)
    assert clip.problem is None and clip.valid.all()
    assert clip.has_sound == bool(coded.sounds)
    expected = play(coded, rate, shift)
    assert not differences(expected, shown(clip.frames), heard(clip.waveform))
    for part in ("frames", "waveform", "valid"):
        np.testing.assert_array_equal(getattr(joined, part), getattr(clip, part))
    assert (joined.problem, joined.remark) == (clip.problem, clip.remark)
