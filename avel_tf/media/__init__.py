"""Media files: opened safely, probed, and decoded into clips. No TensorFlow here.

The names are handed out lazily, because PyAV and OpenCV take time to import. `probe` lives in
`avel_tf.media.probe`: here it would shadow the module of that name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.media.clip import SAMPLE_RATE, Clip
    from avel_tf.media.decode import decode_blocks, decode_clip
    from avel_tf.media.decode_settings import DecodeSettings
    from avel_tf.media.errors import MediaError
    from avel_tf.media.isolated import IsolatedDecoder
    from avel_tf.media.probe import MediaInfo
    from avel_tf.media.source import open_media

_HOMES = {
    "SAMPLE_RATE": "avel_tf.media.clip",
    "Clip": "avel_tf.media.clip",
    "DecodeSettings": "avel_tf.media.decode_settings",
    "IsolatedDecoder": "avel_tf.media.isolated",
    "MediaError": "avel_tf.media.errors",
    "MediaInfo": "avel_tf.media.probe",
    "decode_blocks": "avel_tf.media.decode",
    "decode_clip": "avel_tf.media.decode",
    "open_media": "avel_tf.media.source",
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
    raise AttributeError(f"module 'avel_tf.media' has no attribute {name!r}; it offers {__all__}.")
