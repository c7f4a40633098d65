from __future__ import annotations

import random
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from avel_tf.models import MODELS, ModelSettings, SegmentCrossEntropy, build
from avel_tf.utils.lazy_imports import root_logger_restored
from tests.models.conftest import (
    AUDIO_WIDTH,
    CLASSES,
    VARIANTS,
    VISUAL_WIDTH,
    random_inputs,
    small_model,
)
from tests.models.layer_testing import run_layer_test

HOLES = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]], bool)
# Kernels and biases: projection 4 (with its norm), attention 10 (with its norm), LSTM 6, logits 2.
TRAINABLE = {"avel": 56, "bi_avatt": 26, "bi_vaatt": 26, "audio_only": 22, "visual_only": 22}
# Two projections 8, two self-attentions 20, LSTM 6. The first: propagation 10, gates 4, activations
# 4, encoder 2, head 6. The second: activations 4, logits 2. The third: spatial attention 7.
TRAINABLE_VARIANTS = {"every piece": 60, "activation": 40, "spatial attention": 63}


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")  # T = 1 is meant
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "avel" else [pytest.mark.slow]) for name in MODELS],
)
def test_model(name: str, tmp_path: Path) -> None:
    run_layer_test(
        lambda: small_model(name),
        random_inputs(HOLES),
        expected_shape=(3, 6, CLASSES + 1),
        expected_dtype="float32",
        expected_trainable=TRAINABLE[name],
        tmp_path=tmp_path,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.parametrize("variant", VARIANTS)
def test_avel_of_other_pieces(variant: str, tmp_path: Path) -> None:
    run_layer_test(
        lambda: small_model("avel", **VARIANTS[variant]),
        random_inputs(HOLES),
        expected_shape=(3, 6, CLASSES + 1),
        expected_dtype="float32",
        expected_trainable=TRAINABLE_VARIANTS[variant],
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_the_factorised_head(name: str) -> None:
    model = small_model(name, head="factorised")
    assert "event_relevance" in {layer.name for layer in model.layers}
    assert model(random_inputs(HOLES)).shape == (3, 6, CLASSES + 1)


def test_inputs_are_the_same_for_every_model(model: keras.Model) -> None:
    assert set(model.input) == {"visual", "audio", "valid"}
    assert model.input["valid"].dtype == "bool"
    assert model.output.shape == (None, None, CLASSES + 1)
    names = [layer.name for layer in model.layers]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "ignored"), [("audio_only", "visual"), ("visual_only", "audio")])
def test_single_modality_ignores_the_other(name: str, ignored: str) -> None:
    model, inputs = small_model(name), random_inputs(HOLES)
    expected = model(inputs)
    np.testing.assert_array_equal(
        model({**inputs, ignored: np.full_like(inputs[ignored], np.nan)}), expected
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["avel", "bi_avatt", "bi_vaatt"])
def test_the_others_use_both(name: str) -> None:
    model, inputs = small_model(name), random_inputs(HOLES)
    expected = model(inputs)
    for modality in ("visual", "audio"):
        changed = {**inputs, modality: -inputs[modality]}
        assert np.abs(np.asarray(model(changed) - expected)).max() > 1e-4, modality


def test_same_seed_same_weights() -> None:
    first = small_model("avel", seed=3)
    random.seed(99)
    keras.utils.set_random_seed(1234)
    again = small_model("avel", seed=3)
    other = small_model("avel", seed=4)
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert any(
        (np.asarray(a) != np.asarray(b)).any()
        for a, b in zip(first.trainable_weights, other.trainable_weights, strict=True)
    )


def test_same_seed_same_dropout_after_loading_too(tmp_path: Path) -> None:
    inputs = random_inputs(HOLES)
    first, again = (small_model("avel", seed=3, dropout=0.5) for _ in range(2))
    first.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    expected = first(inputs, training=True)
    np.testing.assert_array_equal(again(inputs, training=True), expected)
    np.testing.assert_array_equal(loaded(inputs, training=True), expected)
    assert (np.asarray(expected) != np.asarray(first(inputs))).any()


