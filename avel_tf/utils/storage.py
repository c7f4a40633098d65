"""Folders and buckets with the few operations that results need, each of them atomic."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from avel_tf.utils.durable_files import WRITING, atomic_path, sync

# Schemes of object stores that can create an object only where there is none.
BUCKETS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
# Schemes that fsspec reads over HTTP.
WEB = ("http", "https")


class StorageError(ValueError):
    """An address that cannot be used; the message says what is expected."""


class Storage(Protocol):
    """Interface of a folder or of a bucket's prefix. Names are relative and use `/`."""

    def names(self, folder: str) -> list[str]:
        """Names of the files in a subfolder, sorted; none where there is no such subfolder."""
        ...

    def read(self, name: str) -> bytes:
        """Content of a file."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole or not at all."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one already; of several writers one alone succeeds."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...


def scheme_of(address: str) -> str:
    """Scheme of an address such as `s3`, in lower case; empty for the path of a file."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", address)
    if found is None or os.path.lexists(address):
        return ""
    return found[1].lower()


def local_path(address: str) -> str:
    """Path of a `file://` address; another text is returned as it is."""
    return unquote(urlsplit(address).path) if scheme_of(address) == "file" else address


def is_remote(address: str) -> bool:
    """Return True if an address is neither a path nor a `file://` address."""
    return scheme_of(address) not in ("", "file")


def file_system(address: str) -> tuple[Any, str]:
    """File system of fsspec and the path in it.

    Raises:
        StorageError: The scheme is unknown, or its package is not installed.
    """
    scheme = scheme_of(address)
    if scheme not in (*BUCKETS, *WEB):
        raise StorageError(
            f"Addresses may begin with file://, s3://, gs://, http:// or https://. "
            f"Received: {address}"
        )
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(address)
    except ImportError as error:
        extra = {"s3": "s3", "gcs": "gcs"}.get(BUCKETS.get(scheme, ""), "ray")
        raise StorageError(
            f"{scheme}:// addresses need another package ({error}): pip install 'avel-tf[{extra}]'"
        ) from error


def open_storage(address: str | Path) -> Storage:
    """Open a folder, or a prefix of a bucket.

    Raises:
        StorageError: The address is of another kind.
    """
    text = os.fspath(address)
    if not is_remote(text):
        return Folder(Path(local_path(text)))
    if scheme_of(text) not in BUCKETS:
        raise StorageError(f"Results go to a folder, s3:// or gs://. Received: {text}")
    return Bucket(*file_system(text))


class Folder:
    """A folder of the local file system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self, folder: str) -> list[str]:
        """See `Storage`."""
        try:
            return sorted(os.listdir(self.path / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with atomic_path(self.path / name) as temporary:
            temporary.write_bytes(content)

    def create(self, name: str, content: bytes) -> bool:
        """See `Storage`."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(WRITING + secrets.token_hex(4))
        try:
            temporary.write_bytes(content)
            sync(temporary)
            os.link(temporary, path)  # fails where there is a file, unlike a rename
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)
        return True

    def remove(self, name: str) -> None:
        """See `Storage`."""
        (self.path / name).unlink(missing_ok=True)


class Bucket:
    """Objects of a bucket below a prefix."""

    def __init__(self, system: Any, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def names(self, folder: str) -> list[str]:
        """See `Storage`."""
        self._system.invalidate_cache()
        try:
            found = self._system.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rpartition("/")[2] for path in found)

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        return self._system.cat_file(f"{self._root}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        self._system.pipe_file(f"{self._root}/{name}", content)

    def create(self, name: str, content: bytes) -> bool:
        """See `Storage`."""
        try:
            self._system.pipe_file(f"{self._root}/{name}", content, mode="create")
        except (OSError, ValueError):
            # A store that wrote the object may have lost its answer, and the client tried again.
            self._system.invalidate_cache()
            if not self._system.exists(f"{self._root}/{name}"):
                raise
            return self.read(name) == content
        return True

    def remove(self, name: str) -> None:
        """See `Storage`."""
        self._system.invalidate_cache()
        if self._system.exists(f"{self._root}/{name}"):
            self._system.rm_file(f"{self._root}/{name}")
