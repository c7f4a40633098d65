"""All decoding goes through `decode`, with the user's limits and isolation."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import avel_tf
from avel_tf.embeddings.recipe import VisualRecipe
from avel_tf.events.result import Result, Segment
from avel_tf.inference.spatial_attention import spatial_attention_maps
from avel_tf.reports.timeline_picture import write_timeline_picture
from avel_tf.video import decode, stream_decoder
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.protocol import decode_message, parse_request

PACKAGE = Path(avel_tf.__file__).parent
# What opens media. Only the room `video` may use it.
OPENERS = {"IsolatedDecoder", "decode_in_process", "open_media", "open_stream", "shared_decoder"}
VISUAL = VisualRecipe("module", "0" * 64, frames_per_second=2, size=32, width=8)


def draw_timeline(path: Path, media: DecodeSettings) -> None:
    result = Result(str(path), "ok", seconds=(Segment(0.0, 1.0, "background", 0.9),))
    write_timeline_picture(result, path.with_suffix(".png"), media=media)


def map_attention(path: Path, media: DecodeSettings) -> None:
    extractor = SimpleNamespace(recipe=SimpleNamespace(visual=VISUAL))
    spatial_attention_maps(None, extractor, path, seconds=1, media=media)


@pytest.mark.parametrize("picture", [draw_timeline, map_attention])
@pytest.mark.parametrize("isolated", [True, False])
def test_pictures_of_a_file_keep_its_limits(picture, isolated, film, monkeypatch):
    decoded = []
    in_process, shared = stream_decoder.decode_in_process, decode.shared_decoder
    monkeypatch.setattr(
        stream_decoder,
        "decode_in_process",
        lambda request: decoded.append(False) or in_process(request),
    )
    monkeypatch.setattr(decode, "shared_decoder", lambda: decoded.append(True) or shared())
    with pytest.raises(MediaError, match=r"media\.max_pixels"):
        picture(film, DecodeSettings(isolated=isolated, max_pixels=16))
    assert decoded == [isolated]


def test_only_the_video_room_opens_media():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] == "video":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avel_tf.video"):
                used = OPENERS & {alias.name for alias in node.names}
                found += [f"{path.relative_to(PACKAGE)}: {name}" for name in sorted(used)]
    assert not found


@pytest.mark.parametrize(
    "wrong",
    [{"frames_per_second": 0}, {"seconds": 0}, {"block_seconds": 0}, {"size": (0, 8)}],
)
def test_a_request_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DecodeRequest("a.mp4", **wrong)


def test_a_worker_receives_the_same_request():
    request = DecodeRequest("/a.mp4", 4, (8, 9), 3, 2, DecodeSettings(threads=2, codecs=("h264",)))
    assert parse_request(json.loads(decode_message(request))["request"]) == request
