"""An exported model at work on files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import avel_tf
from avel_tf.engines.tensorflow_engine import TensorFlowEngine
from avel_tf.export.manifest import ModelError, find_version
from avel_tf.features.settings import DataSettings
from avel_tf.inference.localizer import Localizer
from avel_tf.inference.settings import InferenceSettings
from avel_tf.video.decode import decode_clip
from tests.conftest import FLOAT32
from tests.video.films import tone, write_film


@pytest.fixture(scope="module")
def localizer(exported, engine) -> Localizer:
    localizer = Localizer(exported, engine=FLOAT32)
    localizer._pipeline._engine = engine
    return localizer


@pytest.fixture(scope="module")
def long_film(tmp_path_factory) -> Path:
    """25 seconds, so three windows and more."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    write_film(path, seconds=25, rate=4, sound=tone(25, 48_000))
    return path


@pytest.mark.slow
def test_the_engine_is_chosen_where_nobody_says_so(exported, clips, localizer):
    path = sorted(clips.glob("videos/**/*.mp4"))[0]
    found, expected = avel_tf.load(exported).localize(path), localizer.localize(path)
    assert found.model == expected.model and found.status == "ok"
    assert [s.label for s in found.seconds] == [s.label for s in expected.seconds]


def test_one_file(localizer, clips, store):
    path = sorted(clips.glob("videos/**/*.mp4"))[0]
    result = localizer.localize(path)
    assert (result.video, result.status, result.reason) == (str(path), "ok", None)
    assert result.model == "tiny/1" and result.duration == pytest.approx(4.0, abs=0.2)
    assert [second.start for second in result.seconds] == [0, 1, 2, 3]
    known = {*store.labels.names, "background"}
    assert {second.label for second in result.seconds} <= known
    for event in result.events:
        assert event.label in store.labels.names


@pytest.mark.slow
def test_seconds_are_what_the_signature_says_of_the_decoded_clip(localizer, clips, store):
    path = sorted(clips.glob("videos/**/*.mp4"))[3]
    clip = decode_clip(
        path,
        frames_per_second=store.recipe.visual.frames_per_second,
        size=(store.recipe.visual.size,) * 2,
    )
    model = tf.saved_model.load(str(localizer.model.folder))
    found = model.signatures["serving_default"](
        frames=tf.constant(clip.frames[None]), waveform=tf.constant(clip.waveform[None])
    )
    names = [store.labels.name(i) for i in found["label_index"].numpy()[0]]
    result = localizer.localize(path)
    assert [second.label for second in result.seconds] == names
    scores = [second.score for second in result.seconds]
    np.testing.assert_allclose(scores, found["score"][0], atol=1e-5)


@pytest.mark.slow
def test_a_long_film_is_labelled_in_windows_to_its_end(
    exported, long_film, monkeypatch, one_engine
):
    lengths = []
    label = TensorFlowEngine.label

    def spy(engine, visual, audio, valid):
        lengths.extend([visual.shape[1]] * len(visual))
        return label(engine, visual, audio, valid)

    monkeypatch.setattr(TensorFlowEngine, "label", spy)
    localizer = Localizer(exported, inference=InferenceSettings(batch_clips=1), engine=FLOAT32)
    result = localizer.localize(long_film)
    assert result.status == "ok" and len(result.seconds) == 25
    assert lengths == [10, 10, 10, 10]  # from 0, 5, 10 and 15


@pytest.mark.usefixtures("one_engine")
def test_every_path_has_its_result_in_its_place(localizer, clips, long_film, tmp_path):
    """Whatever decodes beside it, and whatever batch it falls into."""
    videos = [str(path) for path in sorted(clips.glob("videos/**/*.mp4"))[:4]]
    (tmp_path / "empty.mp4").touch()
    write_film(tmp_path / "silent.mp4", seconds=2, rate=8)
    odd = os.path.join(str(tmp_path), os.fsdecode(b"\xff \n.mp4"))
    shutil.copyfile(videos[0], odd)
    paths = [
        videos[0],
        str(tmp_path / "empty.mp4"),
        str(long_film),
        str(tmp_path / "absent.mp4"),
        odd,
        str(tmp_path / "silent.mp4"),
        str(tmp_path),
        *videos[1:],
    ]
    alone = [next(localizer.localize([path])) for path in paths]
    other = Localizer(
        localizer.model.folder,
        inference=InferenceSettings(batch_clips=2),
        data=DataSettings(workers=3),
        engine=FLOAT32,
    )
    together = list(other.localize(paths))
    assert [result.video for result in together] == paths
    statuses = [result.status for result in together]
    assert statuses == ["ok", "quarantined", "ok", "quarantined", "ok", "ok", "quarantined"] + (
        ["ok"] * 3
    )
    assert "silence was assumed" in together[5].reason
    for one, same in zip(alone, together, strict=True):
        assert (one.status, one.reason, one.duration) == (same.status, same.reason, same.duration)
        assert [s.start for s in one.seconds] == [s.start for s in same.seconds]
        np.testing.assert_allclose(
            [s.score for s in one.seconds], [s.score for s in same.seconds], atol=1e-4
        )


