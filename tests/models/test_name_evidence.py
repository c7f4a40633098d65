"""Clip evidence from class scores, and from what the classes are called."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.embeddings.class_columns import NamedClasses
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.models import ModelSettings, build, fit_clip_evidence, load_model
from avel_tf.models.layers import ClipEvidence, NameEvidence
from avel_tf.models.layers.name_evidence import SMALLEST
from avel_tf.vocabulary.class_table import ClassTable

FEATURES = 3
RECIPE = Recipe(
    VisualRecipe("v", "1", 2, 32, FEATURES + 1000, vocabulary="imagenet-1000"),
    AudioRecipe("a", "2", 16_000, "none", FEATURES + 527, vocabulary="audioset-527"),
)
NAMES = ("playing violin", "something else", "cat", "toilet flushing")
CLIPS, SECONDS = 12, 4
TARGETS = np.repeat(np.arange(CLIPS) % len(NAMES), SECONDS).reshape(CLIPS, SECONDS)
VALID = np.ones((CLIPS, SECONDS), bool)


def small_model(name: str = "avel", names: tuple[str, ...] = NAMES) -> keras.Model:
    return build(
        ModelSettings(name, width=8, heads=2, lstm_units=4),
        visual_width=RECIPE.visual.width,
        audio_width=RECIPE.audio.width,
        visual_scores=RECIPE.visual.score_width,
        audio_scores=RECIPE.audio.score_width,
        named=NamedClasses.of(RECIPE, names),
        classes=len(names),
    )


def layer_of(model: keras.Model) -> ClipEvidence:
    return next(each for each in model.layers if isinstance(each, ClipEvidence))


def clips(seed: int = 0, classes: np.ndarray = TARGETS[:, 0]) -> dict[str, np.ndarray]:
    """Clips whose scores, and nothing else, say what they are; class 1 has none."""
    rng = np.random.default_rng(seed)
    shape = (len(classes), SECONDS)
    visual = rng.normal(size=(*shape, RECIPE.visual.width)).astype("float32")
    audio = rng.normal(size=(*shape, RECIPE.audio.width)).astype("float32")
    visual[..., FEATURES:] = rng.dirichlet(np.full(1000, 0.05), shape)
    audio[..., FEATURES:] = rng.beta(0.2, 10.0, (*shape, 527))
    named = NamedClasses.of(RECIPE, NAMES)
    for row, event in enumerate(classes):
        if event in named.classes:
            place = named.classes.index(event)
            visual[row, :, rng.choice(named.columns.visual[place])] += rng.uniform(0.3, 0.9)
            audio[row, :, rng.choice(named.columns.audio[place])] += rng.uniform(0.3, 0.6)
    return {"visual": visual, "audio": audio, "valid": np.ones(shape, bool)}


def test_names_of_a_data_set_have_columns() -> None:
    named, table = NamedClasses.of(RECIPE, NAMES), ClassTable.load()
    assert named.classes == (0, 2, 3)
    cat = table.indices(table.find("Cat"), "audioset-527")
    assert named.columns.audio[1] == tuple(sorted(FEATURES + index for index in cat))


def test_without_scores_or_known_names_there_are_none() -> None:
    plain = Recipe(VisualRecipe("v", "1", 2, 32, 5), AudioRecipe("a", "2", 16_000, "none", 5))
    assert plain.visual.score_width == plain.audio.score_width == 0
    assert NamedClasses.of(plain, NAMES) is None
    assert NamedClasses.of(RECIPE, ["A", "B"]) is None


def test_names_whose_scores_were_not_kept_are_left_out() -> None:
    table = ClassTable.load()
    seen, heard = (
        tuple(sorted(table.indices(table.find("Cat"), vocabulary)))
        for vocabulary in ("imagenet-1000", "audioset-527")
    )
    recipe = Recipe(
        VisualRecipe("v", "1", 2, 32, 3 + len(seen), vocabulary="imagenet-1000", scores=seen),
        AudioRecipe("a", "2", 16_000, "none", 3 + len(heard), "audioset-527", heard),
    )
    assert (recipe.visual.score_width, recipe.audio.score_width) == (len(seen), len(heard))
    named = NamedClasses.of(recipe, NAMES)
    assert named.classes == (2,)
    assert named.columns.audio == (tuple(range(3, 3 + len(heard))),)


def test_name_evidence_is_the_log_of_the_geometric_mean() -> None:
    layer = NameEvidence(
        [2, 0],
        [
            {"columns": [[0], [1, 2]], "reduction": "sum", "chance": [0.1, 0.2]},
            {"columns": [[1, 2], [0]], "reduction": "max"},
        ],
        3,
    )
    visual = np.array([[0.5, 0.2, 0.1], [0.05, 0.3, 0.6]], np.float32)
    audio = np.array([[0.3, 0.0, 0.4], [0.9, 0.2, 0.1]], np.float32)
    seen = np.array([[0.4 / 0.9, 0.1 / 0.8], [0.0, 0.7 / 0.8]])
    heard = np.array([[0.4, 0.3], [0.2, 0.9]])
    logarithm = np.log(np.sqrt(seen * heard) + SMALLEST)
    expected = np.zeros((2, 3))
    expected[:, [2, 0]] = logarithm - logarithm.mean(axis=0)
    assert not np.any(layer([visual, audio]))  # not fitted
    np.testing.assert_allclose(layer.fit_center([visual, audio]), expected, atol=1e-5)
    layer.weight.assign(1.0)
    np.testing.assert_allclose(layer([visual, audio]), expected, atol=1e-5)


def test_names_are_used_where_they_agree_with_the_labels() -> None:
    inputs = clips()
    accuracies, weights = [], []
    for names in (NAMES, ("toilet flush", "violin", "something else", "cat")):
        model = small_model(names=names)
        fit_clip_evidence(model, inputs["visual"], inputs["audio"], VALID, TARGETS)
        weights.append(float(layer_of(model).names.weight))
        test = np.repeat(np.arange(len(NAMES)), 10)
        found = np.asarray(model(clips(1, test)))[..., :-1].argmax(-1)
        accuracies.append((found == test[:, None]).mean())
    assert weights[0] > 0
    assert weights[1] == 0  # another's names
    assert accuracies[0] > accuracies[1]


@pytest.mark.parametrize("name", ["audio_only", "visual_only"])
def test_unimodal_models_use_the_scores_of_their_modality(name: str) -> None:
    model, inputs = small_model(name), clips()
    fit_clip_evidence(model, inputs["visual"], inputs["audio"], VALID, TARGETS)
    assert float(layer_of(model).names.weight) > 0
    assert len(layer_of(model).score_widths) == 1


def test_scores_have_the_weight_of_the_embedding_at_any_scale() -> None:
    inputs, logits = clips(), []
    for scale in (1.0, 1e-4):
        model = small_model(names=("A", "B", "C", "D"))
        scaled = {**inputs, "audio": inputs["audio"].copy()}
        scaled["audio"][..., FEATURES:] *= scale
        fit_clip_evidence(model, scaled["visual"], scaled["audio"], VALID, TARGETS)
        layer = layer_of(model)
        ready = np.zeros((CLIPS, SECONDS, len(NAMES) + 1), np.float32)
        logits.append(np.asarray(layer(ready, [scaled["visual"], scaled["audio"]], VALID)))
    assert np.ptp(logits[0]) > 0.1
    np.testing.assert_allclose(*logits, atol=1e-3)


def test_a_saved_model_keeps_its_names(tmp_path: Path) -> None:
    model, inputs = small_model(), clips()
    fit_clip_evidence(model, inputs["visual"], inputs["audio"], VALID, TARGETS)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(inputs), model(inputs))
