from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.models import load_model, losses_for, training_outputs
from tests.models.conftest import CLASSES, VARIANTS, random_inputs, small_model

VALID = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
TARGETS = np.array([[3, 0, 0, 3], [-1, 2, 3, -1], [-1, -1, -1, -1]])
EVERY = {"logits", "background_gate", "class_activation", "similarity", "contrast"}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small_model("avel", **VARIANTS["every piece"])


def test_outputs_and_their_shapes(model: keras.Model) -> None:
    found = training_outputs(model)(random_inputs(VALID))
    shapes = {name: tuple(array.shape) for name, array in found.items()}
    assert shapes == {
        "logits": (3, 4, CLASSES + 1),
        "background_gate": (3, 4, 1),
        "class_activation": (3, CLASSES),
        "similarity": (3, 4),
        "contrast": (3, 4, 2, 34),
    }
    for name, array in found.items():
        assert keras.backend.standardize_dtype(array.dtype) == "float32", name
        assert np.isfinite(np.asarray(array)).all(), name
    np.testing.assert_array_equal(found["logits"], model(random_inputs(VALID)))


def test_weights_are_those_of_the_model(model: keras.Model) -> None:
    ours = {id(weight) for weight in model.weights}
    assert {id(weight) for weight in training_outputs(model).weights} == ours


def test_a_plain_model_has_logits_only() -> None:
    plain = small_model("bi_avatt", clip_evidence=False)
    assert set(training_outputs(plain).output) == set(losses_for(plain)[0]) == {"logits"}


def test_losses_by_supervision(model: keras.Model) -> None:
    losses, weights = losses_for(model, label_smoothing=0.1, auxiliary_weight=0.5)
    assert set(losses) == set(weights) == EVERY
    assert losses["logits"].label_smoothing == 0.1
    assert weights["logits"] == 1.0 and weights["contrast"] == 0.5
    weak, _ = losses_for(model, supervision="weak", label_smoothing=0.1)
    assert set(weak) == {"logits", "class_activation"}
    assert weak["logits"].label_smoothing == 0.1
    assert type(weak["logits"]) is not type(losses["logits"])


def test_only_the_requested_outputs(model: keras.Model) -> None:
    assert set(training_outputs(model, ("logits", "contrast")).output) == {"logits", "contrast"}


def test_wrong_names_are_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="no training output 'contast'.*mean 'contrast'"):
        training_outputs(model, ("contast",))
    with pytest.raises(ValueError, match="supervision must be .*'week'.*mean 'weak'"):
        losses_for(model, supervision="week")


def test_a_loaded_model_offers_the_same(model: keras.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    inputs = random_inputs(VALID)
    found = training_outputs(load_model(tmp_path / "model.keras"))(inputs)
    for name, array in training_outputs(model)(inputs).items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("supervision", ["full", "weak"])
def test_fit_lowers_every_loss(supervision: str) -> None:
    model = small_model("avel", dropout=0.0, input_dropout=0.0, **VARIANTS["every piece"])
    losses, weights = losses_for(model, supervision=supervision)
    trainee = training_outputs(model, tuple(losses))
    trainee.compile(
        keras.optimizers.Adam(1e-2), loss=losses, loss_weights=weights, jit_compile=False
    )
    before = [np.array(weight) for weight in model.trainable_weights]
    history = trainee.fit(
        random_inputs(VALID),
        dict.fromkeys(losses, TARGETS),
        sample_weight=dict.fromkeys(losses, VALID.astype("float32")),
        epochs=30,
        verbose=0,
    ).history
    for name in losses:
        # Some epoch, not the last: a few random clips at this rate make the losses jump.
        assert min(history[f"{name}_loss"]) < history[f"{name}_loss"][0], name
    pairs = zip(model.trainable_weights, before, strict=True)
    moved = [np.abs(np.asarray(weight) - old).max() for weight, old in pairs]
    assert min(moved) > 0
