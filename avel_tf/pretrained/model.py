"""The pretrained localizer in the cache folder."""

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
from functools import cached_property
from pathlib import Path

from avel_tf import __version__
from avel_tf.engines.engine import KnownOutputs, LoadedGraphs
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import BUILT_FROM, MANIFEST, model_name, with_hashes
from avel_tf.pretrained.known_outputs import read_known_outputs
from avel_tf.pretrained.zero_shot import ZeroShot, load_zero_shot, package_parts
from avel_tf.utils.durable_files import exclusive_lock
from avel_tf.vocabulary.class_table import ClassTable, read_classes

logger = logging.getLogger(__name__)

# The first pretrained model, with five classes, was version 1.
VERSION = "2"
# Key of the hash of the package's parts, in the manifest.
PACKAGE_PARTS = "package_parts"
# Builds of other parts are removed this long after their last use.
UNUSED_SECONDS = 24 * 3600.0


class PretrainedModel(ExportedModel):
    """The pretrained localizer: its assets are files, its graphs are built when they are loaded.

    A SavedModel would hold the same weights again, and takes longer to write and load than an
    engine needs to convert the networks. `avel export pretrained` writes one.

    Args:
        folder: Folder with `assets/`, as of any exported model.
        class_table: A CSV file with further classes, or None.
        parts: The localizer, if it is loaded.
    """

    def __init__(
        self, folder: Path, class_table: str | Path | None, parts: ZeroShot | None = None
    ) -> None:
        self.folder = folder
        self.name = model_name(folder)
        self._class_table = class_table
        self._parts = parts

    def load_graphs(self) -> LoadedGraphs:
        """Build the functions of the networks; see `LocalizerModule.graphs`."""
        parts = self._parts or load_zero_shot(table=ClassTable.load(self._class_table))
        from avel_tf.export.module import LocalizerModule

        return LocalizerModule(parts.extractor, parts.head).graphs()

    @cached_property
    def known_outputs(self) -> KnownOutputs | None:
        """Outputs that the package holds, of the model without further classes."""
        return None if self._class_table else read_known_outputs(package_parts())


def find_or_build(
    default_classes: Sequence[str], cache: Path, class_table: str | Path | None = None
) -> PretrainedModel:
    """Find the pretrained localizer in the cache, or build it there.

    It knows every class of the table. Its weights come from the package and from that of
    EfficientNet-Lite2, so it is built once for each version of them.

    Args:
        default_classes: Classes that are labelled unless others are selected.
        cache: Cache folder.
        class_table: A CSV file with further classes, which are labelled by default, too.

    Returns:
        The model, `pretrained/2` in a folder of its own.
    """
    key = _built_from(default_classes, class_table)
    versions = cache / "models" / key / "pretrained"
    model = versions / VERSION
    versions.mkdir(parents=True, exist_ok=True)
    _mark_used(versions.parent)
    parts = None
    with exclusive_lock(versions.parent / "lock"):
        if not model.is_dir():
            logger.warning("Building the pretrained model in %s (once; some seconds).", model)
            added = [each.name for each in read_classes(class_table)] if class_table else []
            parts = load_zero_shot(
                table=ClassTable.load(class_table),
                default_classes=tuple(dict.fromkeys([*default_classes, *added])),
            )
            with tempfile.TemporaryDirectory(dir=versions.parent) as temporary:
                _write(parts, Path(temporary) / VERSION, key)
                os.rename(Path(temporary) / VERSION, model)
            _remove_superseded(cache)
    return PretrainedModel(model, class_table, parts)


def _write(parts: ZeroShot, folder: Path, key: str) -> None:
    """Write `assets/` of an exported model, without graph and weights."""
    from avel_tf.events.postprocessing import Postprocessing
    from avel_tf.export.saved_model import model_manifest, write_assets, write_json

    assets = folder / "assets"
    assets.mkdir(parents=True)
    manifest = model_manifest(
        parts.head.name,
        parts.extractor.recipe,
        parts.labels,
        columns=parts.columns,
        details={**parts.details, BUILT_FROM: key, PACKAGE_PARTS: package_parts()},
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
