"""Recipe of features, recorded in manifests; models refuse features of another recipe."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings

# Libraries whose versions are recorded beside the recipe; differences are no error.
LIBRARIES = ("tensorflow", "keras", "tensorflow-hub", "tensorflow-io", "av", "opencv-python")


class RecipeMismatchError(ValueError):
    """Features and a model of different recipes."""


@dataclass(frozen=True)
class VisualRecipe:
    """Module, hash of its weights, F, size in pixels, and Dv.

    Maps have more than one place; then Dv is places x channels, row by row of the frame, and
    `endpoint` is the end point of the TF-Hub module. With a `vocabulary` the last features are
    class scores: of the classes `scores`, as indices, or of all when None. With a `reuse_threshold`
    a frame that hardly differs from an earlier one has the embedding of that one
    (`avel_tf.engines.reuse`).
    """

    module: str
    sha256: str
    frames_per_second: int
    size: int
    width: int
    places: int = 1
    endpoint: str | None = None
    vocabulary: str | None = None
    scores: tuple[int, ...] | None = None
    reuse_threshold: float | None = None

    @property
    def score_width(self) -> int:
        """Number of class scores that end each vector."""
        return _score_width(self)

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
    """Module, hash of its weights, rate in Hz, activation, and Da.

    `vocabulary` and `scores` are as of `VisualRecipe`.
    """

    module: str
    sha256: str
    sample_rate: int
    activation: str
    width: int
    vocabulary: str | None = None
    scores: tuple[int, ...] | None = None

    @property
    def score_width(self) -> int:
        """Number of class scores that end each vector."""
        return _score_width(self)


@dataclass(frozen=True)
class Recipe:
    """Recipe of features: modules, hashes of weights, sampling rates and widths.

    Two recipes are the same if everything except the names of modules and the versions of libraries
    is equal.

    Args:
        visual: The visual backbone.
        audio: The audio backbone.
        versions: Versions of libraries.
        precision: `int8` and the digest of the quantized network that computed the features; None
            for floating point, in which engines agree closely.
    """

    visual: VisualRecipe
    audio: AudioRecipe
    versions: dict[str, str] = field(default_factory=dict, compare=False)
    precision: str | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that determines the values of the features."""
        content = {"visual": _without_defaults(self.visual), "audio": _without_defaults(self.audio)}
        for part in content.values():
            del part["module"]
        if self.precision is not None:
            content["precision"] = {"precision": self.precision}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the fingerprint."""
        return {
            "visual": _without_defaults(self.visual),
            "audio": _without_defaults(self.audio),
            "versions": dict(self.versions),
            "fingerprint": self.fingerprint,
            **({} if self.precision is None else {"precision": self.precision}),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Recipe:
        """Recipe from the result of `to_dict`.

        Raises:
            ValueError: The content is not a recipe.
        """
        try:
            return cls(
                visual=VisualRecipe(**_with_tuples(content["visual"])),
                audio=AudioRecipe(**_with_tuples(content["audio"])),
                versions=dict(content.get("versions", {})),
                precision=content.get("precision"),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"The manifest has no complete recipe of the features: {error}. "
                "Expected 'visual' and 'audio' as written by avel extract."
            ) from error

    def in_float(self) -> Recipe:
        """The recipe of the same backbones in floating point."""
        return replace(self, precision=None)

    def require_same(self, other: Recipe, *, ours: str, theirs: str) -> None:
        """Refuse features of another recipe.

        Args:
            other: The recipe to compare with.
            ours: Owner of this recipe, for the message.
            theirs: Owner of the other one.

        Raises:
            RecipeMismatchError: The recipes differ; the message lists each difference.
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
        if self.precision != other.precision:
            ours_is, theirs_is = (each.precision or "float" for each in (self, other))
            differences.append(f"  precision: {ours_is!r} in {ours}, {theirs_is!r} in {theirs}")
        raise RecipeMismatchError(
            f"{ours} and {theirs} have different recipes of features:\n"
            + "\n".join(differences)
            + "\nExtract the features again with the model's settings, or train on these features."
        )


def _score_width(part: VisualRecipe | AudioRecipe) -> int:
    if part.scores is not None:
        return len(part.scores)
    return vocabulary_size(part.vocabulary) if part.vocabulary else 0


def vocabulary_size(vocabulary: str) -> int:
    """Number of classes of a vocabulary, with which its name ends."""
    return int(vocabulary.rpartition("-")[2])


def _without_defaults(part: VisualRecipe | AudioRecipe) -> dict[str, Any]:
    """A part as a dictionary; without scores and reuse, as versions without them wrote it."""
    content = asdict(part)
    if content.get("reuse_threshold") is None:
        content.pop("reuse_threshold", None)
    if part.vocabulary is None:
        del content["vocabulary"], content["scores"]
    return content


def _with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    content = dict(content)
    if content.get("scores") is not None:
        content["scores"] = tuple(content["scores"])
    return content


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute features."""
    return {name: library_version(name) for name in LIBRARIES}


def library_version(name: str) -> str:
    """Version of an installed library; `opencv-python` may be its headless variant."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version(f"{name}-headless")
