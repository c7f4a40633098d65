"""Frames that equal the one before, or nearly, are embedded once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.cli.main import main
from avel_tf.embeddings import AudioSettings, EmbeddingSettings, VisualSettings, load_extractor
from avel_tf.embeddings.recipe import Recipe, RecipeMismatchError
from avel_tf.embeddings.settings import NEAR_THRESHOLD
from avel_tf.engines.available import REFERENCE, EngineChoice
from avel_tf.engines.engine import backbone_graphs
from avel_tf.engines.reuse import (
    MOST_EMBEDDED,
    FrameCount,
    FrameReuse,
    difference,
    differing_frames,
    frame_reuse,
    means,
    thumbnail,
)
from avel_tf.engines.selection import make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import ModelError
from avel_tf.features.features import embed_files
from avel_tf.video.segment_loader import SegmentLoader
from tests.conftest import FRAMES_PER_SECOND
from tests.engines.streams import MadeStream
from tests.video.films import write_film

OLD = Path(__file__).resolve().parents[1] / "data" / "version-0.1"
RATE = 2
both_engines = pytest.mark.parametrize(
    "name", [pytest.param("tensorflow", marks=pytest.mark.slow), "openvino"]
)


class RepeatedFrames(MadeStream):
    """Frames after their own numbers; the audio of a segment is that of its place."""

    def __init__(self, shown: list[list[int]], size: int = 160) -> None:
        super().__init__(list(range(len(shown))), frames_per_second=len(shown[0]), size=size)
        self.shown = shown  # [T, F]

    def _second(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        _, waveform = super()._second(number)
        return np.stack([image_of(each, self.size) for each in self.shown[number]]), waveform


def image_of(number: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    patches = rng.integers(0, 256, (10, 10, 3), np.uint8)
    return patches.repeat(size // 10, axis=0).repeat(size // 10, axis=1)


def embedded(engine, stream) -> tuple[np.ndarray, np.ndarray]:
    visual, audio = zip(*((v, a) for _, v, a in engine.embed(stream)), strict=True)
    return np.concatenate(visual), np.concatenate(audio)


@pytest.fixture(scope="module")
def engines(extractor):
    """Pairs of an engine with reuse and one without, by name."""
    pairs = {}
    for name in ("tensorflow", "openvino"):
        choice, wanted = EngineChoice(name, "float32"), EngineSettings(precision="float32")
        with_reuse = backbone_graphs(extractor)
        without = replace(with_reuse, reuse=None)
        pairs[name] = (*(make_engine(choice, each, wanted) for each in (with_reuse, without)),)
    return pairs


runs = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=12)


@given(runs=runs, rate=st.integers(1, 4), cut=st.integers(1, 10))
def test_a_selection_keeps_every_frame_and_follows_from_its_batch(runs, rate, cut):
    numbers = np.repeat(*np.array(runs).T)
    numbers = numbers[: len(numbers) - len(numbers) % rate].reshape(-1, rate)[:cut]
    frames = np.stack([image_of(number, 20) for number in numbers.ravel()] or [image_of(0, 20)])
    frames = frames.reshape(-1, rate if len(numbers) else 1, 20, 20, 3)
    reuse = FrameReuse()
    selected = reuse.select(frames)
    flat = frames.reshape(-1, 20, 20, 3)
    changes = 1 + sum(not np.array_equal(a, b) for a, b in pairwise(flat))
    if selected is None:
        assert changes > MOST_EMBEDDED * len(flat)
        assert reuse.count == FrameCount(len(flat), len(flat))
        return
    images, places = selected
    assert len(images) == changes
    assert reuse.count == FrameCount(len(flat), changes)
    np.testing.assert_array_equal(images[places], frames)
    # What was selected before makes no difference.
    again = reuse.select(frames)
    assert again is not None
    np.testing.assert_array_equal(again[1], places)


@both_engines
@settings(max_examples=8)
@given(runs=runs)
def test_features_are_those_without_reuse(engines, name, runs):
    numbers = np.repeat(*np.array(runs).T)
    shown = np.resize(numbers, (max(1, len(numbers) // RATE), RATE)).tolist()
    with_reuse, without = engines[name]
    expected = embedded(without, RepeatedFrames(shown))
    found = embedded(with_reuse, RepeatedFrames(shown))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    again = embedded(with_reuse, RepeatedFrames(shown))
    assert [each.tobytes() for each in again] == [each.tobytes() for each in found]


@both_engines
def test_moving_film_takes_the_same_calls_as_without_reuse(engines, name):
    """So that its features are the same to the last bit."""
    shown = np.arange(34).reshape(17, RATE).tolist()
    with_reuse, without = engines[name]
    found = embedded(with_reuse, RepeatedFrames(shown))
    calls = [
        without.embed_seconds(batch.frames, batch.waveform)
        for batch in RepeatedFrames(shown).batches(without.batch_seconds)
    ]
    for ours, theirs in zip(found, zip(*calls, strict=True), strict=True):
        assert ours.tobytes() == np.concatenate(theirs).tobytes()


def films(folder):
    """A still with sound, and a film of 5 frames per second."""
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.3, 0.3, 13 * 48_000).astype("float32")
    image = rng.integers(0, 256, (64, 96, 3), np.uint8)
    moving = list(rng.integers(0, 256, (65, 64, 96, 3), np.uint8))
    still = {"rate": 4, "pictures": [image] * 52}
    for name, options in (("still", still), ("slow", {"rate": 5, "pictures": moving})):
        write_film(folder / f"{name}.mp4", seconds=13, sound=sound, **options)
    return [str(folder / "still.mp4"), str(folder / "slow.mp4")]


@pytest.mark.slow
def test_real_files_at_sixteen_frames_per_second(tmp_path):
    extractor = load_extractor(
        EmbeddingSettings(
            VisualSettings(module="compact", frames_per_second=16), AudioSettings(module="compact")
        )
    )
    paths = films(tmp_path)
    found, counts = {}, {}
    for mode in ("exact", "none"):
        graphs = backbone_graphs(extractor)
        graphs = graphs if mode == "exact" else replace(graphs, reuse=None)
        engine = make_engine(REFERENCE, graphs, EngineSettings())
        for path in paths:
            before = graphs.reuse.count if graphs.reuse else FrameCount()
            loader = SegmentLoader([extractor.recipe.visual.decode_request(path)], workers=1)
            ((_, features, _),) = embed_files(loader, engine)
            assert features is not None
            found[mode, path] = features
            if graphs.reuse:
                counts[path] = graphs.reuse.count.since(before)
    for path in paths:
        with_reuse, without = found["exact", path], found["none", path]
        np.testing.assert_allclose(with_reuse.visual, without.visual, atol=2e-5)
        np.testing.assert_allclose(with_reuse.audio, without.audio, atol=2e-5)
    still, slow = (counts[path] for path in paths)
    assert still.frames == slow.frames == 13 * 16
    # Of a still, x264 refines noise from frame to frame for a while.
    assert still.embedded < 13 * 4
    assert slow.embedded == pytest.approx(13 * 5, abs=2)


def test_slow_changes_do_not_add_up():
    """A film that brightens by less than the threshold from frame to frame."""
    levels = np.arange(0, 60, dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (60, 32, 32, 3)).reshape(10, 6, 32, 32, 3)
    selected = FrameReuse(2.5).select(frames)
    assert selected is not None
    images, places = selected
    assert len(images) == 20
    shown = images[places].astype(int)
    assert np.abs(shown - frames).max() <= 2.5


@given(st.floats(0, 100), st.integers(0, 99))
def test_near_frames_are_within_the_threshold_of_the_one_that_is_embedded(threshold, seed):
    rng = np.random.default_rng(seed)
    changes = rng.normal(0, 4, (12, 8, 8, 3)) * rng.integers(0, 2, (12, 1, 1, 1))
    walk = (128 + changes.cumsum(0)).clip(0, 255).astype(np.uint8)
    frames = walk.repeat(4, axis=1).repeat(4, axis=2).reshape(4, 3, 32, 32, 3)
    selected = FrameReuse(threshold).select(frames)
    if selected is None:
        return
    images, places = selected
    for image, frame in zip(images[places.ravel()], frames.reshape(-1, 32, 32, 3), strict=True):
        assert difference(thumbnail(image), thumbnail(frame)) <= threshold


def test_frames_for_warming_up_are_all_embedded(extractor):
    frames = differing_frames(11, extractor.recipe.visual)
    for reuse in (FrameReuse(), FrameReuse(NEAR_THRESHOLD)):
        assert reuse.select(frames) is None


def test_the_mean_is_over_the_frames_of_a_segment():
    vectors = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    found = means(vectors, np.array([[0, 0], [0, 1], [1, 1]]))
    np.testing.assert_array_equal(found, [[1, 2], [2, 4], [3, 6]])
    assert found.dtype == np.float32


def test_each_segment_of_a_still_has_its_own_sound(engines):
    with_reuse, _ = engines["tensorflow"]
    visual, audio = embedded(with_reuse, RepeatedFrames([[0, 0]] * 4))
    assert len(np.unique(visual, axis=0)) == 1 and len(np.unique(audio, axis=0)) == 4


def near_settings() -> EmbeddingSettings:
    return EmbeddingSettings(
        VisualSettings(module="compact", reuse="near"), AudioSettings(module="compact")
    )


def test_near_is_a_recipe_of_its_own_and_exact_is_that_of_older_versions(extractor):
    near = load_extractor(near_settings()).recipe
    assert near.visual.reuse_threshold == NEAR_THRESHOLD
    assert Recipe.from_dict(near.to_dict()) == near
    assert "reuse_threshold" not in extractor.recipe.to_dict()["visual"]
    exact = replace(near, visual=replace(near.visual, reuse_threshold=None))
    with pytest.raises(RecipeMismatchError, match="visual.reuse_threshold: None in ours"):
        exact.require_same(near, ours="ours", theirs="theirs")


def test_engines_of_a_near_recipe_use_its_threshold(extractor):
    for setting, recipe, expected in (
        ("exact", None, None),
        ("near", None, NEAR_THRESHOLD),
        ("exact", 7.0, 7.0),
        ("none", 7.0, 7.0),
    ):
        visual = replace(extractor.recipe.visual, reuse_threshold=recipe)
        reuse = frame_reuse(setting, visual)
        assert reuse is not None and reuse.threshold == expected
    assert frame_reuse("none", extractor.recipe.visual) is None


def test_models_of_older_versions_embed_every_frame():
    model = ExportedModel(OLD / "model" / "1")
    assert not model.embeds_frames and model.graphs().reuse is None
    with pytest.raises(ModelError, match="Export its run again, or set embeddings.visual.reuse"):
        model.graphs("near")


def test_infer_reports_the_share_and_keeps_the_mode(exported, tmp_path, capsys):
    image = np.full((64, 96, 3), 128, np.uint8)
    sound = np.zeros(12 * 48_000, "float32")
    path = tmp_path / "still.mp4"
    write_film(path, seconds=12, rate=4, pictures=[image] * 48, sound=sound)
    words = ["infer", str(path), "--model", str(exported), "--out", str(tmp_path / "results")]
    words += ["--engine", "tensorflow", "--set", "engine.precision=float32", "--formats", "jsonl"]
    near = ["--set", "embeddings.visual.reuse=near"]
    assert main(words + near) == 0
    # Of twelve seconds, the first frame of each block is embedded.
    frames = 12 * FRAMES_PER_SECOND
    share = 1 - 2 / frames
    expected = f"Frames: {frames}, {share:.1%} of them reused the embedding of the one before"
    assert expected in capsys.readouterr().out
    assert main(words) == 1
    assert "embeddings.visual.reuse" in capsys.readouterr().err
