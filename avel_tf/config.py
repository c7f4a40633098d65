"""One typed configuration for every command, composed of the rooms' own settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from avel_tf.cluster.settings import ClusterSettings
from avel_tf.datasets import DatasetSettings
from avel_tf.datasets.audit.settings import AuditSettings
from avel_tf.embeddings.settings import EmbeddingSettings
from avel_tf.engines.settings import EngineSettings
from avel_tf.features.settings import DataSettings
from avel_tf.inference.settings import (
    InferenceSettings,
    ScreenSettings,
    WatchSettings,
    WebhookSettings,
)
from avel_tf.models.settings import ModelSettings
from avel_tf.serving.settings import ServingSettings
from avel_tf.training.settings import TrainingSettings
from avel_tf.utils.settings import (
    ConfigError,
    Settings,
    expected,
    fields_of,
    metadata,
    section_of,
)
from avel_tf.video.decode_settings import DecodeSettings


class Config(Settings):
    """Every setting, by section; docs/reference/config.md lists them."""

    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    media: DecodeSettings = Field(default_factory=DecodeSettings)
    embeddings: EmbeddingSettings = Field(default_factory=EmbeddingSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    inference: InferenceSettings = Field(default_factory=InferenceSettings)
    screen: ScreenSettings = Field(default_factory=ScreenSettings)
    watch: WatchSettings = Field(default_factory=WatchSettings)
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)
    serving: ServingSettings = Field(default_factory=ServingSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)

    def to_yaml(self) -> str:
        """The whole configuration as YAML, defaults included."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True)


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Loads a configuration from a YAML file and single settings.

    Args:
        path: A YAML file; None takes every default.
        overrides: Settings such as `training.epochs=20`, which replace those of the file. The
            value is read as YAML.

    Raises:
        ConfigError: The file cannot be read, a key is unknown, or a value has the wrong type or is
            out of range.
    """
    content: dict[str, Any] = {}
    if path is not None:
        content = _read_yaml(Path(path))
    for override in overrides:
        _apply(content, override)
    return Config(**{str(section): values for section, values in content.items()})


# A configuration as functions take it: a YAML file, a `Config`, or single settings on top of the
# defaults, as a mapping {"training.epochs": 5} or as a list of "training.epochs=5".
Configuration = str | Path | Config | Mapping[str, Any] | Sequence[str] | None


def resolve_config(config: Configuration, base: str | Path | None = None) -> Config:
    """The `Config` that an argument of a function describes.

    Args:
        config: A `Config`; the path of a YAML file; single settings, as a mapping such as
            `{"training.epochs": 5}` or a list such as `["training.epochs=5"]`; or None.
        base: A YAML file that single settings, or None, are based on; the defaults when None.

    Raises:
        ConfigError: The file cannot be read, or a setting is unknown or out of range.

    Example:
        >>> resolve_config({"training.epochs": 5}).training.epochs
        5
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, str | Path):
        return load_config(config)
    if isinstance(config, Mapping):
        try:
            config = [f"{key}={yaml.safe_dump(value)}" for key, value in config.items()]
        except yaml.YAMLError as error:
            raise ConfigError(f"A setting cannot be written as YAML: {error}") from error
    return load_config(base, config or ())


def differences(began: str, now: Config) -> list[str]:
    """Compares the configuration of an interrupted run with the one that it is to resume with.

    Settings that are `resource_only` may differ. If the version that began the run did not have a
    setting, its value is `before` in the metadata of the field, or else the default.

    Args:
        began: The YAML of the run's configuration, from `Config.to_yaml`.
        now: The configuration to resume with.

    Returns:
        A line with both values for each setting that differs. The run can resume if there is none.

    Raises:
        ConfigError: The run's configuration is not valid YAML.
    """
    try:
        content = yaml.safe_load(began)
    except yaml.YAMLError as error:
        raise ConfigError(f"The run's configuration is not valid YAML: {error}") from error
    return list(_differences(content, now, ""))


def _differences(began: Any, now: Settings, prefix: str) -> Iterator[str]:
    began = began if isinstance(began, dict) else {}
    fields = fields_of(type(now))
    for name in began.keys() - fields.keys():
        yield f"{prefix}{name}: {began[name]!r} then, which this version does not know"
    for name, field in fields.items():
        value = getattr(now, name)
        if isinstance(value, Settings):
            yield from _differences(began.get(name), value, f"{prefix}{name}.")
            continue
        if isinstance(value, tuple):
            value = list(value)  # as in YAML
        then = began.get(name, metadata(field).get("before", field.default))
        if isinstance(then, tuple):
            then = list(then)
        if then != value and not metadata(field).get("resource_only"):
            yield f"{prefix}{name}: {then!r} then, {value!r} now"


def settings_before(began: str) -> list[str]:
    """Settings that a run's configuration lacks and whose default was another in effect.

    Args:
        began: The YAML of the run's configuration, from `Config.to_yaml`.

    Returns:
        Such as `model.clip_evidence=false`, for `load_config`.
    """
    return list(_before(yaml.safe_load(began), Config, ""))


def _before(began: Any, settings: type[Settings], prefix: str) -> Iterator[str]:
    began = began if isinstance(began, dict) else {}
    for name, field in fields_of(settings).items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _before(began.get(name), field.annotation, f"{prefix}{name}.")
        elif name not in began and "before" in metadata(field):
            yield f"{prefix}{name}={json.dumps(metadata(field)['before'])}"


def reference() -> str:
    """Generates docs/reference/config.md, a table of the settings of each section."""
    return _REFERENCE + "".join(_section_table(Config))


_REFERENCE = """\
# Configuration

Every command takes `--config FILE.yaml` and `--set section.key=value`. Python functions take
`config=`: a path, a `Config`, or a mapping such as `{"training.epochs": 20}`. Settings that are
missing have their defaults. Values are YAML; types are strict, and unknown keys are refused.

```yaml
training:
  epochs: 20
embeddings:
  visual:
    module: compact
```

A run resumes only with the settings that it began with, except those marked *, which do not change
its results.

This page is generated: `python -m avel_tf.config > docs/reference/config.md`.
"""


def _section_table(cls: type[Settings]) -> Iterator[str]:
    fields = fields_of(cls)
    values = {name: field for name, field in fields.items() if not section_of(field)}
    if values:
        summary = (cls.__doc__ or "").splitlines()[0]
        yield f"\n## {cls.section}\n\n{summary}\n\n| key | default | expected | description |\n"
        yield "|---|---|---|---|\n"
    for name, field in values.items():
        mark = " *" if metadata(field).get("resource_only") else ""
        default = "one per processor" if field.default_factory else f"`{json.dumps(field.default)}`"
        if isinstance(field.default, tuple):
            default = f"`{', '.join(field.default)}`"
        yield f"| `{name}`{mark} | {default} | {expected(field)} | {field.description} |\n"
    for section in filter(None, map(section_of, fields.values())):
        yield from _section_table(section)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"The configuration {path} must be a mapping of sections such as 'training:'. "
            f"Received: a {type(content).__name__}"
        )
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(
            f"--set takes section.key=value, as in training.epochs=20. Received: {override!r}"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML: {error}") from error
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {section!r} is a value, not a section.")
    content[last] = value


if __name__ == "__main__":
    print(reference(), end="")
