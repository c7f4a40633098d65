"""Which layer of a TF-Hub module is its map, and the sentences where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avel_tf.embeddings import (
    AudioSettings,
    EmbeddingSettings,
    VisualSettings,
    hub_module,
    load_extractor,
    load_visual,
)
from avel_tf.embeddings.visual import find_map
from tests.embeddings import hub_modules

BLOCK = "resnet_v2_9/block4"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_modules.save_visual_with_endpoints(tmp_path_factory.mktemp("modules") / "resnet")


def pictures(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("uint8")


def maps_of(module: Path | str, **settings: object) -> VisualSettings:
    return VisualSettings(module=str(module), maps=True, **settings)


def test_a_map_is_the_end_point_row_by_row(resnet):
    given = pictures(3)
    embed = load_visual(maps_of(resnet))
    assert (embed.endpoint, embed.places, embed.width, embed.size) == (BLOCK, 16, 96, 32)
    loaded, _ = hub_module.load_module(str(resnet))
    expected = loaded(tf.constant(given, tf.float32) / 255.0, return_endpoints=True)[BLOCK]
    found = embed(given).numpy()
    assert found.shape == (3, 96) and found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(3, 4, 4, 6), expected, atol=1e-6)


def test_another_end_point_can_be_named(resnet):
    within = f"{BLOCK}/unit_3/bottleneck_v2/conv3"
    named, chosen = load_visual(maps_of(resnet, endpoint=within)), load_visual(maps_of(resnet))
    assert named.endpoint == within and named.width == chosen.width
    assert np.abs(named(pictures(1)) - chosen(pictures(1))).max() > 0.1


def test_the_recipe_tells_maps_and_their_end_point(resnet):
    audio = AudioSettings(module="compact")
    recipes = [
        load_extractor(EmbeddingSettings(settings, audio)).recipe
        for settings in (
            VisualSettings(module=str(resnet)),
            maps_of(resnet),
            maps_of(resnet, endpoint="resnet_v2_9/block3"),
        )
    ]
    assert [(each.visual.places, each.visual.endpoint) for each in recipes] == [
        (1, None),
        (16, BLOCK),
        (16, "resnet_v2_9/block3"),
    ]
    assert len({each.fingerprint for each in recipes}) == 3
    assert len({each.visual.sha256 for each in recipes}) == 1


# Shapes at 224 pixels (Inception V3: 299) and names of TF-Slim's networks, in no order.
SLIM = {
    "resnet_v2_152/block4": {
        "resnet_v2_152/block4/unit_3/bottleneck_v2/conv3": (7, 7, 2048),
        "resnet_v2_152/block4/unit_1/bottleneck_v2/shortcut": (7, 7, 2048),
        "resnet_v2_152/block4/unit_3/bottleneck_v2": (7, 7, 2048),
        "resnet_v2_152/block4": (7, 7, 2048),
        "resnet_v2_152/block3": (7, 7, 1024),
        "resnet_v2_152/block1/unit_1/bottleneck_v2/shortcut": (56, 56, 256),
        "resnet_v2_152/conv1": (112, 112, 64),
        "global_pool": (1, 1, 2048),
        "resnet_v2_152/logits": (1, 1, 1001),
        "predictions": (1001,),
    },
    "InceptionV3/Mixed_7c": {
        "InceptionV3/Conv2d_1a_3x3": (149, 149, 32),
        "InceptionV3/Mixed_6e": (17, 17, 768),
        "InceptionV3/Mixed_7a": (8, 8, 1280),
        "InceptionV3/Mixed_7b": (8, 8, 2048),
        "InceptionV3/Mixed_7c": (8, 8, 2048),
        "InceptionV3/global_pool": (1, 1, 2048),
        "default": (2048,),
    },
    "MobilenetV2/layer_19": {
        "MobilenetV2/layer_1": (112, 112, 32),
        "MobilenetV2/layer_18": (7, 7, 320),
        "MobilenetV2/layer_18/expansion_output": (7, 7, 960),
        "MobilenetV2/layer_18/depthwise_output": (7, 7, 960),
        "MobilenetV2/layer_19": (7, 7, 1280),
        "MobilenetV2/global_pool": (1, 1, 1280),
    },
}


@pytest.mark.parametrize("name", SLIM)
def test_the_last_whole_layer_is_chosen_by_its_shape(name):
    ends = {key: tf.zeros([1, *shape]) for key, shape in SLIM[name].items()}
    assert find_map(lambda _, return_endpoints: ends, "slim", 224).endpoint == name


REFUSALS = {
    "no end points": (
        lambda x: tf.reduce_mean(x, [1, 2]),
        "needs a module with end points.*compact",
    ),
    "one vector": (lambda x, return_endpoints: tf.reduce_mean(x, [1, 2]), "Received: <class"),
    "no map": (
        lambda x, return_endpoints: {"pool": tf.reduce_mean(x, [1, 2], keepdims=True)},
        r"of more than one place.*Received: \{'pool': \(1, 1, 1, 3\)\}",
    ),
    "integers": (lambda x, return_endpoints: {"top": tf.cast(x, tf.int32)}, "has none. Received"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_module_without_a_map_is_refused(name):
    function, sentence = REFUSALS[name]
    with pytest.raises(ValueError, match=sentence) as refused:
        find_map(function, "the/module", 32)
    assert "the/module" in str(refused.value)
    assert "embeddings.visual.maps to false" in str(refused.value)


def test_a_saved_model_without_end_points_is_refused(tmp_path):
    folder = hub_modules.save_visual(tmp_path / "module", width=8)
    with pytest.raises(ValueError, match="needs a module with end points"):
        load_visual(maps_of(folder))


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("resnet_v2_9/block5", "does not exist. Did you mean 'resnet_v2_9/block"),
        ("resnet_v2_9/global_pool", r"has the shape \(1, 1, 1, 6\)"),
        ("default", r"has the shape \(1, 6\)"),
    ],
)
def test_a_wrong_end_point_is_refused(resnet, endpoint, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        load_visual(maps_of(resnet, endpoint=endpoint))
    assert f"{BLOCK} (4, 4, 6)" in str(refused.value)


def test_a_map_that_is_the_same_for_all_pictures_is_refused(tmp_path):
    module = tf.Module()
    module.__call__ = tf.function(
        lambda x, return_endpoints=False: {"top": 0.0 * x} if return_endpoints else x[:, 0, 0]
    )
    spec = tf.TensorSpec([None, 32, 32, 3], tf.float32)
    for endpoints in (False, True):
        module.__call__.get_concrete_function(spec, return_endpoints=endpoints)
    tf.saved_model.save(module, str(tmp_path / "blind"))
    with pytest.raises(ValueError, match="ignores its input"):
        load_visual(maps_of(tmp_path / "blind"))


def test_the_compact_backbone_has_no_end_points_to_choose():
    with pytest.raises(ValueError, match="one map and no end points.*endpoint='block4'"):
        load_visual(maps_of("compact", endpoint="block4"))
