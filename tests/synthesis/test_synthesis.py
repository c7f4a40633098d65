from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import av
import cv2
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from avel_tf.synthesis.clip_plan import ClipPlan
from avel_tf.synthesis.dataset import (
    SynthesisSettings,
    make_clip,
    make_dataset,
    make_plan,
    make_scene,
)
from avel_tf.synthesis.event_classes import EVENT_CLASSES
from avel_tf.synthesis.writer import write_video

RATE = 16_000
SMALL = SynthesisSettings(seconds=5, width=128, height=96, frame_rate=4, shortest_event=2)
AVE_NAMES = {
    "Church bell", "Bark", "Helicopter", "Clock", "Acoustic guitar", "Train horn",
    "Baby cry, infant cry", "Race car, auto racing", "Accordion", "Frying (food)",
}  # fmt: skip


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_classes_are_named_as_in_ave(shared: Path) -> None:
    ave = (shared / "ave" / "categories.txt").read_text().splitlines()
    assert set(EVENT_CLASSES) >= AVE_NAMES
    assert set(EVENT_CLASSES) <= {line.strip() for line in ave}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVENT_CLASSES)
def test_a_sound_is_audible_in_every_second_with_its_onsets(name: str) -> None:
    for seconds in (1, 4, 10):
        for seed in range(4):
            sound = EVENT_CLASSES[name].sound(np.random.default_rng(seed), seconds)
            assert sound.waveform.shape == (seconds * RATE,)
            level = np.sqrt(np.mean(sound.waveform.reshape(seconds, RATE) ** 2, axis=1))
            assert level.min() > 0.04  # against 0.2 in its loud parts
            assert list(sound.onsets) == sorted(sound.onsets)
            assert sound.onsets[0] >= 0 and sound.onsets[-1] < seconds


@settings(max_examples=200, deadline=None)
@given(
    index=st.integers(0, 10_000),
    seed=st.integers(0, 2**31),
    seconds=st.integers(1, 15),
    split=st.sampled_from(["train", "validation", "test"]),
)
def test_an_event_is_where_both_senses_agree(index, seed, seconds, split) -> None:
    plan = make_plan(index, replace(SMALL, seconds=seconds), seed=seed, split=split)
    assert len(plan.visible) == len(plan.sounding) == seconds
    assert len(plan.events) <= 1
    for label, start, end in plan.events:
        assert 0 <= start < end <= seconds
        assert end - start >= min(2, seconds)
        assert plan.visible[start:end] == plan.sounding[start:end] == (label,) * (end - start)
    labelled = {second for _, start, end in plan.events for second in range(start, end)}
    for second in set(range(seconds)) - labelled:
        seen, heard = plan.visible[second], plan.sounding[second]
        assert seen is None or seen != heard


def test_one_sense_alone_cannot_reach_the_truth() -> None:
    plans = [make_plan(index, SynthesisSettings(), seed=1) for index in range(3000)]
    labels = [label for plan in plans for label in plan.labels]
    background = labels.count(None) / len(labels)
    assert background == pytest.approx(0.4, abs=0.03)
    assert np.mean([not plan.events for plan in plans]) == pytest.approx(0.08, abs=0.02)
    for sense in ("visible", "sounding"):
        seen: dict[str | None, Counter] = defaultdict(Counter)
        for plan in plans:
            for value, label in zip(getattr(plan, sense), plan.labels, strict=True):
                seen[value][label] += 1
        best = sum(max(counts.values()) for counts in seen.values()) / len(labels)
        assert 0.6 < best <= 0.8
    both: dict[tuple, set] = defaultdict(set)
    for plan in plans:
        for *key, label in zip(plan.visible, plan.sounding, plan.labels, strict=True):
            both[tuple(key)].add(label)
    assert all(len(found) == 1 for found in both.values())


def test_classes_are_balanced_in_every_split() -> None:
    classes = len(EVENT_CLASSES)
    always = replace(SMALL, background_clip_probability=0.0)
    for split in ("train", "validation", "test"):
        plans = [make_plan(index, always, split=split) for index in range(3 * classes)]
        assert set(Counter(plan.events[0].label for plan in plans).values()) == {3}


