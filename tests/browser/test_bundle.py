"""The bundle in the package: small, and what the source gives."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "avel_tf" / "serving" / "static"
NAMES = ("index.html", "app.js", "app.css")


def test_bundle_takes_at_most_60_kb() -> None:
    assert {path.name for path in STATIC.iterdir()} == set(NAMES)
    size = sum(len(gzip.compress((STATIC / name).read_bytes(), 9, mtime=0)) for name in NAMES)
    assert size <= 60_000


def test_bundle_names_no_other_host() -> None:
    text = "".join((STATIC / name).read_text("utf-8") for name in NAMES)
    assert "https://" not in text
    # Namespaces of SVG are names, not addresses.
    assert text.replace("http://www.w3.org/2000/svg", "").count("http://") == 0


def test_bundle_is_what_the_source_gives(tmp_path: Path) -> None:
    web = ROOT / "web"
    if shutil.which("npm") is None or not (web / "node_modules").is_dir():
        pytest.skip("npm or web/node_modules is absent: run npm ci in web/")
    copy = tmp_path / "web"
    shutil.copytree(web, copy, ignore=shutil.ignore_patterns("node_modules"))
    os.symlink(web / "node_modules", copy / "node_modules")
    built = tmp_path / "avel_tf" / "serving" / "static"
    built.mkdir(parents=True)
    subprocess.run(["npm", "run", "--silent", "build"], cwd=copy, check=True, capture_output=True)
    for name in NAMES:
        assert (built / name).read_bytes() == (STATIC / name).read_bytes(), name
