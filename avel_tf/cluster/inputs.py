"""Inputs of a run on a cluster: files, folders, addresses, and lists of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from avel_tf.cluster.settings import ClusterSettings
from avel_tf.inference.inputs import require_inputs
from avel_tf.utils.storage import WEB, file_system, is_remote, local_path, scheme_of
from avel_tf.video.video_files import is_sidecar_name, is_video_name

# Assumed where the size of an object is not known: ten seconds of high definition.
_UNKNOWN_BYTES = 8_000_000
# Column of a Parquet file with a list of inputs.
COLUMN = "video"


class Inputs(NamedTuple):
    """Inputs of a run.

    Attributes:
        names: Paths and addresses, each once.
        sizes: Size in bytes of those that a listing has described.
    """

    names: list[str]
    sizes: dict[str, int]


def find_cluster_inputs(
    paths: Sequence[str], manifest: str | None = None, *, skipped: list[str] | None = None
) -> Inputs:
    """Find the files and objects that paths, addresses and a list name.

    Args:
        paths: Files, folders of any depth, and addresses `file://`, `s3://`, `gs://`, `http://` and
            `https://`. An address of a bucket without the suffix of a video is a prefix, below
            which all videos are taken.
        manifest: File or address of a list; see `read_manifest`.
        skipped: Receives the paths of macOS sidecar files in folders.

    Raises:
        ValueError: There are none.
        StorageError: An address cannot be listed.
    """
    names: dict[str, None] = {}
    sizes: dict[str, int] = {}
    local: list[str] = []
    for path in map(local_path, paths):
        if is_remote(path):
            found = _objects(path)
            names.update(dict.fromkeys(found))
            sizes.update({name: size for name, size in found.items() if size is not None})
        else:
            local.append(path)
    if local:
        names.update(dict.fromkeys(require_inputs(local, skipped=skipped)))
    if manifest is not None:
        names.update(dict.fromkeys(read_manifest(manifest)))
    if not names:
        raise ValueError("There are no inputs. Expected a PATH or a list of inputs.")
    return Inputs(list(names), sizes)


def read_manifest(address: str) -> list[str]:
    """Read a list of inputs.

    Args:
        address: A text file with a path or an address on each line, or a Parquet file with a column
            `video`. Paths are relative to the folder of the list.

    Raises:
        ValueError: The file has no inputs, or no such column.
        OSError: It cannot be read.
    """
    if is_remote(address):
        system, name = file_system(address)
        content = system.cat_file(name)
    else:
        with open(local_path(address), "rb") as file:
            content = file.read()
    if content[:4] == b"PAR1":
        from pyarrow import parquet

        table = parquet.ParquetFile(io.BytesIO(content))
        if COLUMN not in table.schema_arrow.names:
            raise ValueError(
                f"A list of inputs in Parquet must have a column {COLUMN!r}. {address} has: "
                f"{', '.join(table.schema_arrow.names)}"
            )
        lines = [line for line in table.read([COLUMN])[COLUMN].to_pylist() if line]
    else:
        lines = [os.fsdecode(line) for line in content.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"The list {address} names no inputs.")
    base = "" if is_remote(address) else os.path.dirname(local_path(address))
    names = map(local_path, lines)
    return [name if is_remote(name) else os.path.join(base, name) for name in names]


def blocks_of(
    inputs: Inputs, indices: Iterable[int], names: Sequence[str], settings: ClusterSettings
) -> list[list[int]]:
    """Divide inputs into blocks of limited number and size.

    Args:
        inputs: Sizes that are known.
        indices: Indices of inputs in `names`.
        names: Paths and addresses.
        settings: Limits of a block.

    Returns:
        Indices of each block, in their order.
    """
    most = settings.block_megabytes * 10**6
    blocks: list[list[int]] = []
    total = 0
    for index in indices:
        size = _size(inputs, names[index])
        if not blocks or len(blocks[-1]) >= settings.block_files or total + size > most:
            blocks.append([])
            total = 0
        blocks[-1].append(index)
        total += size
    return blocks


def _objects(address: str) -> dict[str, int | None]:
    """Objects that an address names, and their sizes."""
    system, path = file_system(address)
    if scheme_of(address) in WEB or is_video_name(path):
        return {address: None}
    found = system.find(path, detail=True)
    prefix = f"{scheme_of(address)}://"
    videos = {
        prefix + name: info.get("size")
        for name, info in sorted(found.items())
        if is_video_name(name) and not is_sidecar_name(os.path.basename(name))
    }
    if not videos:
        raise ValueError(f"There are no video files below {address}.")
    return videos


def _size(inputs: Inputs, name: str) -> int:
    if name in inputs.sizes:
        return inputs.sizes[name]
    if is_remote(name):
        return _UNKNOWN_BYTES
    try:
        return os.stat(name).st_size
    except (OSError, ValueError):
        return 0