def test_results_come_while_later_files_wait(exported, clips, one_engine):
    """A folder of any size, and memory for a few."""
    localizer = Localizer(
        exported,
        inference=InferenceSettings(batch_clips=1),
        data=DataSettings(workers=1),
        engine=FLOAT32,
    )
    videos = [str(path) for path in sorted(clips.glob("videos/**/*.mp4"))]
    opened = []
    for paths in (videos, (opened.append(video) or video for video in videos)):
        results = localizer.localize(paths)
        assert next(results).video == videos[0]
    assert len(opened) < len(videos) / 2  # of a generator


def test_a_film_that_breaks_off_is_partial(localizer, tmp_path):
    write_film(tmp_path / "whole.mkv", seconds=6, rate=4, sound=tone(6, 48_000))
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(content[: len(content) // 2])
    result = localizer.localize(tmp_path / "half.mkv")
    assert result.status == "partial" and result.reason
    assert 0 < len(result.seconds) <= 6


def test_a_result_says_which_sound_it_is_of(localizer, tmp_path):
    left = tone(3, 48_000)
    opposed = write_film(
        tmp_path / "a.mkv", seconds=3, rate=4, sound=np.stack([left, -left]), layout="stereo"
    )
    result = localizer.localize(opposed)
    assert (result.status, result.audio_track) == ("ok", (1,))
    assert "opposite phase" in result.reason
    silent = localizer.localize(write_film(tmp_path / "b.mkv", seconds=3, rate=4))
    assert (silent.reason, silent.audio_track) == ("no audio track: silence was assumed", ())


@pytest.mark.slow
def test_a_folder(localizer, clips):
    results = list(localizer.localize_directory(clips))
    assert [r.video for r in results] == sorted(map(str, clips.glob("videos/**/*.mp4")))
    assert list(localizer.localize_directory(os.fsencode(clips)))[0].video == results[0].video


# Which model


def test_the_highest_version_is_taken(exported, tmp_path):
    for version in ("2", "10", "9"):
        shutil.copytree(exported, tmp_path / "models" / version)
    (tmp_path / "models" / "11").mkdir()  # an export that never came to its end
    (tmp_path / "models" / "latest").mkdir()
    assert find_version(tmp_path / "models").name == "10"
    assert avel_tf.load(tmp_path / "models").name == "models/10"
    assert find_version(tmp_path / "models" / "2").name == "2"


def test_no_model(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ModelError, match="no exported model at .*avel export RUN"):
            avel_tf.load(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("assets/labels.txt", None),
        ("assets/labels.txt", b"dog\n"),
        ("assets/manifest.json", b"{"),
        ("assets/manifest.json", b"[]"),
        ("assets/manifest.json", b"{}"),
        ("saved_model.pb", b"junk"),
        ("variables/variables.index", None),
        ("variables/variables.data-00000-of-00001", b""),
    ],
)
def test_a_damaged_model(exported, clips, tmp_path, file, content):
    """Found out when it is opened, or when its graph is first needed."""
    folder = tmp_path / "1"
    shutil.copytree(exported, folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=f"{folder} is not a model that avel export wrote"):
        avel_tf.load(folder, engine=FLOAT32).localize(next(clips.glob("videos/**/*.mp4")))


def test_a_saved_model_of_another_kind(exported, clips, tmp_path):
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    shutil.copytree(exported / "assets", tmp_path / "1" / "assets", dirs_exist_ok=True)
    with pytest.raises(ModelError, match="no signature serving_default, embed, from_features"):
        avel_tf.load(tmp_path / "1", engine=FLOAT32).localize(next(clips.glob("videos/**/*.mp4")))
