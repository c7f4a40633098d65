"""Recipe of features: models refuse features of another recipe."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings

# What is written down beside the recipe; a difference here is worth knowing, not a refusal.
LIBRARIES = ("tensorflow", "keras", "tensorflow-hub", "tensorflow-io", "av", "opencv-python")


class RecipeMismatchError(ValueError):
    """Features of one recipe met a model of another."""


@dataclass(frozen=True)
class VisualRecipe:
    """Module, hash of its weights, F, size in pixels, and Dv.

    Maps have more than one place: Dv is then places x channels, place by place, row by row of the
    picture; `endpoint` is where in a TF-Hub module they come from.
    """

    module: str
    sha256: str
    frames_per_second: int
    size: int
    width: int
    places: int = 1
    endpoint: str | None = None

    def decode_request(
        self,
        path: str | os.PathLike,
        settings: DecodeSettings | None = None,
        seconds: int | None = None,
    ) -> DecodeRequest:
        """The request to decode a file as these features need it; `seconds` limits its length."""
        size = (self.size, self.size)
        settings = settings or DecodeSettings()
        return DecodeRequest(path, self.frames_per_second, size, seconds, settings=settings)


@dataclass(frozen=True)
class AudioRecipe:
    """Module, hash of its weights, rate in Hz, activation, and Da."""

    module: str
    sha256: str
    sample_rate: int
    activation: str
    width: int


@dataclass(frozen=True)
class Recipe:
    """The manifest's account of how pixels and sound became features.

    Two recipes are the same when everything but the modules' names and the libraries' versions
    agrees: a module may lie at another path, its weights may not differ.
    """

    visual: VisualRecipe
    audio: AudioRecipe
    versions: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def fingerprint(self) -> str:
        """sha256 over what decides the features' values."""
        content = {"visual": asdict(self.visual), "audio": asdict(self.audio)}
        for part in content.values():
            del part["module"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the fingerprint."""
        return {**asdict(self), "fingerprint": self.fingerprint}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises:
            ValueError: When the content is not a recipe's.
        """
        try:
            return cls(
                visual=VisualRecipe(**content["visual"]),
                audio=AudioRecipe(**content["audio"]),
                versions=dict(content.get("versions", {})),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"The manifest holds no complete recipe of the features: {error}. "
                "Expected the parts 'visual' and 'audio' as avel extract writes them."
            ) from error

    def require_same(self, other: Recipe, *, ours: str, theirs: str) -> None:
        """Refuse features of another recipe.

        Args:
            other: The recipe to compare with.
            ours: What has this recipe, for the message.
            theirs: What has the other.

        Raises:
            RecipeMismatchError: With each difference, when the two are not the same.
        """
        if self.fingerprint == other.fingerprint:
            return
        differences = []
        for part in ("visual", "audio"):
            mine, other_part = asdict(getattr(self, part)), asdict(getattr(other, part))
            differences += [
                f"  {part}.{key}: {mine[key]!r} in {ours}, {other_part[key]!r} in {theirs}"
                for key in mine
                if mine[key] != other_part[key] and key != "module"
            ]
            if mine["sha256"] != other_part["sha256"]:
                differences.append(f"    ({mine['module']} and {other_part['module']})")
        raise RecipeMismatchError(
            f"{ours} and {theirs} were made by different recipes of embedding:\n"
            + "\n".join(differences)
            + "\nExtract the features again with the model's settings, or train on these features."
        )


def library_versions() -> dict[str, str]:
    """Versions of the libraries that take part in making features."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
