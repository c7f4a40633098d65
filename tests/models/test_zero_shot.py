"""The zero-shot localizer: its layers, its rule, and its way through `avel infer`."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, RecipeMismatchError, VisualRecipe
from avel_tf.models.layers import ClassEvidence, ValidMovingMean
from avel_tf.models.zero_shot import FLOOR, THRESHOLD, build_zero_shot

# Ten classes are seen and eight heard, after a vector of three features each.
RECIPE = Recipe(
    VisualRecipe("v", "1", 2, 32, 13, vocabulary="seen-10"),
    AudioRecipe("a", "2", 16_000, "none", 11, vocabulary="heard-8"),
)
SEEN, HEARD = [[0, 1, 2], [3], [4, 5]], [[0], [1, 2], [2, 3, 4]]
COLUMNS = ClassColumns.of(RECIPE, SEEN, HEARD)


def features(rng: np.random.Generator, seconds: int) -> tuple[np.ndarray, np.ndarray]:
    seen = rng.dirichlet(np.full(10, 0.3), seconds)
    heard = rng.beta(0.3, 1.0, (seconds, 8))
    visual = np.concatenate([rng.normal(size=(seconds, 3)), seen], axis=1)
    audio = np.concatenate([rng.normal(size=(seconds, 3)), heard], axis=1)
    return visual.astype(np.float32), audio.astype(np.float32)


def labels_by_hand(visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> list[int]:
    """The rule in words, second by second: C for background."""
    labels = []
    for second in np.flatnonzero(valid):
        around = [s for s in (second - 1, second, second + 1) if 0 <= s < len(visual) and valid[s]]
        evidence = []
        for looks, sounds in zip(SEEN, HEARD, strict=True):
            chance = len(looks) / 10
            sums = [sum(visual[s, 3 + k] for k in looks) for s in around]
            seen = np.mean([max(each - chance, 0) / (1 - chance) for each in sums])
            heard = np.mean([max(audio[s, 3 + k] for k in sounds) for s in around])
            both = seen >= FLOOR and heard >= FLOOR
            evidence.append(np.sqrt(seen * heard) if both else 0.0)
        best = int(np.argmax(evidence))
        labels.append(best if evidence[best] >= THRESHOLD else len(SEEN))
    return labels


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_it_labels_by_the_rule(seed, seconds):
    rng = np.random.default_rng(seed)
    visual, audio = features(rng, seconds)
    valid = rng.random(seconds) < 0.8
    model = build_zero_shot(RECIPE, COLUMNS)
    logits = model({"visual": visual[None], "audio": audio[None], "valid": valid[None]})[0]
    found = np.argmax(logits, axis=-1)
    expected = labels_by_hand(visual, audio, valid)
    assert [found[each] for each in np.flatnonzero(valid)] == expected
    assert len(model.weights) == 0


def test_evidence_in_numpy_is_that_of_the_layers():
    visual, audio = features(np.random.default_rng(0), 6)
    seen, heard = COLUMNS.evidence(visual, audio)
    layers = (
        ClassEvidence(COLUMNS.visual, "sum", COLUMNS.chance),
        ClassEvidence(COLUMNS.audio, "max"),
    )
    for expected, layer, inputs in zip((seen, heard), layers, (visual, audio), strict=True):
        np.testing.assert_allclose(layer(inputs[None])[0], expected, atol=1e-6)


def test_background_is_as_probable_as_evidence_at_the_threshold():
    visual = np.zeros((1, 1, 13), np.float32)
    audio = np.zeros((1, 1, 11), np.float32)
    # One of ten classes has a score of 0.1 by chance.
    visual[..., 3 + 3] = 0.1 + 0.9 * THRESHOLD
    audio[..., 3 + 1] = THRESHOLD
    model = build_zero_shot(RECIPE, COLUMNS)
    logits = model({"visual": visual, "audio": audio, "valid": np.ones((1, 1), bool)})
    found = keras.ops.softmax(logits).numpy()[0, 0]
    np.testing.assert_allclose(found[[1, 3]], 0.5, atol=1e-4)
    # Twice the threshold in one class and nothing elsewhere: two thirds.
    visual[..., 3 + 3] = 0.1 + 0.9 * 2 * THRESHOLD
    doubled = {"visual": visual, "audio": 2 * audio, "valid": np.ones((1, 1), bool)}
    np.testing.assert_allclose(keras.ops.softmax(model(doubled))[0, 0, 1], 2 / 3, atol=1e-4)


def test_a_picture_without_information_shows_nothing():
    visual = np.full((1, 3, 13), 0.1, np.float32)  # as probable as any other, each of ten classes
    audio = np.ones((1, 3, 11), np.float32)
    seen, heard = COLUMNS.evidence(visual[0], audio[0])
    np.testing.assert_allclose(seen, 0.0, atol=1e-6)
    assert heard.min() == 1.0
    model = build_zero_shot(RECIPE, COLUMNS)
    inputs = {"visual": visual, "audio": audio, "valid": np.ones((1, 3), bool)}
    assert (np.argmax(model(inputs), axis=-1) == len(SEEN)).all()


def test_a_segment_that_is_not_valid_affects_no_other():
    visual, audio = features(np.random.default_rng(1), 5)
    valid = np.array([[True, True, False, True, True]])
    model = build_zero_shot(RECIPE, COLUMNS)
    first = model({"visual": visual[None], "audio": audio[None], "valid": valid}).numpy()
    visual[2], audio[2] = np.nan, np.nan
    again = model({"visual": visual[None], "audio": audio[None], "valid": valid}).numpy()
    np.testing.assert_array_equal(first[0, [0, 1, 3, 4]], again[0, [0, 1, 3, 4]])


def test_the_model_is_saved_and_loaded(tmp_path):
    model = build_zero_shot(RECIPE, COLUMNS, thresholds=[0.1, 0.2, 0.3])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    visual, audio = features(np.random.default_rng(2), 4)
    inputs = {"visual": visual[None], "audio": audio[None], "valid": np.ones((1, 4), bool)}
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: ClassEvidence([[0]], "mean"), "'sum' or 'max'. Received: 'mean'"),
        (lambda: ValidMovingMean(2), "odd number of at least 1. Received: 2"),
    ],
)
def test_wrong_settings_of_layers_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        layer()


def test_features_without_a_class_are_refused():
    bare = Recipe(VisualRecipe("v", "1", 2, 32, 13), AudioRecipe("a", "2", 16_000, "none", 11))
    with pytest.raises(ValueError, match=r"no class scores.*embeddings.scores=true"):
        ClassColumns.of(bare, SEEN, HEARD)
    some = VisualRecipe("v", "1", 2, 32, 5, vocabulary="seen-10", scores=(0, 4))
    with pytest.raises(ValueError, match=r"lack the scores \[1, 2, 3, 5\] of seen-10"):
        ClassColumns.of(Recipe(some, RECIPE.audio), SEEN, HEARD)
    kept = ClassColumns.of(Recipe(some, RECIPE.audio), [[4], [0, 4]], [[0], [1]])
    assert kept.visual == ((4,), (3, 4))


def test_classes_of_the_same_scores_are_related():
    columns = ClassColumns(((1, 2), (2,), (3,)), ((1,), (1, 2), (1,)))
    assert columns.related([0]).tolist() == [True, True, False]
    assert columns.related([2]).tolist() == [False, False, True]


def test_recipes_with_and_without_scores_differ():
    without = Recipe(VisualRecipe("v", "1", 2, 32, 13), AudioRecipe("a", "2", 16_000, "none", 11))
    assert "vocabulary" not in without.to_dict()["visual"]
    assert Recipe.from_dict(json.loads(json.dumps(RECIPE.to_dict()))) == RECIPE
    with pytest.raises(RecipeMismatchError, match=r"visual.vocabulary: 'seen-10'"):
        RECIPE.require_same(without, ours="one", theirs="the other")


class Scorer(tf.Module):
    """A stand-in for a TF-Hub module with scores."""

    def __init__(self, classes: int, *, method: str | None, logits: bool, audio: bool) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal([4, classes], (1, 2)))
        self._logits, self._audio, self._method = logits, audio, method
        spec = tf.TensorSpec([None] if audio else [None, 24, 24, 3], tf.float32)
        self.call = tf.function(self._call, input_signature=[spec], autograph=False)
        if method:
            setattr(self, method, tf.function(self._score, input_signature=[spec]))

    def _vector(self, inputs: tf.Tensor) -> tf.Tensor:
        if self._audio:
            power = tf.reduce_mean(tf.abs(inputs))
            return tf.stack([power, power**2, tf.reduce_max(inputs), power * 3.0])[None]
        means = tf.reduce_mean(inputs, axis=[1, 2])  # [N, 3]
        return tf.concat([means, tf.reduce_max(means, -1, keepdims=True)], -1)

    def _score(self, inputs: tf.Tensor) -> tf.Tensor:
        logits = self._vector(inputs) @ self.kernel
        if self._logits:
            return logits
        return tf.sigmoid(logits) if self._audio else tf.nn.softmax(logits)

    def _call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, ...] | tf.Tensor:
        if self._method:
            return self._vector(inputs)
        return (self._score(inputs), self._vector(inputs)) if self._audio else self._score(inputs)

    @property
    def __call__(self):
        return self.call


@pytest.mark.parametrize(
    ("classes", "method", "logits", "vocabulary"),
    [
        (1001, None, True, "imagenet-1001"),  # a TF-Hub classifier
        (1000, "logits", True, "imagenet-1000"),
        (1001, "scores", False, "imagenet-1001"),
    ],
)
def test_scores_of_an_image_module_are_probabilities(classes, method, logits, vocabulary):
    from avel_tf.embeddings.scores import ModuleWithScores, find_scores

    module = Scorer(classes, method=method, logits=logits, audio=False)
    images = tf.random.stateless_uniform([2, 24, 24, 3], (0, 0))
    function, found = find_scores(module.call if method is None else _Callable(module), "m",
                                  images, "visual")  # fmt: skip
    assert found == vocabulary
    np.testing.assert_allclose(tf.reduce_sum(function(images), -1), 1.0, atol=1e-4)
    kept = ModuleWithScores(module, module.call, function, [5, 7])(images)
    np.testing.assert_allclose(kept[:, -2:], function(images).numpy()[:, [5, 7]])


class _Callable:
    """A module as `hub.load` gives it: callable, with further functions."""

    def __init__(self, module: Scorer) -> None:
        self._module = module
        for name in ("scores", "logits"):
            if hasattr(module, name):
                setattr(self, name, getattr(module, name))

    def __call__(self, inputs: tf.Tensor):
        return self._module.call(inputs)


def test_scores_of_an_audio_module_are_its_output():
    from avel_tf.embeddings.scores import find_scores

    module = Scorer(521, method=None, logits=False, audio=True)
    noise = tf.random.stateless_uniform([16_000], (0, 0))
    function, vocabulary = find_scores(module.call, "m", noise, "audio")
    assert vocabulary == "yamnet-521" and function(noise).shape == (1, 521)


def test_a_module_without_scores_is_refused():
    from avel_tf.embeddings.scores import find_scores

    module = Scorer(99, method="scores", logits=False, audio=False)
    images = tf.zeros([2, 24, 24, 3])
    with pytest.raises(ValueError, match=r"imagenet-1000 \[N, 1000\].*\(2, 99\)"):
        find_scores(_Callable(module), "m", images, "visual")


def test_compact_backbones_have_no_scores():
    from avel_tf.embeddings import load_audio, load_visual

    for load, other in ((load_visual, "efficientnet-lite2"), (load_audio, "audioset-distilled")):
        with pytest.raises(ValueError, match=f"compact has no class scores.*{other}"):
            load("compact", scores=True)


def test_scores_of_some_classes_can_be_kept():
    from avel_tf.embeddings import load_audio

    whole = load_audio("audioset-distilled", scores=True)
    some = load_audio("audioset-distilled", scores=True, scored_classes=["Cat", "Trumpet"])
    assert whole.width == 768 + 527 and some.scores == (81, 82, 83, 85, 187)
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    expected = whole(noise).numpy()[:, [*range(768), *(768 + index for index in some.scores)]]
    np.testing.assert_allclose(some(noise), expected, atol=1e-5)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    from avel_tf.cli.main import main

    folder = tmp_path_factory.mktemp("zero") / "results"
    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--classes", "dog, Violin, fiddle,Train", "--out", str(folder)]
    assert main([*words, "--engine", "openvino", "--set", "engine.precision=float32"]) == 0
    return folder


def test_every_second_has_the_evidence_of_each_sense(results, capsys):
    (line,) = (results / "results.jsonl").read_text().splitlines()
    result = json.loads(line)
    assert result["model"] == "pretrained/2"
    for second in result["seconds"]:
        assert second["label"] in ("Bark", "Violin, fiddle", "Train", "background")
        for sense in ("visual", "audio"):
            scores = [each["score"] for each in second[sense]]
            assert scores == sorted(scores, reverse=True) and len(scores) <= 5
            assert all(score >= 0.05 for score in scores)


def test_other_classes_in_the_same_folder_are_refused(results, clips, capsys):
    from avel_tf.cli.main import main

    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--classes", "Cat", "--out", str(results)]
    assert main([*words, "--engine", "openvino", "--set", "engine.precision=float32"]) == 1
    assert "classes" in capsys.readouterr().err


@pytest.mark.slow
def test_real_clips_are_named(shared):
    import avel_tf

    localizer = avel_tf.load("pretrained", classes=["dog", "Trumpet", "Frog"])
    for name, label in (
        ("dog_barking", "Bark"),
        ("playing_trumpet", "Trumpet"),
        ("frog_croaking", "Frog"),
    ):
        result = localizer.localize(shared / "clips" / "avsync" / f"{name}.mp4")
        assert label in {second.label for second in result.seconds}, name
