"""What makes two recipes different, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avel_tf.embeddings import Recipe, RecipeMismatchError
from avel_tf.embeddings.recipe import AudioRecipe, VisualRecipe, library_versions

RECIPE = Recipe(
    VisualRecipe(module="resnet", sha256="aa", frames_per_second=4, size=224, width=2048),
    AudioRecipe(module="vggish", sha256="bb", sample_rate=16_000, activation="relu", width=128),
    versions={"tensorflow": "2.21.0"},
)
CHANGES = {
    ("visual", "sha256"): "cc",
    ("visual", "frames_per_second"): 16,
    ("visual", "size"): 128,
    ("visual", "width"): 1024,
    ("visual", "places"): 49,
    ("visual", "endpoint"): "resnet/block4",
    ("visual", "reuse_threshold"): 2.0,
    ("audio", "sha256"): "dd",
    ("audio", "sample_rate"): 44_100,
    ("audio", "activation"): "none",
    ("audio", "width"): 64,
}


def changed(part: str, key: str, value: object) -> Recipe:
    return replace(RECIPE, **{part: replace(getattr(RECIPE, part), **{key: value})})


@pytest.mark.parametrize(("part", "key"), CHANGES)
def test_what_decides_the_numbers_decides_the_fingerprint(part, key):
    other = changed(part, key, CHANGES[part, key])
    assert other.fingerprint != RECIPE.fingerprint
    with pytest.raises(RecipeMismatchError) as refused:
        RECIPE.require_same(other, ours="runs/a", theirs="features/b")
    sentence = str(refused.value)
    value = CHANGES[part, key]
    assert f"{part}.{key}: {getattr(getattr(RECIPE, part), key)!r} in runs/a" in sentence
    assert f"{value!r} in features/b" in sentence
    assert sentence.count(" in runs/a") == 1  # no other difference is claimed
    assert "Extract the features again" in sentence


def test_every_difference_is_listed_with_the_modules_behind_it():
    other = replace(
        RECIPE,
        visual=replace(RECIPE.visual, module="compact", sha256="cc", width=480),
        audio=replace(RECIPE.audio, activation="none"),
    )
    with pytest.raises(RecipeMismatchError) as refused:
        RECIPE.require_same(other, ours="A", theirs="B")
    sentence = str(refused.value)
    for piece in ("visual.sha256", "visual.width", "audio.activation", "(resnet and compact)"):
        assert piece in sentence
    assert "vggish" not in sentence


def test_names_and_versions_do_not_matter():
    other = replace(changed("visual", "module", "/modules/resnet"), versions={"tensorflow": "9"})
    assert other.fingerprint == RECIPE.fingerprint
    RECIPE.require_same(other, ours="A", theirs="B")


def test_it_comes_back_from_its_json():
    again = Recipe.from_dict(RECIPE.to_dict())
    assert again == RECIPE and again.versions == RECIPE.versions
    assert RECIPE.to_dict()["fingerprint"] == RECIPE.fingerprint


def test_recipes_of_before_there_were_maps_are_of_vectors():
    content = RECIPE.to_dict()
    del content["visual"]["places"], content["visual"]["endpoint"]
    assert Recipe.from_dict(content) == RECIPE and RECIPE.visual.places == 1


@pytest.mark.parametrize(
    "content", [{}, {"visual": {}, "audio": {}}, {"visual": 3, "audio": None}, {"visual": {}}]
)
def test_a_manifest_without_a_recipe(content):
    with pytest.raises(ValueError, match="no complete recipe.*avel extract"):
        Recipe.from_dict(content)


def test_versions_are_of_what_is_installed():
    import tensorflow

    assert library_versions()["tensorflow"] == tensorflow.__version__
    assert "av" in library_versions()
