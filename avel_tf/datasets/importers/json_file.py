"""JSON files of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from avel_tf.datasets.dataset import DatasetError
from avel_tf.datasets.reading import decode_text, read_bytes


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        DatasetError: It cannot be read, or is not JSON.
    """
    try:
        return json.loads(decode_text(read_bytes(path), "latin-1"))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON: {error}.") from error
