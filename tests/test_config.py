"""One configuration, and a sentence for every way to get it wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.config import CHANGE_NO_RESULT, Config, ConfigError, differences, load_config

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"


def test_no_file_means_the_defaults():
    assert load_config() == Config()


def test_a_file_and_settings_on_top(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("training:\n  epochs: 7\n  seed: 3\n")
    config = load_config(path, ["training.epochs=9", "embeddings.visual.module=compact"])
    assert (config.training.epochs, config.training.seed) == (9, 3)
    assert config.embeddings.visual.module == "compact"
    assert config.embeddings.audio == Config().embeddings.audio


def test_the_last_setting_wins():
    assert load_config(None, ["training.seed=1", "training.seed=2"]).training.seed == 2


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "training: {}\n"])
def test_files_that_say_nothing(tmp_path, text):
    (tmp_path / "empty.yaml").write_text(text)
    assert load_config(tmp_path / "empty.yaml") == Config()


@given(
    epochs=st.integers(1, 999),
    rate=st.floats(1e-6, 1.0),
    module=st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1),
)
def test_what_it_writes_it_reads_again(tmp_path_factory, epochs, rate, module):
    config = load_config(None)
    config = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, epochs=epochs, learning_rate=rate),
        embeddings=dataclasses.replace(
            config.embeddings,
            visual=dataclasses.replace(config.embeddings.visual, module=module),
        ),
    )
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(path) == config
    assert load_config(path).to_yaml() == config.to_yaml()


@pytest.mark.parametrize("name", sorted(path.name for path in PIPELINES.glob("*.yaml")))
def test_the_recipes_that_ship_can_be_read(name):
    assert load_config(PIPELINES / name) != Config()


def test_the_resolved_file_spells_everything_out():
    def keys(section: object) -> dict:
        return {
            field.name: keys(getattr(section, field.name))
            if dataclasses.is_dataclass(getattr(section, field.name))
            else None
            for field in dataclasses.fields(section)
        }

    def of_yaml(content: dict) -> dict:
        return {k: of_yaml(v) if isinstance(v, dict) else None for k, v in content.items()}

    assert of_yaml(yaml.safe_load(Config().to_yaml())) == keys(Config())


# Numbers as people write them


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "1E-3", "+1e-3"])
def test_a_rate_in_any_spelling(text, tmp_path):
    """YAML 1.1 takes 1e-3 for text."""
    assert load_config(None, [f"training.learning_rate={text}"]).training.learning_rate == 1e-3
    (tmp_path / "c.yaml").write_text(f"training:\n  learning_rate: {text}\n")
    assert load_config(tmp_path / "c.yaml").training.learning_rate == 1e-3


def test_a_whole_number_serves_as_a_number():
    assert load_config(None, ["training.learning_rate=1"]).training.learning_rate == 1


def test_null_where_it_means_something():
    assert load_config(None, ["data.workers=null"]).data.workers is None


# What is refused


REFUSALS = {
    "training.epohcs=3": "Unknown setting training.epohcs. Did you mean training.epochs?",
    "trainig.epochs=3": "Unknown setting trainig. Did you mean training?",
    "embeddings.visual.modul=x": "Did you mean embeddings.visual.module?",
    "zzz=3": "At the top there are: dataset",
    "training.zzz=3": "Under training there are: epochs",
    "training.epochs=3.5": "training.epochs must be a whole number. Received: 3.5",
    "training.epochs=three": "training.epochs must be a whole number. Received: 'three'",
    "training.epochs=true": "training.epochs must be a whole number. Received: True",
    "training.epochs=": "training.epochs must be a whole number. Received: None",
    "training.epochs=[1]": "training.epochs must be a whole number",
    "training.epochs=0": "training.epochs must be at least 1. Received: 0",
    "training.learning_rate=fast": "training.learning_rate must be a number. Received: 'fast'",
    "training.learning_rate=0": "training.learning_rate must be above 0",
    "training.learning_rate=.nan": "training.learning_rate must be above 0",
    "training.weight_decay=.nan": "training.weight_decay must not be negative",
    "training.label_smoothing=1": "training.label_smoothing must lie in",
    "training.seed=-1": "training.seed must lie in",
    "embeddings.visual.module=3": "embeddings.visual.module must be text. Received: 3",
    "embeddings.visual.size=big": "embeddings.visual.size must be a whole number or null",
    "embeddings.visual.size=8": "embeddings.visual.size must lie between 16 and 1024",
    "audit.quick=1": "audit.quick must be true or false",
    "training=3": "training is a section with keys of its own. Received: 3",
    "training.epochs.more=3": "training.epochs must be a whole number",
    "model.name=avl": "the nearest is 'avel'",
    "inference.hop_seconds=11": "must not exceed inference.window_seconds",
    "inference.batch_clips=0": "inference.batch_clips must be at least 1",
    "training.epochs": "--set takes section.key=value",
    "=3": "--set takes section.key=value",
    "training.epochs=[1": "the value is not valid YAML",
}


@pytest.mark.parametrize("setting", REFUSALS)
def test_a_setting_that_is_refused(setting):
    with pytest.raises(ConfigError) as refused:
        load_config(None, [setting])
    assert REFUSALS[setting] in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"- a\n- b\n", "must be a mapping of sections such as 'training:'. Received: a list"),
        (b"training: [\n", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        (b"training:\n", "training is a section with keys of its own"),
        (b"training:\n  3: 4\n", "Unknown setting training.3."),
    ],
)
def test_a_file_that_is_refused(tmp_path, text, sentence):
    (tmp_path / "bad.yaml").write_bytes(text)
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path / "bad.yaml")
    assert sentence in str(refused.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="none.yaml cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")


def test_a_setting_inside_a_value(tmp_path):
    (tmp_path / "c.yaml").write_text("training: 5\n")
    with pytest.raises(ConfigError, match="'training' is a value, not a section"):
        load_config(tmp_path / "c.yaml", ["training.epochs=3"])


# A run that goes on


def test_a_run_goes_on_with_its_own_settings():
    config = load_config(None, ["training.epochs=7", "embeddings.visual.module=compact"])
    assert differences(config.to_yaml(), config) == []
    assert differences(Config().to_yaml(), config) != []


@pytest.mark.parametrize("setting", ["training.memory_gb=3.5", "data.workers=7", "media.threads=2"])
def test_how_much_of_the_machine_is_taken_may_change(setting):
    assert differences(Config().to_yaml(), load_config(None, [setting])) == []


def test_every_setting_that_may_change_exists():
    for key in CHANGE_NO_RESULT:
        section, name = key.split(".")
        assert hasattr(getattr(Config(), section), name)


def test_both_values_of_what_changed_are_told():
    now = load_config(None, ["training.learning_rate=0.5", "training.augmentation.mixup=0.2"])
    assert differences(Config().to_yaml(), now) == [
        "training.learning_rate: 0.001 then, 0.5 now",
        "training.augmentation.mixup: 0.0 then, 0.2 now",
    ]


def test_a_run_of_before_a_setting_goes_on_where_that_is_off():
    began = yaml.safe_load(Config().to_yaml())
    del began["training"]["augmentation"], began["training"]["weight_averaging"]
    began = yaml.safe_dump(began)
    assert differences(began, load_config(None, ["training.weight_averaging=0"])) == []
    now = load_config(None, ["training.weight_averaging=0.9"])
    assert differences(began, now) == ["training.weight_averaging: 0.0 then, 0.9 now"]


def test_a_default_that_changed_later_is_no_default_of_an_older_run():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        rate: float = dataclasses.field(default=0.2, metadata={"before": 0.0})

    @dataclasses.dataclass(frozen=True)
    class Whole:
        room: Settings = dataclasses.field(default_factory=Settings)

    assert differences("{}", Whole()) == ["room.rate: 0.0 then, 0.2 now"]
    assert differences("room: {rate: 0.2}", Whole()) == []


def test_a_run_of_a_later_version():
    began = Config().to_yaml().replace("  patience:", "  haste:")
    assert differences(began, Config()) == [
        "training.haste: None then, which this version does not know"
    ]
