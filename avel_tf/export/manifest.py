"""Manifest of an exported model and the hashes of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from avel_tf.embeddings.hub_module import sha256_of_folder

MANIFEST = "manifest.json"
# File in `assets.extra` with outputs of the model that verify engines.
KNOWN_OUTPUTS = "known_outputs.npz"
HASHED_ASSETS = ("labels.txt", "config.yaml", "decoder.json")
# Models of older versions have neither the file nor an entry in the manifest.
_LATER_ASSETS = {"decoder.json"}
# Key of the columns of the features that hold class scores, in the manifest of a zero-shot model.
CLASS_COLUMNS = "class_columns"
# Key of other words for each class, by which a user may select it.
CLASS_WORDS = "class_words"
# Key of the classes that are labelled by default, in the manifest of a model with further classes.
DEFAULT_CLASSES = "default_classes"
# Key of the hash of everything that a model was built from, in the manifest of a model that this
# machine built from parts of the package. SavedModels of the same parts differ in their bytes.
BUILT_FROM = "built_from"
# Key of the hash of the package's parts, in the manifest of such a model.
PACKAGE_PARTS = "package_parts"
# Key that is true if the model has no SavedModel, because the package can build its graphs.
GRAPHS_ARE_BUILT = "graphs_are_built"
# Key of the model that a model extends, and of the classes that were added to it.
EXTENDS = "extends"
# Hash of the manifest itself, which also holds the recipe.
OWN_HASH = "manifest_sha256"

# Signatures of every exported model. Each has a variant with this suffix that also takes `valid`;
# models of older versions have no variants.
SIGNATURES = ("serving_default", "embed", "from_features")
WITH_VALID = "_with_valid"
# Signatures of the single backbones, which models of older versions do not have.
PART_SIGNATURES = ("embed_frames", "embed_audio")
# Key of the names of all signatures.
SIGNATURE_NAMES = "signatures"

# Files that TensorFlow and avel export write at the top of a SavedModel. Other files there have no
# hash, and one of them would be dangerous: saved_model.cpb is read as a second graph.
_EXPECTED = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}


class ModelError(ValueError):
    """A folder is not a valid exported model."""


def find_version(folder: str | Path) -> Path:
    """Find the SavedModel: the folder itself, or its version with the highest number.

    Args:
        folder: Such as `saved_models/demo/1`, or `saved_models/demo`.

    Returns:
        The folder of `saved_model.pb`, as an absolute path; or of a zero-shot model without one,
        whose graphs the package builds.

    Raises:
        ModelError: There is none.
    """
    folder = Path(folder).resolve()
    if (folder / "saved_model.pb").is_file() or has_built_graphs(folder):
        return folder
    versions = [
        path
        for path in (folder.iterdir() if folder.is_dir() else [])
        if path.name.isdecimal() and (path / "saved_model.pb").is_file()
    ]
    if not versions:
        raise ModelError(
            f"There is no exported model at {folder}: expected a folder with a saved_model.pb, or "
            "one with versions such as 1/ in it. avel export RUN --out saved_models/NAME makes one."
        )
    return max(versions, key=lambda path: int(path.name))


def has_built_graphs(folder: Path) -> bool:
    """Return True if a folder is a model whose graphs the package builds."""
    if (folder / "saved_model.pb").exists() or not (folder / "assets" / MANIFEST).is_file():
        return False
    return read_manifest(folder).get(GRAPHS_ARE_BUILT) is True


def model_name(folder: Path) -> str:
    """Name of a model in results: the name of its folder and its version."""
    return f"{folder.parent.name}/{folder.name}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a model.

    Raises:
        ModelError: It is missing or not a JSON object.
    """
    path = folder / "assets" / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{folder} is not a model that avel export wrote: its manifest {path} cannot be read "
            f"({error})."
        ) from error
    if not isinstance(manifest, dict):
        raise ModelError(
            f"{folder} is not a model that avel export wrote: its manifest {path} holds no JSON "
            "object."
        )
    return manifest


def hashes_of(folder: Path) -> dict[str, Any]:
    """Hash the files of a model, in the form that the manifest keeps.

    Args:
        folder: A SavedModel with the assets that `avel export` writes.

    Returns:
        `sha256` of graph and weights, and `assets_sha256` of each existing file of
        `HASHED_ASSETS`, by name.
    """
    assets: dict[str, str] = {}
    for name in HASHED_ASSETS:
        path = folder / "assets" / name
        if path.is_file():
            assets[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sha256": sha256_of_folder(folder), "assets_sha256": assets}


def with_hashes(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Add the hashes of a model's files to its manifest, and then the hash of the manifest."""
    manifest = {**manifest, **hashes_of(folder)}
    return {**manifest, OWN_HASH: _own_hash(manifest)}


def _own_hash(manifest: dict[str, Any]) -> str:
    """Hash of the content of a manifest, without the hash itself, in any JSON formatting."""
    content = {key: value for key, value in manifest.items() if key != OWN_HASH}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def differences(folder: Path, manifest: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Differences between a model's manifest and the hashes found in its folder, a clause each."""
    clauses = []
    if OWN_HASH not in manifest:
        clauses.append("the manifest has no hash of itself")
    elif manifest[OWN_HASH] != _own_hash(manifest):
        clauses.append("the manifest is not the one that was exported")
    if manifest.get("sha256") != found["sha256"]:
        clauses.append("graph or weights are not those that were exported")
    stated = manifest.get("assets_sha256")
    stated = stated if isinstance(stated, dict) else {}
    for name in HASHED_ASSETS:
        if name in _LATER_ASSETS and name not in {*stated, *found["assets_sha256"]}:
            continue
        if name not in found["assets_sha256"]:
            clauses.append(f"assets/{name} is missing")
        elif name not in stated:
            clauses.append(f"the manifest has no hash of assets/{name}")
        elif stated[name] != found["assets_sha256"][name]:
            clauses.append(f"assets/{name} is not the one that was exported")
    clauses += [
        f"{name} was not written by avel export"
        for name in sorted(path.name for path in folder.iterdir())
        if name not in _EXPECTED
    ]
    return clauses


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def next_version(folder: Path) -> int:
    """Number of the next version in a folder of versions."""
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    return max(versions, default=0) + 1
