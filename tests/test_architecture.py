"""Imports go one way, and docs/architecture.md describes the tree that is there."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "avel_tf"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
# A room may import those before it.
ORDER = (
    *("utils", "events", "vocabulary", "video", "synthesis", "datasets", "embeddings"),
    *(
        "engines",
        "features",
        "models",
        "evaluation",
        "reports",
        "config",
        "training",
        "export",
        "pretrained",
    ),
    *("inference", "cluster", "serving", "cli"),
)
# These hold nothing but settings, and `config` is composed of them.
SETTINGS = {
    "avel_tf.training.settings",
    "avel_tf.inference.settings",
    "avel_tf.serving.settings",
    "avel_tf.cluster.settings",
}
# What users import: these hand out the names of rooms.
PUBLIC = {"avel_tf", "avel_tf.layers", "avel_tf.losses", "avel_tf.metrics"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """Modules of this package that a file imports, at its top or within functions."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("avel_tf"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avel_tf"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {room(module) for module in MODULES if module not in PUBLIC}
    assert rooms == set(ORDER)


def test_imports_go_one_way_between_rooms() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if module not in PUBLIC
        for imported in imports(path)
        if imported not in PUBLIC and ORDER.index(room(imported)) > ORDER.index(room(module))
        if not (module == "avel_tf.config" and imported in SETTINGS)
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_files_import_each_other_in_a_circle() -> None:
    # A package's own file only hands out names, lazily.
    graph = {
        module: {each for each in imports(path) if each != module}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_what_architecture_names_is_there() -> None:
    text = ARCHITECTURE.read_text("utf-8")
    named = set(re.findall(r"`((?:avel_tf|pipelines|tests|docs|benchmarks)/[\w./-]*)`", text))
    assert len(named) > 20
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, f"docs/architecture.md names what is not there: {missing}"


def test_architecture_has_every_room() -> None:
    text = ARCHITECTURE.read_text("utf-8")
    missing = [name for name in ORDER if f"`avel_tf/{name}" not in text]
    assert not missing, f"docs/architecture.md does not describe {missing}"


@pytest.mark.parametrize("folder", ["avel_tf", "benchmarks", "pipelines"])
def test_docstrings_say_what_the_thing_is(folder: str) -> None:
    riddles = []
    for path in (ROOT / folder).rglob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                first = (ast.get_docstring(node) or "").split("\n")[0]
                if re.match(r"(What|Which|Where|How|Whether|Who)\b", first):
                    riddles.append(f"{path.relative_to(ROOT)}: {first}")
    assert not riddles, "\n".join(riddles)
