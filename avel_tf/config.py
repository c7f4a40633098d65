"""One typed configuration for every command, composed of the rooms' own settings."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from avel_tf.datasets import DatasetSettings
from avel_tf.datasets.audit.settings import AuditSettings
from avel_tf.embeddings.settings import EmbeddingSettings
from avel_tf.engines.settings import EngineSettings
from avel_tf.features.settings import DataSettings
from avel_tf.inference.settings import InferenceSettings
from avel_tf.models.settings import ModelSettings
from avel_tf.training.settings import TrainingSettings
from avel_tf.video.decode_settings import DecodeSettings

# A number that YAML 1.1 takes for text, because it has an exponent and no dot: 1e-3.
_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")

# How much of the machine a run takes: it may go on with another share of it.
CHANGE_NO_RESULT = frozenset(
    {"training.memory_gb", "data.workers", "media.threads", "engine.cache"}
)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which key and what to write."""


@dataclass(frozen=True)
class Config:
    """Everything that can be set, by section."""

    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    media: DecodeSettings = field(default_factory=DecodeSettings)
    embeddings: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)

    def to_yaml(self) -> str:
        """The resolved configuration, every key spelled out."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True)


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """The configuration of a file, with settings from the command line on top.

    Args:
        path: A YAML file; `None` takes every default.
        overrides: `a.b=c` each; the value is read as YAML.

    Returns:
        The configuration.

    Raises:
        ConfigError: For a file that cannot be read, an unknown key (with the nearest right
            name), a value of the wrong type or out of its range.
    """
    content: dict[str, Any] = {}
    if path is not None:
        content = _read_yaml(Path(path))
    for override in overrides:
        _apply(content, override)
    return _build(Config, content, "")


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
            # Every JSON text is YAML, the language of overrides.
            config = [f"{key}={json.dumps(value)}" for key, value in config.items()]
        except TypeError as error:
            raise ConfigError(f"A setting cannot be written as YAML: {error}") from error
    return load_config(base, config or ())


def differences(began: str, now: Config) -> list[str]:
    """The settings in which a run that began earlier would go on otherwise than it began.

    What changes no result may differ. A setting that the run's version did not have yet is held
    against what that version did: `before` in the setting's metadata, its default otherwise.

    Args:
        began: What `Config.to_yaml` wrote when the run began.
        now: The configuration that it is to go on with.

    Returns:
        A line for each such setting, with both values; none when the run may go on.

    Raises:
        ConfigError: The run's configuration is no YAML.
    """
    try:
        content = yaml.safe_load(began)
    except yaml.YAMLError as error:
        raise ConfigError(f"The run's configuration is not valid YAML: {error}") from error
    return list(_differences(content if isinstance(content, dict) else {}, now, ""))


def _differences(began: dict[str, Any], now: Any, prefix: str) -> Iterator[str]:
    known = dataclasses.fields(now)
    for name in began.keys() - {each.name for each in known}:
        yield f"{prefix}{name}: {began[name]!r} then, which this version does not know"
    for each in known:
        key, value = prefix + each.name, getattr(now, each.name)
        if dataclasses.is_dataclass(value):
            section = began.get(each.name, {})
            yield from _differences(section if isinstance(section, dict) else {}, value, key + ".")
            continue
        if isinstance(value, tuple):
            value = list(value)  # as YAML has it
        then = began.get(each.name, each.metadata.get("before", each.default))
        if then != value and key not in CHANGE_NO_RESULT:
            yield f"{key}: {then!r} then, {value!r} now"


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


def _build(cls: Any, content: dict[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    names = [each.name for each in dataclasses.fields(cls)]
    values = {}
    for key, value in content.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            meant = f" Did you mean {prefix}{near[0]}?" if near else ""
            raise ConfigError(
                f"Unknown setting {prefix}{key}.{meant} "
                f"{'Under ' + prefix[:-1] if prefix else 'At the top'} there are: "
                f"{', '.join(names)}."
            )
        values[key] = _value(hints[key], value, f"{prefix}{key}")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _value(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{key} is a section with keys of its own. Received: {value!r}")
        return _build(hint, value, key + ".")
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    try:
        return TypeAdapter(hint, config=ConfigDict(strict=True)).validate_python(
            tuple(value) if isinstance(value, list) else value
        )
    except ValidationError as error:
        raise ConfigError(
            f"{key} must be {_describe(hint)}. Received: {value!r} ({type(value).__name__})"
        ) from error


def _describe(hint: Any) -> str:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join(_describe(each) for each in typing.get_args(hint))
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return "null" if hint is type(None) else words.get(hint, str(hint))