@pytest.mark.parametrize("name", EVENT_CLASSES)
def test_what_the_plan_says_is_in_the_picture_and_in_the_sound(name: str) -> None:
    other = "Clock" if name != "Clock" else "Bark"
    plan = ClipPlan(
        visible=(None, name, name, other, name), sounding=(name, name, None, name, other)
    )
    assert plan.labels == (None, name, None, None, None)
    stage = make_scene(plan, 3, SMALL)
    nobody = (None,) * 5
    change = np.stack(list(stage.frames())).astype(float) - np.stack(list(stage.frames(nobody)))
    changed = (np.abs(change).max(axis=-1) > 12).mean(axis=(1, 2)).reshape(5, 4)  # [T, F]
    assert changed[0].max() == 0
    assert changed[1:].min() > 0.005
    power = np.mean(stage.waveform().reshape(5, RATE) ** 2, axis=1)
    noise = np.mean(stage.waveform(nobody).reshape(5, RATE) ** 2, axis=1)
    assert power[2] == pytest.approx(noise[2])
    assert (power[[0, 1, 3, 4]] > 2 * noise[[0, 1, 3, 4]]).all()


def test_an_unheard_object_moves_as_if_it_were_heard() -> None:
    plan = ClipPlan(visible=("Bark",) * 5, sounding=("Bark", None, "Bark", None, "Bark"))
    loud = ClipPlan(visible=("Bark",) * 5, sounding=("Bark",) * 5)
    for silent, heard in zip(
        make_scene(plan, 0, SMALL).frames(), make_scene(loud, 0, SMALL).frames(), strict=True
    ):
        np.testing.assert_array_equal(silent, heard)


def test_make_clip_gives_pictures_sound_and_events() -> None:
    frames, waveform, events = make_clip(1, SMALL, seed=4, split="test")
    pictures = list(frames)
    assert len(pictures) == 20
    assert pictures[0].shape == (96, 128, 3) and pictures[0].dtype == np.uint8
    assert waveform.shape == (5 * RATE,) and waveform.dtype == np.float32
    assert np.abs(waveform).max() < 1
    assert events == make_plan(1, SMALL, seed=4, split="test").events


@pytest.mark.slow
def test_a_dataset_is_the_same_whoever_makes_it(tmp_path: Path) -> None:
    alone = make_dataset(
        tmp_path / "a", train=3, validation=1, test=2, seed=7, settings=SMALL, workers=1
    )
    together = make_dataset(
        tmp_path / "b", train=3, validation=1, test=2, seed=7, settings=SMALL, workers=2
    )
    assert digest(alone) == digest(together)
    more = make_dataset(
        tmp_path / "c", train=4, validation=0, test=0, seed=7, settings=SMALL, workers=1
    )
    first, longer = digest(alone), digest(more)
    train = {name for name in first if "train" in name}
    assert len(train) == 3 and all(first[name] == longer[name] for name in train)
    another = make_dataset(
        tmp_path / "d", train=1, validation=0, test=0, seed=8, settings=SMALL, workers=1
    )
    assert digest(another)["videos/train/00000.mp4"] != first["videos/train/00000.mp4"]


def test_annotations_and_files_agree(tmp_path: Path) -> None:
    settings_ = replace(SMALL, background_clip_probability=0.5)
    folder = make_dataset(
        tmp_path, train=3, validation=2, test=1, seed=0, settings=settings_, workers=1
    )
    with open(folder / "annotations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video", "label", "start", "end", "split"]
    assert Counter(row["split"] for row in rows) == {"train": 3, "validation": 2, "test": 1}
    assert {row["video"] for row in rows} == {
        str(path.relative_to(folder)) for path in (folder / "videos").glob("*/*")
    }
    assert any(not row["label"] for row in rows) and any(row["label"] for row in rows)
    for row in rows:
        if row["label"]:
            assert row["label"] in EVENT_CLASSES
            assert 0 <= int(row["start"]) < int(row["end"]) <= 5
        else:
            assert row["start"] == row["end"] == ""
        path = folder / row["video"]
        assert path.stat().st_size < 150_000
        with av.open(str(path)) as container:
            video, sound = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
            assert float(video.duration * video.time_base) == pytest.approx(5, abs=0.01)
            assert float(sound.duration * sound.time_base) == pytest.approx(5, abs=0.1)
            assert sum(1 for _ in container.decode(video=0)) == 20


