"""What the audio backbone may hear, and how its seconds are mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.distill import corpus, sounds
from pipelines.distill.sounds import SAMPLE_RATE, Recording, SecondMixer


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return sounds.as_int16(0.5 * np.sin(2 * np.pi * hertz * time))


@pytest.fixture
def recordings() -> list[Recording]:
    return [
        Recording("a", "urbansound8k", "siren", "train", tone(700)),
        Recording("b", "animal_sound", "cat", "train", tone(400, 0.3)),
        Recording("c", "vehicle_sounds", "bus", "train", tone(90)),
        Recording("d", "animal_sound", "cow", "class", tone(200)),
        Recording("e", "esc10", "Rain", "source", tone(3000)),
    ]


@pytest.mark.parametrize(
    ("file", "label", "split", "part"),
    [
        ("audio/esc10/00001.ogg", "Dog bark", "eval", "source"),
        ("audio/vehicle_sounds/00002.ogg", "sheep", "train", "class"),
        ("audio/animal_sound/03798.ogg", "dog", "train", "duplicate"),
        ("audio/animal_sound/03799.ogg", "dog", "train", "train"),
    ],
)
def test_what_is_held_out(file, label, split, part):
    member = corpus.Member(file, file.split("/")[1], label, "", split)
    assert sounds.held_out(member) == part


def test_only_training_sounds_are_mixed_and_learned(recordings):
    classes = sounds.class_names(recordings)
    assert classes == ["cat", "siren"]  # no held-out class, and none of a poorly labelled source
    mixer = SecondMixer(recordings, classes)
    heard = {r.name for members in mixer.by_source.values() for r in members}
    assert heard == {"a", "b", "c"}


def test_seconds_are_sound_and_their_own_draw(recordings):
    mixer = SecondMixer(recordings, sounds.class_names(recordings))
    draws = [mixer.draw(np.random.default_rng(seed)) for seed in range(60)]
    for second, label in draws:
        assert second.shape == (SAMPLE_RATE,) and second.dtype == np.float32
        assert np.isfinite(second).all() and np.abs(second).max() <= 1.0
        assert label in (-1, 0, 1)
    assert {label for _, label in draws} == {-1, 0, 1}
    again = mixer.draw(np.random.default_rng(7))
    assert again[0].tobytes() == draws[7][0].tobytes() and again[1] == draws[7][1]


def test_a_labelled_second_sounds_like_its_class(recordings):
    """700 Hz up to a quarter faster or slower is nowhere near 400 Hz, whatever was mixed in."""
    mixer = SecondMixer(recordings, sounds.class_names(recordings))
    near = []
    for seed in range(150):
        second, label = mixer.draw(np.random.default_rng(seed))
        if label >= 0:
            loudest = np.argmax(np.abs(np.fft.rfft(second))[50:]) + 50  # 1 Hz a bin
            near.append(abs(np.log2(loudest / (400, 700)[label])) < np.log2(1.3))
    assert len(near) > 25 and np.mean(near) > 0.9


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5 * SAMPLE_RATE))
def test_whole_seconds_keep_the_sound(length):
    waveform = np.random.default_rng(length).uniform(0.1, 0.5, length).astype("float32")
    seconds = sounds.whole_seconds(waveform)
    assert seconds.shape[1] == SAMPLE_RATE
    assert abs(seconds.size - max(length, SAMPLE_RATE)) <= SAMPLE_RATE // 2
    kept = min(length, seconds.size)
    np.testing.assert_array_equal(seconds.reshape(-1)[:kept], waveform[:kept])


def test_a_short_sound_fills_its_second():
    assert np.abs(sounds.whole_seconds(np.full(3000, 0.5, np.float32))).min() == 0.5


def test_the_real_corpus_holds_out_what_it_says(shared):
    members = corpus.read_manifest(shared / "corpora", "audio")
    parts = [sounds.held_out(member) for member in members]
    assert parts.count("source") == 400  # ESC-10, whole
    assert parts.count("duplicate") == len(sounds.LIKELY_DUPLICATES)
    held = {m.label for m, part in zip(members, parts, strict=True) if part == "class"}
    assert held == set(sounds.HELD_OUT_CLASSES)
    # Nothing held out by class comes back in training under its own name.
    learned = {m.label.lower() for m, part in zip(members, parts, strict=True) if part == "train"}
    assert not learned & {label.lower() for label in held}
