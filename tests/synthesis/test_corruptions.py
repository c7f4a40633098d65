from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.synthesis.corruptions import CORRUPTIONS, generator_for

RATE = 16_000
SOUND = (0.1 * np.random.default_rng(0).normal(size=4 * RATE)).astype(np.float32)
OTHERS = [
    np.sin(np.arange(seconds * RATE) * pitch).astype(np.float32) * 0.2
    for seconds, pitch in ((4, 0.05), (2, 0.11), (9, 0.3), (4, 0.7), (4, 0.9), (4, 1.1))
]
FRAMES = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 40, 3), np.uint8)
# Where each corruption changes nothing.
NOTHING = {"white_noise": np.inf, "babble_noise": np.inf}


def spoil(name: str, severity: float, *, values: np.ndarray | None = None, clip: str = "a"):
    corruption = CORRUPTIONS[name]
    if values is None:
        values = SOUND if corruption.sense == "sound" else FRAMES
    return corruption.apply(values, severity, generator_for(clip, name, 0), OTHERS)


def test_every_corruption_has_growing_severities() -> None:
    asked = {
        "white_noise", "babble_noise", "other_sound", "muted", "occlusion", "blur",
        "black_picture", "late_sound",
    }  # fmt: skip
    assert set(CORRUPTIONS) == asked
    assert CORRUPTIONS["white_noise"].severities == (20, 10, 5, 0, -5)
    assert CORRUPTIONS["babble_noise"].severities == (20, 10, 5, 0, -5)
    assert CORRUPTIONS["occlusion"].severities == (0.25, 0.5, 0.75, 1.0)
    assert CORRUPTIONS["late_sound"].severities == (1, 2)
    removing = {
        (name, severity)
        for name, each in CORRUPTIONS.items()
        for severity in each.severities
        if each.removes(severity)
    }
    assert removing == {
        ("other_sound", 1), ("muted", 1), ("occlusion", 1), ("black_picture", 1),
    }  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_keeps_shape_and_input_and_repeats(name: str) -> None:
    corruption = CORRUPTIONS[name]
    values = SOUND if corruption.sense == "sound" else FRAMES
    before = values.copy()
    for severity in corruption.severities:
        spoilt = spoil(name, severity)
        assert spoilt.shape == values.shape and spoilt.dtype == values.dtype
        assert (spoilt != values).mean() > 0.2
        np.testing.assert_array_equal(spoilt, spoil(name, severity))
        if corruption.sense == "sound":
            assert np.abs(spoilt).max() <= 1
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(spoil(name, NOTHING.get(name, 0.0)), values)


@pytest.mark.parametrize("name", ["white_noise", "babble_noise", "other_sound", "occlusion"])
def test_another_clip_is_spoilt_otherwise(name: str) -> None:
    severity = CORRUPTIONS[name].severities[0]
    assert (spoil(name, severity) != spoil(name, severity, clip="b")).any()


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["white_noise", "babble_noise"]),
    decibels=st.floats(-20, 40),
    level=st.floats(0.001, 1.0),
)
def test_the_ratio_of_sound_to_noise_is_the_one_asked_for(name, decibels, level) -> None:
    sound = (level * SOUND / np.abs(SOUND).max()).astype(np.float32)
    mixture = spoil(name, decibels, values=sound).astype(float)
    # How loud the sound still is in the mixture: all of it may have been turned down.
    rng = generator_for("a", name, 0)
    noise = CORRUPTIONS[name].apply(sound, -200.0, rng, OTHERS).astype(float)  # all noise
    (kept, added), *_ = np.linalg.lstsq(np.stack([sound, noise], axis=1), mixture, rcond=None)
    measured = 10 * np.log10(np.mean((kept * sound) ** 2) / np.mean((added * noise) ** 2))
    assert measured == pytest.approx(decibels, abs=0.1)
    assert 0 < kept < 1.001


def test_silence_gets_no_noise_and_babble_wants_voices() -> None:
    silence = np.zeros(RATE, np.float32)
    assert not spoil("white_noise", 0.0, values=silence).any()
    with pytest.raises(ValueError, match="no other clip with audio"):
        CORRUPTIONS["babble_noise"].apply(SOUND, 0.0, np.random.default_rng(0), [silence])
    with pytest.raises(ValueError, match="another clip with audio"):
        CORRUPTIONS["other_sound"].apply(SOUND, 1.0, np.random.default_rng(0), [])


def test_late_sound_comes_after_silence_and_loses_its_end() -> None:
    for seconds in (1, 2):
        late = spoil("late_sound", seconds)
        assert not late[: seconds * RATE].any()
        np.testing.assert_array_equal(late[seconds * RATE :], SOUND[: -seconds * RATE])
    assert not spoil("late_sound", 9.0).any()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
def test_exactly_the_share_of_every_picture_is_covered(share: float) -> None:
    frames = np.full((2, 2, 32, 40, 3), 255, np.uint8)
    covered = (spoil("occlusion", share, values=frames) == 128).all(axis=-1)
    assert (covered.mean(axis=(2, 3)) == share).all()


def test_blur_takes_the_detail_in_proportion_to_the_picture() -> None:
    spread = [spoil("blur", severity).std() for severity in (0.0, *CORRUPTIONS["blur"].severities)]
    assert spread == sorted(spread, reverse=True) and spread[-1] < 0.25 * spread[0]
    edge = np.zeros((1, 1, 200, 200, 3), np.uint8)
    edge[:, :, :, 100:] = 255
    row = spoil("blur", 0.04, values=edge)[0, 0, 100, :, 0].astype(float)
    # A blurred edge is the integral of the Gaussian: 16 % to 84 % lie two deviations apart.
    assert np.interp(0.841 * 255, row, np.arange(200)) - np.interp(
        0.159 * 255, row, np.arange(200)
    ) == pytest.approx(2 * 0.04 * 200, rel=0.03)


def test_nothing_is_left_of_what_is_removed() -> None:
    assert not spoil("muted", 1.0).any()
    assert not spoil("black_picture", 1.0).any()
    taken = spoil("other_sound", 1.0)
    assert any(np.array_equal(taken, np.resize(other, taken.size)) for other in OTHERS)
