from __future__ import annotations

import os
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from avel_tf.events.formats.mirror import Mirror
from tests.events.formats.samples import HOSTILE_NAMES

names = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda name: os.fsdecode(name.replace(b"\0", b"/"))),
    st.text(st.sampled_from("aA./~ :\u00e9"), min_size=1, max_size=8),
    st.sampled_from(HOSTILE_NAMES),
)


def as_macos_sees_it(place: PurePosixPath) -> str:
    return unicodedata.normalize("NFD", os.fspath(place).casefold())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(names, max_size=12))
@example(HOSTILE_NAMES)
def test_every_place_is_inside_and_nobody_elses(videos: list[str]) -> None:
    mirror = Mirror(".vtt")
    places = [mirror.place(video) for video in videos]
    for place in places:
        assert not place.is_absolute()
        assert not {"..", ".", ""} & set(place.parts)
        assert all(len(part.encode()) <= 255 for part in place.parts)
        assert len(os.fsencode(place)) < 3000
        assert os.fspath(place).isprintable()
        assert not any(part.startswith(".") for part in place.parts)
    # Also where capitals, and ways to write an accent, are not told apart; and no file stands
    # where another needs a folder.
    folded = [as_macos_sees_it(place) for place in places]
    assert len(set(folded)) == len(folded)
    folders = {as_macos_sees_it(parent) for place in places for parent in place.parents}
    assert not folders & set(folded)
    # The same inputs find their files again.
    again = Mirror(".vtt")
    assert [again.place(video) for video in videos] == places


@pytest.mark.parametrize(
    ("video", "place"),
    [
        ("dog.mp4", "dog.mp4.vtt"),
        ("/videos/dog.mp4", "videos/dog.mp4.vtt"),
        ("./videos//dog.mp4", "videos/dog.mp4.vtt"),
        ("Hündchen im Park.mp4", "Hündchen im Park.mp4.vtt"),
        ("-dash-.mp4", "-dash-.mp4.vtt"),
    ],
)
def test_a_plain_name_is_kept(video: str, place: str) -> None:
    assert Mirror(".vtt").place(video) == PurePosixPath(place)


def test_a_long_name_keeps_its_beginning() -> None:
    one, other = (Mirror(".vtt").place("dog" * 80 + ending) for ending in ("1.mp4", "2.mp4"))
    assert one != other
    assert one.name.startswith("dogdogdog")
    assert len(one.name) <= 255
