"""One configuration, and a sentence for every way to get it wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from avel_tf.config import Config, ConfigError, differences, load_config, reference
from avel_tf.utils.settings import Settings, fields_of, metadata, section_of

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


@settings(max_examples=25)  # PyYAML takes 20 ms each
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
    "training.epohcs=3": "Unknown setting training.epohcs. Did you mean 'epochs'?",
    "trainig.epochs=3": "Unknown setting trainig. Did you mean 'training'? Sections: dataset",
    "embeddings.visual.modul=x": "embeddings.visual.modul. Did you mean 'module'?",
    "zzz=3": "Unknown setting zzz. Sections: dataset, audit",
    "training.zzz=3": "Unknown setting training.zzz. Settings of training: epochs",
    "training.epochs=3.5": "training.epochs must be a whole number of at least 1. Received: 3.5",
    "training.epochs=three": "training.epochs must be a whole number of at least 1. "
    "Received: 'three'",
    "training.epochs='3'": "Received: '3'",
    "training.epochs=true": "Received: True",
    "training.epochs=": "Received: None",
    "training.epochs=[1]": "training.epochs must be a whole number",
    "training.epochs=0": "training.epochs must be a whole number of at least 1. Received: 0",
    "training.learning_rate=fast": "training.learning_rate must be a number above 0. "
    "Received: 'fast'",
    "training.learning_rate=0": "training.learning_rate must be a number above 0",
    "training.learning_rate=.nan": "training.learning_rate must be a number above 0",
    "training.learning_rate=.inf": "training.learning_rate must be a number above 0",
    "training.weight_decay=.nan": "training.weight_decay must be a number of at least 0",
    "training.label_smoothing=1": "a number of at least 0 and below 1. Received: 1",
    "training.seed=-1": "training.seed must be a whole number of at least 0",
    "training.supervision=week": "one of full, weak. Received: 'week'. Did you mean 'weak'?",
    "training.augmentation.mixup=-1": "training.augmentation.mixup must be a number of at least 0",
    "media.max_pixels=0": "media.max_pixels must be a whole number above 0",
    "media.max_seconds=.nan": "media.max_seconds must be a number above 0",
    "media.codecs=h264": "media.codecs must be a list of names. Received: 'h264'",
    "media.codecs=[h264, 3]": "media.codecs must be a list of names",
    "media.codecs=[h265]": "media.codecs contains 'h265'",
    "embeddings.visual.module=3": "embeddings.visual.module must be text. Received: 3",
    "embeddings.visual.size=big": "a whole number of at least 16 and at most 1024 or null",
    "embeddings.visual.size=8": "embeddings.visual.size must be a whole number of at least 16",
    "embeddings.visual.endpoint=x": "requires embeddings.visual.maps=true",
    "audit.quick=1": "audit.quick must be true or false",
    "dataset.test_fraction=0.9": "must add up to less than 1",
    "training=3": "training must be a section with keys of its own. Received: 3",
    "training.epochs.more=3": "training.epochs must be a whole number",
    "model.name=avl": "one of avel, bi_avatt, bi_vaatt, audio_only, visual_only. Received: 'avl'. "
    "Did you mean 'avel'?",
    "inference.hop_seconds=11": "must not exceed inference.window_seconds",
    "inference.batch_clips=0": "inference.batch_clips must be a whole number of at least 1",
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
        (b"training:\n", "training must be a section with keys of its own"),
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


# Every field


def leaves(cls: type[Settings] = Config) -> Iterator[tuple[str, type[Settings], str]]:
    """Key, class and name of every setting."""
    for name, field in fields_of(cls).items():
        section = section_of(field)
        if section:
            yield from leaves(section)
        else:
            yield f"{cls.section}.{name}", cls, name


LEAVES = [pytest.param(*leaf, id=leaf[0]) for leaf in leaves()]


def outside(cls: type[Settings], name: str) -> Iterator[Any]:
    """Values of the right type that are out of the range of a field."""
    for limit in fields_of(cls)[name].metadata:
        if isinstance(limit, Ge):
            yield limit.ge - 1
        elif isinstance(limit, Gt):
            yield limit.gt
        elif isinstance(limit, Le):
            yield limit.le + 1
        elif isinstance(limit, Lt):
            yield limit.lt


@pytest.mark.parametrize(("key", "cls", "name"), LEAVES)
def test_invalid_values_are_refused_with_their_key(key, cls, name):
    wrong = [b"bytes", {"a": 1}, *outside(cls, name)]
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{key} must be .* Received: ") as from_python:
            cls(**{name: value})
        with pytest.raises(ConfigError) as from_yaml:
            *sections, last = key.split(".")
            content: Any = {last: value}
            for section in reversed(sections):
                content = {section: content}
            Config(**content)
        assert str(from_yaml.value) == str(from_python.value)


@pytest.mark.parametrize(("key", "cls", "name"), LEAVES)
def test_every_setting_is_described(key, cls, name):
    field = fields_of(cls)[name]
    assert field.description and field.description.endswith(".")
    assert metadata(field).keys() <= {"resource_only", "before"}


@settings(max_examples=50)  # as above
@given(data=st.data())
def test_any_configuration_survives_yaml(data):
    values: dict[str, Any] = {}
    for key, cls, name in data.draw(st.sets(st.sampled_from(list(leaves())), max_size=6)):
        least, most = in_range(cls, name)
        default = getattr(cls(), name)
        if isinstance(default, bool):
            values[key] = data.draw(st.booleans())
        elif isinstance(default, int):
            values[key] = data.draw(st.integers(math.ceil(least), min(math.floor(most), 2**60)))
        elif isinstance(default, float):
            values[key] = data.draw(st.floats(least, most, exclude_min=True, exclude_max=True))
    try:
        config = load_config(None, [f"{key}={json.dumps(value)}" for key, value in values.items()])
    except ConfigError as error:
        assert "must" in str(error)  # a rule that concerns several settings
        return
    content = {str(name): part for name, part in yaml.safe_load(config.to_yaml()).items()}
    assert Config(**content) == config
    assert differences(config.to_yaml(), config) == []


def in_range(cls: type[Settings], name: str) -> tuple[float, float]:
    limits = fields_of(cls)[name].metadata
    least = [each.ge for each in limits if isinstance(each, Ge)]
    least += [each.gt + 1 for each in limits if isinstance(each, Gt)]
    most = [each.le for each in limits if isinstance(each, Le)]
    most += [each.lt - 1e-9 for each in limits if isinstance(each, Lt)]
    return float(min(least, default=0)), float(min(most, default=1e9))


def test_the_reference_page_is_the_generated_one():
    page = PIPELINES.parent / "docs" / "reference" / "config.md"
    assert page.read_text("utf-8") == reference(), "run python -m avel_tf.config > " + str(page)


def test_settings_are_frozen_dataclasses():
    settings = Config().training
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.epochs = 3
    with pytest.raises(ConfigError, match="training.epochs must be"):
        dataclasses.replace(settings, epochs=0)


# A run that goes on


def test_a_run_goes_on_with_its_own_settings():
    config = load_config(None, ["training.epochs=7", "embeddings.visual.module=compact"])
    assert differences(config.to_yaml(), config) == []
    assert differences(Config().to_yaml(), config) != []


@pytest.mark.parametrize(
    "setting",
    ["training.memory_gb=3.5", "data.workers=7", "media.threads=2", "audit.workers=99"],
)
def test_how_much_of_the_machine_is_taken_may_change(setting):
    assert differences(Config().to_yaml(), load_config(None, [setting])) == []


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


class Section(Settings, section="room"):
    rate: float = Field(default=0.2, json_schema_extra={"before": 0.0})


class Whole(Settings):
    room: Section = Field(default_factory=Section)


def test_an_older_run_has_the_value_before_a_setting():
    assert differences("{}", Whole()) == ["room.rate: 0.0 then, 0.2 now"]
    assert differences("room: {rate: 0.2}", Whole()) == []


def test_a_run_of_a_later_version():
    began = Config().to_yaml().replace("  patience:", "  haste:")
    assert differences(began, Config()) == [
        "training.haste: None then, which this version does not know"
    ]
