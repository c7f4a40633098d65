"""Audio-visual event localization: which event is both heard and seen, for every second.

Public names are handed out lazily: `import avel_tf` itself loads neither TensorFlow nor OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.events.result import Result
    from avel_tf.inference.localizer import Localizer, load

__version__ = "0.1.0"

_HOMES = {
    "Localizer": "avel_tf.inference.localizer",
    "load": "avel_tf.inference.localizer",
    "Result": "avel_tf.events.result",
}
__all__ = ["Localizer", "Result", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'avel_tf' has no attribute {name!r}; it offers {__all__}.")
