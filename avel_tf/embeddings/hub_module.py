"""Look-up, download and loading of TF-Hub modules."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# Handles of the default modules at Kaggle Models, which has replaced TF-Hub
# (https://www.kaggle.com/models/google/resnet-v2, https://www.kaggle.com/models/google/vggish).
KAGGLE_COUNTERPARTS = {
    "https://tfhub.dev/google/imagenet/resnet_v2_152/feature_vector/5": (
        "https://www.kaggle.com/models/google/resnet-v2/TensorFlow2/152-feature-vector/2"
    ),
    "https://tfhub.dev/google/vggish/1": (
        "https://www.kaggle.com/models/google/vggish/TensorFlow2/vggish/1"
    ),
}

# Both forms are in use: .../TensorFlow2/vggish/1 and
# .../frameworks/TensorFlow2/variations/vggish/versions/1.
_KAGGLE_HANDLE = re.compile(
    r"https?://(?:www\.)?kaggle\.com/models/(?P<owner>[^/]+)/(?P<model>[^/]+)/"
    r"(?:frameworks/)?(?P<framework>[^/]+)/(?:variations/)?(?P<variation>[^/]+)/"
    r"(?:versions/)?(?P<version>\d+)/?$"
)
_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")


class ModuleUnavailableError(Exception):
    """A module that cannot be found or loaded."""


def find_module(handle: str) -> Path:
    """Find the folder of a module's SavedModel, and download it if needed.

    The order is: `handle` as a path, the cache folder (`TFHUB_CACHE_DIR`) of the handle and of its
    Kaggle counterpart, download from the handle, download from its Kaggle counterpart.

    Args:
        handle: A TF-Hub handle, a Kaggle Models handle, or the path of a SavedModel.

    Returns:
        A folder with a `saved_model.pb`.

    Raises:
        ModuleUnavailableError: The module was not found; the message lists the places tried and
            describes manual installation.
    """
    if not handle.startswith(("http://", "https://")):
        folder = Path(handle).expanduser()
        if _holds_saved_model(folder):
            return folder
        raise ModuleUnavailableError(
            f"No SavedModel at {handle!r}: expected a folder with a saved_model.pb, a handle that "
            "begins with https://, or the name of a built-in backbone: compact, for images "
            "efficientnet-lite2, for audio audioset-distilled."
        )
    candidates = [handle]
    if handle in KAGGLE_COUNTERPARTS:
        candidates.append(KAGGLE_COUNTERPARTS[handle])
    tried = []
    for candidate in candidates:
        folder = cache_folder(candidate)
        if _holds_saved_model(folder):
            return folder
        tried.append(f"the cache folder {folder}: no saved_model.pb there")
    for candidate in candidates:
        try:
            return _download(candidate)
        # Errors of a download: network and HTTP (OSError, for urllib and requests), a damaged
        # archive or a licence that was not accepted (ValueError, RuntimeError).
        except (OSError, ValueError, RuntimeError) as error:
            tried.append(f"{candidate}: {_first_line(error)}")
            logger.info("Could not fetch %s: %s", candidate, _first_line(error))
    raise ModuleUnavailableError(
        f"The module {handle} could not be found.\nTried:\n"
        + "\n".join(f"  - {line}" for line in tried)
        + "\nWithout a network, unpack the module on another machine and place its saved_model.pb "
        f"and variables/ in\n  {cache_folder(handle)}\n"
        "The environment variable TFHUB_CACHE_DIR sets the cache folder; the sub-folder is the "
        "sha1 of the handle. A path can be given instead of the handle.\n"
        "To work without a download, use --config pipelines/offline.yaml, whose image weights pip "
        "has installed, or the smaller backbones of --config pipelines/compact.yaml"
    )


def cache_folder(handle: str) -> Path:
    """Cache folder of a handle in TF-Hub: `<TFHUB_CACHE_DIR>/<sha1 of the handle>`."""
    root = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(tempfile.gettempdir(), "tfhub_modules")
    return Path(root) / hashlib.sha1(handle.encode()).hexdigest()


def load_module(handle: str) -> tuple[Any, Path]:
    """Load a module; the same handle gives the same object, so its weights are in memory once.

    Args:
        handle: As for `find_module`.

    Returns:
        The result of `hub.load`, and the folder of the module.

    Raises:
        ModuleUnavailableError: It cannot be found, or is not a SavedModel.
    """
    folder = find_module(handle).resolve()
    return _load_folder(str(folder)), folder


@functools.lru_cache(maxsize=8)
def _load_folder(folder: str) -> Any:
    import tensorflow as tf
    import tensorflow_hub as hub

    try:
        module = hub.load(folder)
    except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
        raise ModuleUnavailableError(
            f"The folder {folder} has no SavedModel that TensorFlow can read: {_first_line(error)}"
        ) from error
    if not callable(module):
        raise ModuleUnavailableError(
            f"The SavedModel at {folder} cannot be called. Expected a TF2 module with a __call__ "
            "function, as written by tf.saved_model.save for a tf.Module."
        )
    return module


def sha256_of_folder(folder: Path) -> str:
    """Hash of the names and contents of a SavedModel's graph and weights."""
    digest = hashlib.sha256()
    files = [folder / name for name in _SAVED_MODEL_FILES if (folder / name).is_file()]
    files += sorted((folder / "variables").glob("*"))
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _download(handle: str) -> Path:
    match = _KAGGLE_HANDLE.match(handle)
    if match:
        return _download_from_kaggle(
            "{owner}/{model}/{framework}/{variation}/{version}".format(**match.groupdict())
        )
    import tensorflow_hub as hub

    return Path(os.fsdecode(hub.resolve(handle)))


def _download_from_kaggle(name: str) -> Path:
    try:
        import kagglehub
        from kagglehub import exceptions
    except ImportError as error:
        raise OSError(
            "downloads from Kaggle Models need kagglehub: pip install 'avel-tf[kaggle]'"
        ) from error

    try:
        return Path(kagglehub.model_download(name))
    # kagglehub's own errors are direct subclasses of Exception.
    except (
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    ) as error:
        raise OSError(_first_line(error)) from error


def _holds_saved_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SAVED_MODEL_FILES)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