def test_global_random_state_is_left_alone() -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    small_model("audio_only", seed=1)
    assert random.random() == expected


def test_kernels_of_one_attention_start_different() -> None:
    attention = small_model("bi_avatt").get_layer("audio_to_visual_attention")
    query, key = attention.query_dense.kernel, attention.key_dense.kernel
    assert np.abs(np.asarray(query) - np.asarray(key)).max() > 0.1


@pytest.mark.parametrize("size", ["visual_width", "audio_width", "classes", "visual_places"])
def test_wrong_size_is_refused(size: str) -> None:
    sizes = {"visual_width": 4, "audio_width": 4, "classes": 4, size: 0}
    with pytest.raises(ValueError, match=f"Received: {size}=0"):
        build(ModelSettings(), **sizes)


@pytest.mark.slow
def test_overfits_eight_clips() -> None:
    model = small_model("avel", width=32, lstm_units=32, dropout=0.0, input_dropout=0.0)
    valid = np.ones((8, 4), bool)
    valid[:4, 3:] = False
    inputs = random_inputs(valid)
    inputs["audio"] = (inputs["audio"] - 100) / 50
    inputs["visual"] = (inputs["visual"] - 3) / 2
    targets = np.random.default_rng(1).integers(0, CLASSES + 1, valid.shape)
    targets[~valid] = -1
    model.compile(
        keras.optimizers.Adam(1e-2),
        SegmentCrossEntropy(),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    history = model.fit(
        inputs, targets, sample_weight=valid.astype("float32"), epochs=40, verbose=0, shuffle=False
    ).history
    assert history["accuracy"][-1] == 1.0
    assert history["loss"][-1] < history["loss"][0] / 5


@pytest.mark.slow
def test_saved_model_needs_nothing_of_ours(tmp_path: Path) -> None:
    """With every piece; exports have the default (tests/export/test_saved_model.py)."""
    model, inputs = small_model("avel", **VARIANTS["every piece"]), random_inputs(HOLES)
    module = tf.Module()
    module.model = model
    signature = [
        tf.TensorSpec((None, None, 12), tf.float32, "visual"),
        tf.TensorSpec((None, None, 7), tf.float32, "audio"),
        tf.TensorSpec((None, None), tf.bool, "valid"),
    ]

    @tf.function(input_signature=signature)
    def logits(visual: tf.Tensor, audio: tf.Tensor, valid: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": model({"visual": visual, "audio": audio, "valid": valid})}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures=logits)
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answer = served(**{name: tf.constant(array) for name, array in inputs.items()})["logits"]
    np.testing.assert_allclose(answer, model(inputs), atol=1e-6)
    operations = {op.type for op in served.graph.get_operations()}
    operations |= {
        node.op for f in served.graph.as_graph_def().library.function for node in f.node_def
    }
    assert not {op for op in operations if "Cudnn" in op or "PyFunc" in op or "Xla" in op}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_openvino_agrees(variant: str, tmp_path: Path) -> None:
    """Converted as the engine does it: from a SavedModel, any B and T, every second valid."""
    import openvino

    model, inputs = small_model("avel", **VARIANTS[variant]), random_inputs(np.ones((3, 6), bool))
    specs = [tf.TensorSpec((None, None, width)) for width in (VISUAL_WIDTH, AUDIO_WIDTH)]
    module = tf.Module()
    module.model = model

    @tf.function(input_signature=specs)
    def logits(visual: tf.Tensor, audio: tf.Tensor) -> tf.Tensor:
        valid = tf.ones(tf.shape(visual)[:2], tf.bool)  # [B, T]
        return model({"visual": visual, "audio": audio, "valid": valid}, training=False)

    module.logits = logits
    tf.saved_model.save(module, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    concrete = tf.function(loaded.logits, autograph=False).get_concrete_function(*specs)
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    with root_logger_restored():
        converted = openvino.convert_model(concrete)
    compiled = openvino.Core().compile_model(converted, "CPU", precise)
    found = compiled([inputs["visual"], inputs["audio"]])[0]
    np.testing.assert_allclose(found, model(inputs), atol=1e-4)
