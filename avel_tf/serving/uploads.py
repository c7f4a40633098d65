"""Reception of uploads: multipart bodies, written to the disk as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from avel_tf.serving.errors import DISK_FULL, ApiError, is_disk_full
from avel_tf.serving.state import new_id
from avel_tf.utils.durable_files import WRITING, publish
from avel_tf.video.video_files import VIDEO_SUFFIXES

# Bytes that are collected before a thread writes them.
_BLOCK_BYTES = 1 << 20
# Fields other than the file are names of formats and the like.
_MOST_FIELD_BYTES = 10_000
_MOST_NAME_LETTERS = 200


@dataclass
class Upload:
    """An upload in progress, then a file.

    Attributes:
        id: Identifier, and stem of the file.
        name: Name that the client gave, for display only.
        path: The file, after `publish`.
        size: Bytes so far.
        fields: The other fields of the form.
    """

    id: str
    temporary: Path
    name: str = ""
    size: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Final path: the identifier with a known suffix."""
        return self.temporary.with_name(self.id + PurePosixPath(self.name).suffix.lower())

    async def publish(self) -> None:
        """Flush the file to the disk and give it its final name."""
        try:
            await asyncio.to_thread(publish, self.temporary, self.path)
        except OSError as error:
            raise _disk_error(error) from error


class Uploads:
    """Receives uploads into a folder.

    Args:
        folder: The folder.
        max_bytes: Largest file.
        idle_seconds: Time without a byte after which an upload is given up.
        concurrent: Most uploads at the same time.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int, idle_seconds: float, concurrent: int
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._idle = idle_seconds
        self._concurrent = concurrent
        self._active = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[Upload]:
        """Receive the file of a multipart request under a temporary name.

        The temporary file is removed when the block ends, unless it was published.

        Raises:
            ApiError: 400 the body is no form or the client left, 408 it was too slow, 413 the file
                is too large, 415 it is no video, 503 too many uploads, 507 the disk is full.
        """
        if self._active >= self._concurrent:
            raise ApiError(
                503,
                f"{self._active} uploads are received at the moment (serving.concurrent_uploads). "
                "Try again later.",
                retry_after=5,
            )
        name = new_id()
        upload = Upload(name, self._folder / f"{WRITING}{name}")
        self._active += 1
        try:
            await self._receive(request, upload)
            yield upload
        except OSError as error:
            raise _disk_error(error) from error
        finally:
            self._active -= 1
            with contextlib.suppress(OSError):
                os.unlink(upload.temporary)

    async def _receive(self, request: Request, upload: Upload) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes + _MOST_FIELD_BYTES:
            raise self._too_large()
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise ApiError(
                415,
                "Expected a form (multipart/form-data) with the field 'file'. Received: "
                f"{kind.decode('latin-1') or 'no content type'!r}.",
            )
        try:
            form = _Form(options[b"boundary"], upload)
            stream = aiter(request.stream())
            with open(upload.temporary, "xb") as file:
                while True:
                    try:
                        chunk = await asyncio.wait_for(anext(stream), self._idle)
                    except StopAsyncIteration:
                        break
                    form.parse(chunk)
                    if upload.size > self._max_bytes:
                        raise self._too_large()
                    if len(form.content) >= _BLOCK_BYTES:
                        await asyncio.to_thread(file.write, form.take())
                await asyncio.to_thread(file.write, form.take())
        except MultipartParseError as error:
            raise ApiError(400, f"The form cannot be read: {error}.") from error
        except ClientDisconnect:
            raise ApiError(400, "The client closed the connection during the upload.") from None
        except TimeoutError:
            raise ApiError(
                408,
                f"No byte of the upload arrived for {self._idle:g} s "
                "(serving.upload_idle_seconds).",
            ) from None
        form.check_complete()

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The file is larger than {self._max_bytes:,} bytes, the limit of this server "
            "(serving.max_upload_bytes). Put it into the server's folder instead.",
        )


class _Form:
    """Parser of a form with one file; its content is taken in blocks."""

    def __init__(self, boundary: bytes, upload: Upload) -> None:
        self._upload = upload
        self._header = [b"", b""]
        self._disposition = b""
        self._field: str | None = None
        self._value = b""
        self._in_file = self._complete = False
        self.content = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def parse(self, chunk: bytes) -> None:
        if not self._complete:  # what follows the form is not read
            self._parser.write(chunk)

    def take(self) -> bytes:
        content, self.content = bytes(self.content), bytearray()
        return content

    def check_complete(self) -> None:
        if not self._complete:
            raise ApiError(400, "The form ends early; send the file again.")
        if not self._upload.name:
            raise ApiError(400, "The form has no field 'file' with a file name.")
        if not self._upload.size:
            raise ApiError(400, f"The file {self._upload.name!r} is empty.")

    def _part_begin(self) -> None:
        self._header, self._disposition, self._value = [b"", b""], b"", b""

    def _add(self, place: int, data: bytes) -> None:
        self._header[place] += data

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._in_file = b"filename" in options
        if not self._in_file:
            return
        if self._field != "file" or self._upload.name:
            raise ApiError(400, "Expected one file, in the field 'file'.")
        self._upload.name = shown_name(options[b"filename"].decode("utf-8", "replace"))
        suffix = PurePosixPath(self._upload.name).suffix.lower()
        if suffix not in VIDEO_SUFFIXES:
            raise ApiError(
                415,
                f"{self._upload.name!r} is not the name of a video; expected one of "
                f"{', '.join(sorted(VIDEO_SUFFIXES))}.",
            )

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.content += data[start:end]
            self._upload.size += end - start
            return
        self._value += data[start:end]
        if len(self._value) > _MOST_FIELD_BYTES:
            raise ApiError(413, f"The field {self._field!r} is longer than expected.")

    def _part_end(self) -> None:
        if not self._in_file and self._field:
            if len(self._upload.fields) > 100:
                raise ApiError(413, "The form has too many fields.")
            self._upload.fields[self._field] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._complete = True


def shown_name(name: str) -> str:
    """Name of an upload for display: its last component without control characters."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter if letter.isprintable() else "?" for letter in name).strip()
    stem, dot, suffix = name.rpartition(".")
    return stem[:_MOST_NAME_LETTERS] + dot + suffix if dot else name[:_MOST_NAME_LETTERS]


def _disk_error(error: OSError) -> ApiError:
    if is_disk_full(error):
        return ApiError(507, DISK_FULL, retry_after=60)
    return ApiError(503, f"The upload cannot be stored: {error.strerror}.", retry_after=60)
