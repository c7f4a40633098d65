"""The documentation: its imports work, its links lead somewhere, the files it names exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "saved_models" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert not missing


@pages
def test_named_files_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:avel_tf|benchmarks|pipelines|tests)/[\w./-]+)`", text)
    named += re.findall(r"(?:pytest|python) ((?:benchmarks|pipelines|tests)/[\w./]+)", text)
    assert not [name for name in named if not (ROOT / name).exists()]


@pages
def test_python_examples_import_what_there_is(page: Path) -> None:
    statements = re.findall(
        r"^\s*from (avel_tf[\w.]*) import ([\w, ]+)", page.read_text("utf-8"), re.M
    )
    for module, names in statements:
        found = importlib.import_module(module)
        assert all(hasattr(found, name.strip()) for name in names.split(",")), (module, names)
