"""Media files: opened safely, probed, and decoded into clips. No TensorFlow here.

The names are handed out lazily, because PyAV and OpenCV take time to import. `probe` lives in
`avel_tf.video.probe`: here it would shadow the module of that name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.video.clip import SAMPLE_RATE, Clip
    from avel_tf.video.decode import decode_blocks, decode_clip
    from avel_tf.video.decode_settings import DecodeSettings
    from avel_tf.video.errors import MediaError
    from avel_tf.video.isolated.decoder import IsolatedDecoder
    from avel_tf.video.probe import MediaInfo
    from avel_tf.video.source import open_media

_HOMES = {
    "SAMPLE_RATE": "avel_tf.video.clip",
    "Clip": "avel_tf.video.clip",
    "DecodeSettings": "avel_tf.video.decode_settings",
    "IsolatedDecoder": "avel_tf.video.isolated.decoder",
    "MediaError": "avel_tf.video.errors",
    "MediaInfo": "avel_tf.video.probe",
    "decode_blocks": "avel_tf.video.decode",
    "decode_clip": "avel_tf.video.decode",
    "open_media": "avel_tf.video.source",
}
__all__ = [
    "SAMPLE_RATE",
    "Clip",
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
