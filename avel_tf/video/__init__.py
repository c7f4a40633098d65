"""Safe decoding of media files and live streams into clips, without TensorFlow.

Names are imported lazily, because PyAV and OpenCV take time to import. `decode.decode` and
`probe.probe` are not exported here, because they would shadow the modules of those names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.video.clip import SAMPLE_RATE, Clip, MediaInfo
    from avel_tf.video.decode import decode_blocks, decode_clip
    from avel_tf.video.decode_request import DecodeRequest
    from avel_tf.video.decode_settings import DecodeSettings
    from avel_tf.video.errors import MediaError
    from avel_tf.video.isolated.decoder import IsolatedDecoder
    from avel_tf.video.source import open_media

_HOMES = {
    "SAMPLE_RATE": "avel_tf.video.clip",
    "Clip": "avel_tf.video.clip",
    "DecodeRequest": "avel_tf.video.decode_request",
    "DecodeSettings": "avel_tf.video.decode_settings",
    "IsolatedDecoder": "avel_tf.video.isolated.decoder",
    "MediaError": "avel_tf.video.errors",
    "MediaInfo": "avel_tf.video.clip",
    "decode_blocks": "avel_tf.video.decode",
    "decode_clip": "avel_tf.video.decode",
    "open_media": "avel_tf.video.source",
}
__all__ = [
    "SAMPLE_RATE",
    "Clip",
    "DecodeRequest",
    "DecodeSettings",
    "IsolatedDecoder",
    "MediaError",
    "MediaInfo",
    "decode_blocks",
    "decode_clip",
    "open_media",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'avel_tf.video' has no attribute {name!r}; it offers {__all__}.")
