from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.models import load_model
from tests.models.conftest import random_inputs, small_model

VALID = np.array([[1, 1, 0, 1]], bool)


@pytest.mark.slow
def test_loads_in_a_process_that_imports_only_the_models(tmp_path: Path) -> None:
    model, inputs = small_model("avel"), random_inputs(VALID)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    code = (
        "import sys; from avel_tf.models import load_model\n"
        "model = load_model(sys.argv[1] + '/model.keras')\n"
        "import numpy as np\n"
        "inputs = dict(np.load(sys.argv[1] + '/inputs.npz'))\n"
        "np.save(sys.argv[1] + '/logits.npy', model(inputs))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), model(inputs), atol=1e-6)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No model file at .*none\.keras"):
        load_model(tmp_path / "none.keras")


def test_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "text.keras"
    path.write_text("not a model")
    with pytest.raises(ValueError, match=r"text\.keras is not a \.keras file"):
        load_model(path)


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    small_model("audio_only").save(path)
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 3
    damaged[middle : middle + 2000] = bytes(2000)
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded"):
        load_model(path)


def test_another_keras_model(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="other").save(path)
    with pytest.raises(ValueError, match=r"contains the Keras model 'other'"):
        load_model(path)


def test_code_in_the_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "lambda.keras"
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs), name="avel").save(path)
    with pytest.raises(ValueError, match="safe loading refuses"):
        load_model(path)
