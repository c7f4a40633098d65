"""Decoding without and with a worker process, for tests that choose between the two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from avel_tf.video import decode
from avel_tf.video.clip import Clip
from avel_tf.video.decode_request import BLOCK_SECONDS, DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.isolated.decoder import IsolatedDecoder
from avel_tf.video.live import live_request
from avel_tf.video.stream_decoder import decode_in_process


def _request(path: Any, options: dict[str, Any]) -> DecodeRequest:
    settings = options.pop("settings", None) or DecodeSettings()
    return DecodeRequest(path, settings=settings, **options)


def decode_clip(path: Any, *, settings: DecodeSettings | None = None, **options: Any) -> Clip:
    settings = replace(settings or DecodeSettings(), isolated=False)
    return decode.decode_clip(path, settings=settings, **options)


def decode_blocks(path: Any, **options: Any) -> Iterator[Clip]:
    return decode_in_process(_request(path, options))


def decode_live(source: str, *, descriptor: int = 0, **options: Any) -> Iterator[Clip]:
    return decode_in_process(live_request(_request(source, options), descriptor))


class OwnDecoder(IsolatedDecoder):
    """Worker processes of one test."""

    def decode_clip(self, path: Any, **options: Any) -> Clip:
        request = _request(path, options)
        block_seconds = min(request.seconds or BLOCK_SECONDS, BLOCK_SECONDS)
        blocks = self.decode(replace(request, block_seconds=block_seconds))
        return decode.join(blocks, request.seconds)

    def decode_blocks(self, path: Any, **options: Any) -> Iterator[Clip]:
        return self.decode(_request(path, options))

    def decode_live(self, source: str, *, descriptor: int = 0, **options: Any) -> Iterator[Clip]:
        return self.decode(live_request(_request(source, options), descriptor))
