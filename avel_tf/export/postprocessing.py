"""Another postprocessing for an exported model."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.manifest import (
    BUILT_FROM,
    MANIFEST,
    next_version,
    read_manifest,
    with_hashes,
    write_json,
)


def replace_postprocessing(folder: Path, postprocessing: Postprocessing) -> None:
    """Replace the postprocessing of an exported model that nobody uses yet.

    Args:
        folder: A version of an exported model.
        postprocessing: Its temperature must be that of the model, which is part of the graph.

    Raises:
        OSError: A file cannot be written.
    """
    manifest = read_manifest(folder)
    # The model is no longer the one that its parts make.
    manifest.pop(BUILT_FROM, None)
    postprocessing.save(folder / "assets")
    write_json(folder / "assets" / MANIFEST, with_hashes(manifest, folder))


def copy_with_postprocessing(source: Path, folder: Path, postprocessing: Postprocessing) -> Path:
    """Copy an exported model with another postprocessing, as the next version in a folder.

    Args:
        source: The version to copy.
        folder: Folder of the versions.
        postprocessing: As of `replace_postprocessing`.

    Returns:
        The new version.

    Raises:
        OSError: A file cannot be written; then nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    version = next_version(folder)
    partial = Path(tempfile.mkdtemp(prefix=f".{version}.", suffix=".partial", dir=folder))
    try:
        shutil.copytree(source, partial, dirs_exist_ok=True)
        replace_postprocessing(partial, postprocessing)
        partial.chmod(0o755)
        os.rename(partial, folder / str(version))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder / str(version)
