"""The pretrained localizer in the cache folder.

It is an exported model without a SavedModel: its assets are files, and its graphs are built when
an engine loads them: OpenVINO's from the stored networks, without TensorFlow. A SavedModel would
hold the weights again. `avel export pretrained` writes one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from avel_tf import __version__
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.assets import model_manifest, write_assets
from avel_tf.export.manifest import (
    BUILT_FROM,
    GRAPHS_ARE_BUILT,
    KNOWN_OUTPUTS,
    MANIFEST,
    PACKAGE_PARTS,
    with_hashes,
    write_json,
)
from avel_tf.pretrained import known_outputs
from avel_tf.pretrained.networks import loaded_recipe, stored_recipe
from avel_tf.pretrained.zero_shot import NAME, ZeroShot, describe_zero_shot, package_parts
from avel_tf.utils.durable_files import exclusive_lock
from avel_tf.vocabulary.class_table import ClassTable, read_classes

logger = logging.getLogger(__name__)

# The first pretrained model, with five classes, was version 1.
VERSION = "2"
# Builds of other parts are removed this long after their last use.
UNUSED_SECONDS = 24 * 3600.0


def find_or_build(
    default_classes: Sequence[str], cache: Path, class_table: str | Path | None = None
) -> Path:
    """Find the pretrained localizer in the cache, or build it there.

    It knows every class of the table. Its weights come from the package and from that of
    EfficientNet-Lite2, so it is built once for each version of them.

    Args:
        default_classes: Classes that are labelled unless others are selected.
        cache: Cache folder.
        class_table: A CSV file with further classes, which are labelled by default, too.

    Returns:
        The model's folder, `pretrained/2` in a folder of its own.
    """
    key = _built_from(default_classes, class_table)
    versions = cache / "models" / key / "pretrained"
    model = versions / VERSION
    versions.mkdir(parents=True, exist_ok=True)
    _mark_used(versions.parent)
    with exclusive_lock(versions.parent / "lock"):
        if not model.is_dir():
            logger.warning("Building the pretrained model in %s (once; some seconds).", model)
            added = [each.name for each in read_classes(class_table)] if class_table else []
            parts = describe_zero_shot(
                stored_recipe() or loaded_recipe(),
                table=ClassTable.load(class_table),
                default_classes=tuple(dict.fromkeys([*default_classes, *added])),
            )
            with tempfile.TemporaryDirectory(dir=versions.parent) as temporary:
                _write(parts, Path(temporary) / VERSION, key)
                if not class_table and known_outputs.are_of(package_parts()):
                    extra = Path(temporary) / VERSION / "assets.extra"
                    extra.mkdir()
                    shutil.copy(known_outputs.FILE, extra / KNOWN_OUTPUTS)
                os.rename(Path(temporary) / VERSION, model)
            _remove_superseded(cache)
    return model


def _write(parts: ZeroShot, folder: Path, key: str) -> None:
    """Write `assets/` of an exported model, without graph and weights."""
    assets = folder / "assets"
    assets.mkdir(parents=True)
    manifest = model_manifest(
        NAME,
        parts.recipe,
        parts.labels,
        columns=parts.columns,
        details={
            **parts.details,
            BUILT_FROM: key,
            PACKAGE_PARTS: package_parts(),
            GRAPHS_ARE_BUILT: True,
        },
    )
    write_assets(assets, parts.labels, parts.config_yaml, manifest, Postprocessing())
    write_json(assets / MANIFEST, with_hashes(manifest, folder))


def _built_from(default_classes: Sequence[str], class_table: str | Path | None) -> str:
    """Hash of everything that the pretrained localizer is built from."""
    digest = hashlib.sha256(f"{__version__} {package_parts()}\n".encode())
    if class_table:
        digest.update(Path(class_table).read_bytes())
    digest.update("\n".join(default_classes).encode())
    return digest.hexdigest()


def _mark_used(folder: Path) -> None:
    """Hold a shared lock on a cached model until this process ends, and record the time."""
    if folder not in _used:
        file = os.open(folder / "used", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(file, fcntl.LOCK_SH)
        _used[folder] = file
    os.utime(_used[folder])


# Open files of the locks, by folder.
_used: dict[Path, int] = {}


def _remove_superseded(cache: Path) -> None:
    """Remove cached models of other parts of the package, with their compiled networks.

    Models in use are kept, as well as those used within a day, perhaps by another installation.
    """
    parts = package_parts()
    for folder in (cache / "models").iterdir():
        manifest = folder / "pretrained" / VERSION / "assets" / MANIFEST
        try:
            if json.loads(manifest.read_text(encoding="utf-8")).get(PACKAGE_PARTS) == parts:
                continue
        except (OSError, ValueError, AttributeError):
            continue
        with contextlib.suppress(OSError), _unused(folder):
            for path in (folder, *(cache / "openvino").glob(f"*/{folder.name}")):
                shutil.rmtree(path)


@contextlib.contextmanager
def _unused(folder: Path) -> Iterator[None]:
    """Lock a cached model that nobody uses.

    Raises:
        BlockingIOError: It is in use, or was used within a day.
    """
    path = folder / "used"
    # Older versions of avel-tf only made a lock, when they built the model.
    last = (path if path.exists() else folder / "lock").stat().st_mtime
    if time.time() - last < UNUSED_SECONDS:
        raise BlockingIOError
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
