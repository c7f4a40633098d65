from __future__ import annotations

import subprocess
import sys

import pytest

from avel_tf.models import MODELS, ModelSettings


def test_defaults_are_valid() -> None:
    assert MODELS[0] == ModelSettings().name == "avel"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "bi_avat"}, "model.name .* 'bi_avat'. Did you mean 'bi_avatt'"),
        ({"name": "AUDIO"}, "model.name must be one of avel, .* Received: 'AUDIO'"),
        ({"width": 0}, "width .* Received: 0"),
        ({"width": 12.0}, "width .* Received: 12.0"),
        ({"lstm_units": True}, "lstm_units .* Received: True"),
        ({"width": 10, "heads": 4}, "multiple of model.heads"),
        ({"dropout": 1.0}, "dropout .* Received: 1.0"),
        ({"head": "factorized"}, "'factorized'. Did you mean 'factorised'"),
        ({"cross_modal": "atention"}, "Did you mean 'attention'"),
        ({"contrast": 1}, "contrast must be true or false. Received: 1"),
        (
            {"name": "bi_avatt", "background_gate": True},
            "background_gate is an option",
        ),
        ({"name": "audio_only", "cross_modal": "none"}, "cross_modal='none' for the baseline"),
        ({"input_dropout": "0.1"}, "input_dropout .* Received: '0.1'"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ModelSettings(**wrong)


def test_settings_load_without_keras() -> None:
    code = (
        "import sys; from avel_tf.models import MODELS, ModelSettings; ModelSettings();"
        "assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
