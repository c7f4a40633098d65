"""Decoders of the installed FFmpeg, by the format that they decode."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import av

_log = logging.getLogger(__name__)


@cache
def decoders() -> Mapping[str, tuple[str, ...]]:
    """Names of the decoders of each video and audio format.

    Returns:
        Mapping from FFmpeg's name of a format, such as `mp3`, to the names of its decoders,
        such as `("mp3", "mp3float")`.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "r")
        except av.codec.codec.UnknownCodecError:
            continue  # an encoder without a decoder
        if codec.type in ("video", "audio"):
            found.setdefault(codec.canonical_name, []).append(name)
    _log.debug("decoders for %d formats", len(found))
    return MappingProxyType({name: tuple(names) for name, names in found.items()})


@cache
def whitelist(codecs: tuple[str, ...]) -> str:
    """Decoders of these formats in the form of FFmpeg's option `codec_whitelist`."""
    return ",".join(name for codec in codecs for name in decoders().get(codec, ()))