def object_thumbnail(picture: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """The part of a picture that holds the object, 16x16 pixels, and its colours."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - empty).max(axis=-1) > 12)
    part = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return cv2.resize(part, (16, 16), interpolation=cv2.INTER_AREA).ravel() / 255


@pytest.mark.slow
def test_simple_classifiers_tell_the_classes_apart() -> None:
    still = replace(SMALL, seconds=2, shortest_event=2, frame_rate=2, background_clip_probability=0)
    heard, seen, labels = [], [], []
    for index in range(14 * len(EVENT_CLASSES)):
        plan = make_plan(index, still)
        stage = make_scene(plan, index, still)
        mel = librosa.feature.melspectrogram(y=stage.waveform(), sr=RATE, n_mels=64, hop_length=400)
        decibels = librosa.power_to_db(mel)
        heard.append(np.concatenate([decibels.mean(axis=1), decibels.std(axis=1)]))
        picture = list(stage.frames())[2]
        empty = list(stage.frames((None, None)))[2]
        seen.append(object_thumbnail(picture, empty))
        labels.append(plan.events[0].label)
    half = len(labels) // 2
    for features in (np.array(heard), np.array(seen)):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.05))
        model.fit(features[:half], labels[:half])
        assert model.score(features[half:], labels[half:]) > 0.85


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ("Barking", "Clock")}, "Did you mean 'Bark'"),
        ({"classes": ("Bark",)}, "at least two"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"decoy_probability": 1.2}, "probability"),
        ({"object_height": (0.6, 0.3)}, "smallest, largest"),
        ({"object_height": (0.0, 0.3)}, "object_height must be in"),
    ],
)
def test_wrong_settings_are_refused_in_words(change, said) -> None:
    with pytest.raises(ValueError, match=said):
        SynthesisSettings(**change)


def test_wrong_requests_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split must be one of"):
        make_clip(0, SMALL, split="dev")
    with pytest.raises(ValueError, match="must not be negative"):
        make_clip(-1, SMALL)
    with pytest.raises(ValueError, match="not all 0"):
        make_dataset(tmp_path / "none", train=0, validation=0, test=0)
    with pytest.raises(ValueError, match="workers"):
        make_dataset(tmp_path / "none", train=1, validation=0, test=0, workers=0)
    assert not (tmp_path / "none").exists()


def test_making_clips_needs_no_tensorflow() -> None:
    code = (
        "import sys, avel_tf.synthesis.dataset;"
        "sys.exit(bool({'tensorflow', 'keras', 'librosa', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_clip_written_again_and_again_is_the_same_bytes(tmp_path):
    """At the size the demo has: smaller pictures did not show that x264 changed its mind."""
    of_demo = SynthesisSettings()
    frames, waveform, _ = make_clip(0, of_demo, split="test")
    pictures = list(frames)
    written = set()
    for number in range(4):
        path = tmp_path / f"{number}.mp4"
        write_video(path, pictures, waveform, frame_rate=of_demo.frame_rate, crf=of_demo.crf)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_a_second_event_is_seen_and_heard_beside_the_first() -> None:
    settings = SynthesisSettings(second_event_probability=1.0, background_clip_probability=0.0)
    plans = [make_plan(index, settings) for index in range(40)]
    overlapping = 0
    for plan in plans:
        first, second = plan.labels, plan.second_event
        assert len({name for name in second if name}) == 1
        assert not set(filter(None, second)) & {*plan.visible, *plan.sounding}
        spans = {(label, s) for label, a, b in plan.events for s in range(a, b)}
        assert spans == {(n, s) for t in (first, second) for s, n in enumerate(t) if n}
        overlapping += any(a and b for a, b in zip(first, second, strict=True))
    assert overlapping > 20
    without = [make_plan(index, SynthesisSettings()) for index in range(10)]
    assert not any(plan.second_event for plan in without)
