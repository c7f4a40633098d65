"""Download of remote inputs to temporary files, with limits and retries."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from avel_tf.cluster.result_store import Stamp
from avel_tf.cluster.settings import ClusterSettings
from avel_tf.utils.storage import file_system, is_remote, local_path

logger = logging.getLogger(__name__)

# Keys under which file systems of fsspec describe the version of an object.
_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "updated")
# First pause between two attempts, which doubles.
_PAUSE_SECONDS = 1.0


class DownloadError(ValueError):
    """A remote input that cannot be downloaded; the message gives the cause."""


class _Limit:
    """Callback of fsspec that ends a download of too many bytes."""

    def __init__(self, most: int) -> None:
        from fsspec.callbacks import Callback

        class Limited(Callback):
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                if self.value > most:
                    raise DownloadError(_too_large(most))

        self.callback = Limited()


def stamp_of(address: str, *, follow_links: bool = False) -> Stamp:
    """State of an input: size and modification time of a file, size and version of an object."""
    try:
        if is_remote(address):
            return _stamp(_info(address))
        found = os.stat(local_path(address), follow_symlinks=follow_links)
        return [found.st_size, found.st_mtime_ns]
    except Exception:  # of the client of the object store, or a path with a NUL byte
        return None


class DownloadedInputs(Sequence[str]):
    """Paths of inputs, of which the remote ones are downloaded when they are read.

    An input that cannot be downloaded has a path at which there is no file, and is logged.

    Args:
        names: Paths and addresses.
        folder: Folder for the downloads.
        settings: Time limit and number of attempts.
        most_bytes: Size above which an input is not downloaded.
    """

    def __init__(
        self, names: Sequence[str], folder: str, *, settings: ClusterSettings, most_bytes: int
    ) -> None:
        self._names = names
        self._folder = folder
        self._settings = settings
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        name = self._names[index]
        if not is_remote(name):
            return name
        path = Path(self._folder, f"{index}{os.path.splitext(name)[1]}")
        if not path.exists():
            try:
                download(name, path, settings=self._settings, most_bytes=self._most_bytes)
            except DownloadError as error:
                logger.warning("%s: %s", name, error)
        return str(path)


def download(address: str, path: Path, *, settings: ClusterSettings, most_bytes: int) -> Stamp:
    """Download an object to a file.

    Args:
        address: Its address.
        path: The file to write.
        settings: Time limit and number of attempts.
        most_bytes: Size above which it is refused.

    Returns:
        Size and version of the object.

    Raises:
        DownloadError: It does not exist, is too large, or no attempt received all of it.
    """
    message = ""
    for attempt in range(settings.download_attempts):
        if attempt:
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            return _download_once(address, path, settings.download_seconds, most_bytes)
        except Exception as error:  # each client has its own
            message = _sentence(error)
            if isinstance(error, DownloadError | PermissionError) or _is_missing(error):
                break
            logger.info("Attempt %d to download %s failed: %s", attempt + 1, address, message)
    path.unlink(missing_ok=True)
    raise DownloadError(f"it cannot be downloaded: {message}")


def _download_once(address: str, path: Path, seconds: float, most_bytes: int) -> Stamp:
    from fsspec.asyn import sync

    system, name = file_system(address)
    info = sync(system.loop, system._info, name, timeout=seconds)
    size = info.get("size")
    if size is not None and size > most_bytes:
        raise DownloadError(_too_large(most_bytes))
    limit = _Limit(most_bytes)
    sync(system.loop, system._get_file, name, str(path), callback=limit.callback, timeout=seconds)
    received = path.stat().st_size
    if received > most_bytes:
        raise DownloadError(_too_large(most_bytes))
    if size is not None and received != size:
        raise OSError(f"{received} of {size} bytes were received")
    return _stamp(info)


def _info(address: str) -> dict[str, Any]:
    system, name = file_system(address)
    return system.info(name)


def _stamp(info: dict[str, Any]) -> Stamp:
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), None)
    return [info.get("size"), version]


def _too_large(most: int) -> str:
    return f"it has more than media.max_file_bytes ({most}) bytes"


def _is_missing(error: BaseException) -> bool:
    """Return True if an object does not exist; fsspec says so of every status of an HTTP server."""
    return isinstance(error, FileNotFoundError) and _status(error) in (None, 404, 410)


def _status(error: BaseException) -> int | None:
    return getattr(error.__cause__, "status", None)


def _sentence(error: BaseException) -> str:
    if _is_missing(error):
        return "there is no such object"
    if isinstance(error, FileNotFoundError):
        return f"the server answers with status {_status(error)}"
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        return "it took longer than cluster.download_seconds"
    return str(error) or type(error).__name__
