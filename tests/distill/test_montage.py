"""What the clips show and sound like, and that they are what their labels say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from avel_tf.datasets import load_dataset
from avel_tf.synthesis.clip_plan import ClipPlan
from pipelines.distill.material import ANIMAL, FAMILIES, OTHER, Material, usable
from pipelines.distill.montage import MontageSettings, make_montage, plan
from pipelines.distill.montage_pictures import look
from pipelines.distill.montage_sound import audible, listen
from tests.distill.conftest import PITCHES, RATE

CLASSES = ("Bark", "Cat")
PLAN = ClipPlan(
    visible=("Bark", "Bark", "Bark", "Cat", None, OTHER),
    sounding=(None, "Bark", "Bark", "Bark", "Cat", OTHER),
)
SETTINGS = MontageSettings(seconds=6, size=64, inset_probability=0.0, signal_to_noise=(20, 30))


@pytest.fixture(scope="module")
def material(corpora) -> Material:
    return Material(corpora, usable(corpora), CLASSES)


def strength(second: np.ndarray, pitch: float) -> float:
    """Share of a second's power within a tenth of a pitch."""
    power = np.abs(np.fft.rfft(second)) ** 2
    hertz = np.fft.rfftfreq(len(second), 1 / RATE)
    return power[np.abs(hertz - pitch) < 0.1 * pitch].sum() / power.sum()


@pytest.mark.parametrize("seed", range(8))
def test_a_class_is_audible_in_the_planned_segments_only(material, seed):
    waveform = listen(PLAN, material, SETTINGS, (seed,))
    assert waveform.shape == (6 * RATE,) and np.abs(waveform).max() < 1
    for second, heard in zip(waveform.reshape(6, RATE), PLAN.sounding, strict=True):
        for name, label in (("Bark", "dog_bark"), ("Cat", "meow")):
            share = strength(second, PITCHES[label])
            assert share > 0.5 if heard == name else share < 0.3


@pytest.mark.parametrize("seed", range(8))
def test_a_class_is_visible_in_the_planned_segments_only(material, seed):
    frames = np.stack(list(look(PLAN, material, SETTINGS, (seed,)))).astype(float)
    assert frames.shape == (24, 64, 64, 3)
    middles = frames.reshape(6, 4, 64, 64, 3)[:, 2].mean(axis=(1, 2))  # [T, 3]
    for (red, green, blue), seen in zip(middles, PLAN.visible, strict=True):
        colour = "blue" if blue > red else "yellow" if green > 0.6 * red else "red"
        assert colour == {"Bark": "red", "Cat": "yellow"}.get(seen, "blue")


def test_pauses_shrink_and_silence_is_refused():
    burst = np.sin(np.arange(RATE // 10) * 0.5)
    sound = np.concatenate([burst, np.zeros(2 * RATE), burst, np.zeros(RATE)])
    kept = audible(sound)
    assert len(kept) <= 2 * len(burst) + 0.5 * RATE
    # However it is cut, each second of it repeated is as loud as the label promises.
    again = np.resize(kept, 5 * RATE).reshape(5, RATE)
    assert (np.sqrt((again**2).mean(axis=1)) > 0.3).all()
    with pytest.raises(ValueError, match="silence"):
        audible(np.zeros(RATE))


def test_plans_offer_each_class_and_enough_of_nothing():
    plans = [plan(index, CLASSES, MontageSettings(), (0, 0, index)) for index in range(300)]
    about = [{each.label for each in one.events if each.label in CLASSES} for one in plans]
    assert 0.3 < np.mean([not found for found in about]) < 0.55
    for name in CLASSES:
        assert np.mean([name in found for found in about]) > 0.2
    decoys = [
        (seen, heard)
        for one in plans
        for seen, heard in zip(one.visible, one.sounding, strict=True)
        if seen != heard
    ]
    assert {("Bark", None), (None, "Bark"), ("Bark", OTHER), (OTHER, "Cat")} <= set(decoys)
    # What a dog is mixed up with is an animal about as often as anything.
    heard = [sound for picture, sound in decoys if picture == "Bark"]
    assert 0.5 < heard.count(ANIMAL) / heard.count(OTHER) < 2
    # Something else, seen and heard, is often a stranger of a class's own kind.
    shown = [one.visible[s] for one in plans for s in range(10) if one.labels[s] not in CLASSES]
    assert set(FAMILIES) < set(shown)


def test_one_class_alone_has_strangers():
    plans = [plan(index, ("Bark",), MontageSettings(), (0, 0, index)) for index in range(50)]
    seen = {thing for one in plans for thing in one.visible}
    assert {"Bark", OTHER, ANIMAL, None} <= seen


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_any_workers(corpora, tmp_path):
    settings = MontageSettings(seconds=4, size=64)
    made = [
        make_montage(
            corpora,
            tmp_path / name,
            CLASSES,
            counts=(9, 2, 2),
            seed=seed,
            settings=settings,
            workers=workers,
        )
        for name, seed, workers in (("one", 3, 1), ("two", 3, 2), ("other", 4, 1))
    ]
    one, two, other = map(digest, made)
    assert one == two and one != other
    dataset = load_dataset(made[0])
    assert [len(dataset.split(name)) for name in ("train", "validation", "test")] == [9, 2, 2]
    assert set(dataset.labels.names) <= set(CLASSES)
