"""A data set to a feature store, and what augmentation does to it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avel_tf.datasets import load_dataset, segment_labels
from avel_tf.embeddings import AudioSettings, FeatureExtractor, load_audio
from avel_tf.features.extract import AVE_SECONDS, extract_features
from avel_tf.features.feature_store import FeatureStore
from avel_tf.features.settings import DataSettings
from avel_tf.features.spec_augment import SpecAugment
from avel_tf.video.decode import decode_clip
from tests.conftest import CLASSES, FLOAT32, FRAMES_PER_SECOND
from tests.embeddings import hub_modules
from tests.video.films import write_film


def contents(store: FeatureStore, split: str) -> dict[str, dict[str, np.ndarray]]:
    return {each["id"].decode(): each for each in store.dataset(split).as_numpy_iterator()}


def test_every_video_of_every_split(store, clips, extractor):
    assert [store.count(split) for split in ("train", "validation", "test")] == [7, 3, 4]
    assert set(store.labels.names) <= set(CLASSES) and store.layout == "table"
    assert store.recipe.fingerprint == extractor.recipe.fingerprint
    assert store.skipped == [] and store.manifest["remarks"] == []
    dataset = load_dataset(clips)
    for split in ("train", "validation", "test"):
        found = contents(store, split)
        assert list(found) == [video.id for video in dataset.split(split)]
        for video in dataset.split(split):
            expected = segment_labels(video.annotations, dataset.labels, 4)
            np.testing.assert_array_equal(found[video.id]["targets"], expected)


def test_features_are_those_of_the_file(store, clips, extractor):
    video = load_dataset(clips).split("test")[2]
    size = extractor.recipe.visual.size
    clip = decode_clip(video.path, frames_per_second=FRAMES_PER_SECOND, size=(size, size))
    visual, audio = extractor(clip.frames[None], clip.waveform[None])
    found = contents(store, "test")[video.id]
    np.testing.assert_allclose(found["visual"], visual[0], atol=1e-5)
    np.testing.assert_allclose(found["audio"], audio[0], atol=1e-4)
    assert found["valid"].all()


def small_copy(clips: Path, folder: Path, rows: int = 3) -> Path:
    """The first clips of the training split, which one may spoil."""
    shutil.copytree(clips / "videos", folder / "videos")
    lines = (clips / "annotations.csv").read_text().splitlines(keepends=True)
    (folder / "annotations.csv").write_text("".join(lines[: rows + 1]))
    return folder


def test_twice_gives_the_same_bytes_whatever_the_workers(clips, extractor, tmp_path):
    dataset = load_dataset(small_copy(clips, tmp_path / "data"))
    stores = [
        extract_features(
            dataset, extractor, tmp_path / str(n), data=DataSettings(workers=2), engine=FLOAT32
        )
        for n in range(2)
    ]
    one, other = ({p.name: p.read_bytes() for p in s.folder.iterdir()} for s in stores)
    assert one == other
    alone = extract_features(
        dataset, extractor, tmp_path / "2", data=DataSettings(workers=1), engine=FLOAT32
    )
    for name, record in contents(alone, "train").items():
        np.testing.assert_allclose(
            record["visual"], contents(stores[0], "train")[name]["visual"], atol=1e-5
        )


def test_broken_and_silent_files_are_noted(clips, extractor, tmp_path):
    dataset = load_dataset(small_copy(clips, tmp_path / "data", rows=4))
    empty, missing, silent, _ = dataset.split("train")
    empty.path.write_bytes(b"")
    missing.path.unlink()
    write_film(silent.path, seconds=2, rate=8)
    done = []
    store = extract_features(
        dataset,
        extractor,
        tmp_path / "features",
        engine=FLOAT32,
        progress=lambda count, total: done.append((count, total)),
    )
    reasons = {each["video"]: each["reason"] for each in store.skipped}
    assert list(reasons) == [empty.id, missing.id]
    assert all("Cannot read" in reason for reason in reasons.values())
    assert {each["split"] for each in store.skipped} == {"train"}
    (remark,) = store.manifest["remarks"]
    assert remark["video"] == silent.id and "silence was assumed" in remark["reason"]
    assert store.count("train") == 2
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_aves_clips_all_have_ten_seconds(clips, extractor, tmp_path):
    """A short file is padded with seconds that are not valid, a long one is cut."""
    dataset = load_dataset(small_copy(clips, tmp_path / "data", rows=2))
    write_film(dataset.split("train")[1].path, seconds=12, rate=2)
    store = extract_features(replace(dataset, layout="ave"), extractor, tmp_path / "features")
    short, long = contents(store, "train").values()
    for each in (short, long):
        assert len(each["valid"]) == len(each["visual"]) == len(each["targets"]) == AVE_SECONDS
    assert short["valid"].tolist() == [True] * 4 + [False] * 6
    assert (short["visual"][4:] == 0).all() and (short["audio"][4:] == 0).all()
    assert long["valid"].all()


def test_one_extraction_serves_official_and_deleaked_splits(clips, extractor, tmp_path):
    dataset = load_dataset(small_copy(clips, tmp_path / "data", rows=3))
    first, *others = dataset.videos
    again = replace(first, id=f"{first.id}#2", split="test")  # another row of the same file
    official = extract_features(
        replace(dataset, videos=(first, *others, again)), extractor, tmp_path / "features"
    )
    deleaked = FeatureStore(official.folder, deleaked=True)
    assert set(contents(official, "train")) == {video.id for video in dataset.videos}
    assert set(contents(deleaked, "train")) == {video.id for video in others}
    assert deleaked.count("train") == len(others)
    for store in (official, deleaked):
        assert set(contents(store, "test")) == {again.id}


# SpecAugment


@pytest.fixture(scope="module")
def augmented(clips, extractor, tmp_path_factory) -> list[FeatureStore]:
    """A data set with masks, and its first clips with the same seed and with another."""
    folder = tmp_path_factory.mktemp("augmented")
    dataset = load_dataset(clips)
    first = replace(dataset, videos=tuple(dataset.split("train")[:2]))
    data = DataSettings(spec_augment_copies=2)
    return [
        extract_features(videos, extractor, folder / str(n), data=data, engine=FLOAT32, seed=seed)
        for n, (videos, seed) in enumerate(((dataset, 5), (first, 5), (first, 6)))
    ]


@pytest.mark.slow
def test_training_sound_alone_is_changed(augmented, store):
    train = contents(augmented[0], "train")
    assert len(train) == 3 * 7
    for split in ("validation", "test"):
        assert list(contents(augmented[0], split)) == list(contents(store, split))
    for name, plain in contents(store, "train").items():
        np.testing.assert_allclose(train[name]["audio"], plain["audio"], atol=1e-4)
        for number in (1, 2):
            copy = train[f"{name}#augmented{number}"]
            np.testing.assert_array_equal(copy["visual"], train[name]["visual"])
            np.testing.assert_array_equal(copy["targets"], plain["targets"])
            np.testing.assert_array_equal(copy["valid"], plain["valid"])
            assert copy["audio"].shape == plain["audio"].shape
            assert np.isfinite(copy["audio"]).all()
        one, other = (train[f"{name}#augmented{n}"]["audio"] for n in (1, 2))
        assert np.abs(one - other).max() > 1e-3
        assert np.abs(one - plain["audio"]).max() > 1e-3


@pytest.mark.slow
def test_masks_follow_the_seed(augmented):
    first, same, other = (contents(each, "train") for each in augmented)
    masked = [name for name in same if "#augmented" in name]
    assert len(masked) == 4
    for name in masked:
        np.testing.assert_array_equal(first[name]["audio"], same[name]["audio"])
    assert any(np.abs(first[n]["audio"] - other[n]["audio"]).max() > 1e-3 for n in masked)


def test_masks_change_little_of_a_second(extractor):
    """A quarter of the bands and a third of the time at most: the rest is what it was."""
    augment = SpecAugment(extractor.audio, seed=0)
    seconds = np.random.default_rng(0).uniform(-0.5, 0.5, (16, 16_000)).astype("float32")
    plain = augment.log_mel(seconds)[..., 0].numpy()
    for spectrogram in plain:
        masked = augment._mask(spectrogram).numpy()
        floor = spectrogram.min()  # where the quietest value lies, a mask changes nothing
        changed = (np.abs(masked - spectrogram) > 1e-3) | (spectrogram == floor)
        bands, frames = changed.all(axis=0), changed.all(axis=1)
        assert bands.sum() <= 16 and frames.sum() <= 30
        # Adding and taking away the floor costs float32 a digit, nothing more.
        kept = masked[np.ix_(~frames, ~bands)]
        np.testing.assert_allclose(kept, spectrogram[np.ix_(~frames, ~bands)], atol=1e-3)
        assert np.all(masked[changed] <= floor + 1e-4)  # silence, not loudness


def test_a_hub_module_cannot_be_masked(tmp_path, extractor):
    module = hub_modules.save_audio(tmp_path / "vggish")
    audio = load_audio(AudioSettings(module=str(module)))
    assert isinstance(extractor, FeatureExtractor)
    with pytest.raises(ValueError, match="spec_augment_copies=0 or embeddings.audio.module=compa"):
        SpecAugment(audio, seed=0)
