"""Opening of media files, by content and not by name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
from av.container import InputContainer

from avel_tf.video.codecs import whitelist
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.video_files import similar_name

# Long enough for every signature below; MPEG-TS repeats its sync byte every 188 bytes, or every
# 192 in camcorder files, where four bytes of time code come first.
HEAD_BYTES = 1024
# Boxes that an ISO base media file (mp4, mov, m4v, 3gp) may begin with: ISO/IEC 14496-12 and
# the QuickTime File Format, which allows files without `ftyp`.
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"uuid")
# The header object of ASF (wmv, wma): Advanced Systems Format specification 1.20, 10.1.
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
# AppleDouble, the format of macOS sidecar files: RFC 1740, appendix A.
_APPLE_DOUBLE = bytes.fromhex("00051607")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ACCEPTED = "supported are mp4, mov, 3gp, mkv, webm, avi, mpg, ts, flv, ogv and wmv"


@contextmanager
def open_media(
    path: str | bytes | os.PathLike, settings: DecodeSettings | None = None
) -> Iterator[InputContainer]:
    """Opens a file as the container that its first bytes identify.

    FFmpeg receives a descriptor, one demuxer and no other protocol. It never receives the name,
    which it would parse (`concat:a|b`, `%03d`, a leading dash). A playlist named `x.mp4` cannot
    open another file.

    Args:
        path: The file; any name that the file system allows.
        settings: Limits, allowed codecs, and whether symbolic links are followed.

    Yields:
        The open `av.container.InputContainer`.

    Raises:
        MediaError: It is not a regular file, its container is not supported, or it is damaged.

    Example:
        >>> with open_media("dog.mp4") as container:
        ...     print(container.duration)

    Reference:
        https://ffmpeg.org/ffmpeg-protocols.html#fd
    """
    settings = settings or DecodeSettings()
    descriptor = _open_regular(path, settings.follow_links)
    try:
        size = os.fstat(descriptor).st_size
        over_limit(path, "max_file_bytes", size, settings, f"it has {size:,} bytes")
        demuxer = demuxer_of(path, os.pread(descriptor, HEAD_BYTES, 0))
        options = {
            "fd": str(descriptor),
            "protocol_whitelist": "fd",
            **format_options(demuxer, settings),
        }
        try:
            container = av.open(
                "fd:", "r", format=demuxer, options=options, metadata_errors="replace"
            )
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError, ValueError) as error:
            raise MediaError(
                path, f"its header is broken, cut off or missing ({reason(error)})"
            ) from error
        with container:
            yield container
    finally:
        os.close(descriptor)


def format_options(demuxer: str, settings: DecodeSettings) -> dict[str, str]:
    """Options of FFmpeg's demuxers."""
    options = {
        "format_whitelist": demuxer,
        # FFmpeg may decode a frame while it probes the streams, before `probe.check_limits` makes
        # the exact comparison. Stored frames are padded to whole blocks, hence twice the limit.
        "max_pixels": str(2 * settings.max_pixels),
        # For the same reason, only allowed decoders may be used.
        "codec_whitelist": whitelist(settings.codecs),
    }
    if demuxer.startswith("mov"):
        # References to other files are off by default; a default can change.
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    return options


def over_limit(
    path: str | bytes | os.PathLike,
    limit: str,
    value: float | Fraction,
    settings: DecodeSettings,
    finding: str,
) -> None:
    """Raises a `MediaError` with the finding when the value is above the named limit."""
    allowed = getattr(settings, limit)
    if value > allowed:
        raise MediaError(
            path,
            f"{finding}, more than the limit of {allowed:,}; if the file can be trusted, "
            f"raise media.{limit}",
        )


def reason(error: Exception) -> str:
    """Message of an error without its number and file name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _open_regular(path: str | bytes | os.PathLike, follow_links: bool) -> int:
    """Opens a regular file without ever blocking; returns its descriptor."""
    # O_NOCTTY and O_NONBLOCK: opening a device or pipe must have no effect and not block.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    if not follow_links:
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise MediaError(path, _open_failure(path, error, follow_links)) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise MediaError(
            path, f"it is {_KINDS.get(stat.S_IFMT(mode), 'not a regular file')}, not a video file"
        )
    return descriptor


def _open_failure(
    path: str | bytes | os.PathLike, error: OSError | ValueError, follow_links: bool
) -> str:
    if isinstance(error, ValueError):  # a NUL byte
        return f"this is not a valid file name ({error})"
    if error.errno == errno.ELOOP:
        if os.path.islink(path) and not follow_links:
            return (
                "it is a symbolic link; give the file itself, or set media.follow_links to true "
                "if links in this folder can be trusted"
            )
        return "its symbolic links form a loop"
    if error.errno == errno.ENXIO:
        return "it is a socket, not a video file"
    cause = (error.strerror or str(error)).lower()
    if error.errno == errno.ENOENT and (near := similar_name(path)):
        cause += f"; the nearest name there is {near!r}"
    return cause


def demuxer_of(path: str | bytes | os.PathLike, head: bytes) -> str:
    """Identifies the container by the first bytes of a file; returns FFmpeg's demuxer name."""
    if head[4:8] in _ISO_BOXES:
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):  # EBML, RFC 8794
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head.startswith(b"OggS"):  # RFC 3533
        return "ogg"
    if head.startswith(_ASF_HEADER):
        return "asf"
    if head.startswith(b"\x00\x00\x01\xba"):  # pack header, ISO/IEC 13818-1
        return "mpeg"
    if head.startswith(b"FLV\x01"):
        return "flv"
    for offset, size in ((0, 188), (4, 192)):  # sync bytes, ISO/IEC 13818-1 and AVCHD
        marks = head[offset::size]
        if len(marks) >= 3 and set(marks) == {0x47}:
            return "mpegts"
    if not head:
        raise MediaError(path, "it is empty (0 bytes)")
    if head.startswith(_APPLE_DOUBLE):
        raise MediaError(path, "it is a macOS sidecar file (._name), not a video file")
    if not head.strip(b"\0"):
        raise MediaError(path, "it begins with zeros only, as an unfinished copy does")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"#EXTM3U", b"ffconcat", b"<", b"[")):
        raise MediaError(
            path,
            f"it is a playlist or other text, and the files it names are not opened; {_ACCEPTED}",
        )
    raise MediaError(
        path, f"its first bytes, {head[:8]!r}, belong to no supported container; {_ACCEPTED}"
    )
