"""A model that stands in for the shipped one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avel_tf import pretrained
from avel_tf.export.manifest import read_manifest, with_hashes

MEASURED = {
    "montage": {
        "videos": 300,
        "segments": 3000,
        "segment_accuracy": 0.815,
        "all_background": 0.552,
        "per_class": {},
    },
    "real_clips": {
        "offered": {"clips": 4, "seconds": 22, "right": 14},
        "others": {"clips": 36, "seconds": 298, "false_alarms": 21},
    },
    "real_clips_unseen": {
        "offered": {"clips": 3, "seconds": 16, "right": 9},
        "others": {"clips": 19, "seconds": 157, "false_alarms": 12},
    },
    "dropped": {"Bus": "1 test sounds; at least 5 are needed"},
}


@pytest.fixture
def stand_in(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder with the small model of the tests in it, sealed with what was measured."""
    folder = tmp_path / "shipped"
    model = folder / "1"
    shutil.copytree(exported, model)
    manifest = with_hashes({**read_manifest(model), pretrained.MEASURED: MEASURED}, model)
    (model / "assets" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    return model
