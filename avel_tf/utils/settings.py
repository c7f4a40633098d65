"""Base class of the settings: frozen pydantic dataclasses with messages for users."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from typing import TYPE_CHECKING, Any, ClassVar

import annotated_types as at
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from avel_tf.utils.text import did_you_mean

# Integers are not read from text or from booleans, as `strict` has it.
_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)
# A number that YAML 1.1 reads as text, because it has an exponent and no dot: 1e-3.
_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class ConfigError(ValueError):
    """A configuration that cannot be used. The message names the key and the valid values."""


class _SettingsType(type):
    """Accepts values as YAML gives them, and turns pydantic's errors into one sentence."""

    def __call__(cls, *args: Any, **values: Any) -> Any:
        fields = fields_of(cls)
        values = {
            name: _from_yaml(value, fields[name]) if name in fields else value
            for name, value in values.items()
        }
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise ConfigError(_sentence(cls, error.errors()[0])) from None


@typing.dataclass_transform(frozen_default=True, field_specifiers=(Field,))
class Settings(metaclass=_SettingsType):
    """Base class of one section of the configuration.

    A subclass is a frozen dataclass, so `dataclasses.replace`, `fields` and `asdict` apply. Types
    are strict, unknown names are refused, and limits are arguments of `pydantic.Field`. Metadata of
    a field are in its `json_schema_extra`:

    - `resource_only`: True if the setting cannot change the result of a run that is resumed.
    - `before`: the value that versions without the setting used in effect, if it is not today's
      default.

    Args:
        section: Path of the section in the configuration, such as `embeddings.visual`.

    Raises:
        ConfigError: A name is unknown, or a value has the wrong type or is out of range.

    Example:
        >>> class TrainingSettings(Settings, section="training"):
        ...     epochs: int = Field(default=60, ge=1, description="Passes over the split.")
    """

    section: ClassVar[str]
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls, section: str = "") -> None:
        cls.section = section
        dataclass(cls, frozen=True, config=_CONFIG)

    def result_settings(self) -> dict[str, Any]:
        """Settings by name, without those that are `resource_only`."""
        return {
            name: getattr(self, name)
            for name, field in fields_of(type(self)).items()
            if not metadata(field).get("resource_only")
        }


def fields_of(cls: type) -> dict[str, FieldInfo]:
    """Fields of a settings class, with limits, descriptions and metadata."""
    return cls.__pydantic_fields__  # type: ignore[attr-defined]


def metadata(field: FieldInfo) -> dict[str, Any]:
    """`resource_only` and `before` of a field, where they are set."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def section_of(field: FieldInfo) -> type[Settings] | None:
    """The settings class of a field that holds a section, None for a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def expected(field: FieldInfo) -> str:
    """Describes the valid values of a field, such as `a whole number of at least 1 or null`."""
    if section_of(field):
        return "a section with keys of its own"
    kind, optional = _kind(field)
    if typing.get_origin(kind) is typing.Literal:
        words = "one of " + ", ".join(typing.get_args(kind))
    elif typing.get_origin(kind) is tuple:
        words = "a list of names"
    else:
        words = _KINDS[kind]
    limits = {type(each): each for each in field.metadata}
    above = [f"of at least {limits[at.Ge].ge}"] if at.Ge in limits else []
    above += [f"above {limits[at.Gt].gt}"] if at.Gt in limits else []
    below = [f"at most {limits[at.Le].le}"] if at.Le in limits else []
    below += [f"below {limits[at.Lt].lt}"] if at.Lt in limits else []
    return " ".join([words, *[" and ".join(above + below)][: bool(above + below)]]) + (
        " or null" if optional else ""
    )


def _kind(field: FieldInfo) -> tuple[Any, bool]:
    """The type of a field without None, and True if None is valid."""
    hint = field.annotation
    if not isinstance(hint, types.UnionType) and typing.get_origin(hint) is not typing.Union:
        return hint, False
    kinds = typing.get_args(hint)
    return next(each for each in kinds if each is not types.NoneType), types.NoneType in kinds


def _from_yaml(value: Any, field: FieldInfo) -> Any:
    """Converts a mapping to its section, a list to a tuple, and `1e-3` to a number."""
    section = section_of(field)
    if section and isinstance(value, dict):
        return section(**{str(name): each for name, each in value.items()})
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and _kind(field)[0] is float and _EXPONENT.fullmatch(value):
        return float(value)
    return value


def _sentence(cls: Any, error: ErrorDetails) -> str:
    """Error message for the first invalid setting."""
    if error["type"] == "value_error":  # raised by a validator, with its own message
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    key = f"{cls.section}.{name}" if cls.section else name
    fields = fields_of(cls)
    if name not in fields:
        place = f"Settings of {cls.section}" if cls.section else "Sections"
        return f"Unknown setting {key}.{did_you_mean(name, fields)} {place}: {', '.join(fields)}."
    field, value = fields[name], error["input"]
    choices = typing.get_args(_kind(field)[0]) if error["type"] == "literal_error" else ()
    return (
        f"{key} must be {expected(field)}. Received: {value!r}.{did_you_mean(str(value), choices)}"
    )
