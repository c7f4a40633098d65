"""The Python examples of docs/guide/python.md run as they are written, from top to bottom."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide" / "python.md"


@pytest.fixture
def folder(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the examples name."""
    shutil.copytree(clips, tmp_path / "DATA")
    (tmp_path / "videos").mkdir()
    for number, video in enumerate(sorted(clips.glob("videos/test/*.mp4"))[:2]):
        shutil.copy(video, tmp_path / "videos" / f"{number}.mp4")
    shutil.copy(tmp_path / "videos" / "0.mp4", tmp_path / "dog.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_python_examples_run(folder: Path) -> None:
    text = GUIDE.read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == text.count("```python") > 5
    names: dict[str, Any] = {}
    for block in blocks:
        line = text[: text.index(block)].count("\n")
        # Blank lines before it, so that a traceback names the line of the page.
        exec(compile("\n" * line + block, str(GUIDE), "exec"), names)
    for name in ("dog.srt", "EVALUATION/metrics.json", "RESULTS/results.csv"):
        assert (folder / name).is_file()
    assert names["result"].status == "ok" and names["events"].columns[0] == "video"
    assert list(names["segments"].columns) == ["video", "start", "end", "label", "score"]
    assert names["silent"].reason == "no audio track: silence was assumed"
    assert names["mine"].output_shape == names["model"].output_shape
