"""Lines that the package itself has logged."""

from __future__ import annotations

import pytest


def our_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages of avel-tf. TensorFlow warns of retracing after other tests of the same process."""
    return [each.getMessage() for each in caplog.records if each.name.startswith("avel_tf")]
