"""The shipped model's graphs as OpenVINO reads them, against the same graphs in TensorFlow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avel_tf import pretrained
from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.engine import Graphs
from avel_tf.engines.selection import CONVERTED, REFERENCE, choose_engine, make_engine, sample_clips
from avel_tf.engines.settings import EngineSettings
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.loading import load_graphs
from avel_tf.export.manifest import read_manifest
from avel_tf.pretrained import find_converted, find_pretrained
from avel_tf.video.decode_settings import DecodeSettings

# The float32 of two libraries: sums in another order, over some 40 layers.
CLOSE = {"rtol": 0, "atol": 1e-3}
MOST_BYTES = 11_000_000


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    model = find_pretrained()
    key = ExportedModel(model).fingerprint
    recipe = Recipe.from_dict(read_manifest(model)["recipe"])
    return Graphs(key, recipe, lambda: load_graphs(model), find_converted(key))


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """A package folder with the converted graphs, to be damaged."""
    folder = tmp_path / "shipped" / pretrained.CONVERTED
    shutil.copytree(pretrained.FOLDER / pretrained.CONVERTED, folder)
    monkeypatch.setattr(pretrained, "FOLDER", folder.parent)
    return folder


def test_openvino_computes_what_tensorflow_does(graphs, clips, tmp_path):
    """What lets OpenVINO in float32 stand in for TensorFlow when another engine is proven."""
    assert graphs.converted is not None
    settings = EngineSettings(cache=str(tmp_path))
    videos = sorted(clips.glob("videos/**/*.mp4"))
    sample = sample_clips(videos, graphs.recipe, DecodeSettings())
    frames = np.concatenate([clip.frames for clip in sample])  # [N, F, H, W, 3]
    waveform = np.concatenate([clip.waveform for clip in sample]).reshape(len(frames), -1)
    valid = np.ones((2, len(frames)), bool)
    valid[1, ::3] = False
    seconds, answers = range(len(frames)), []
    for choice in (REFERENCE, CONVERTED):
        engine = make_engine(choice, graphs, settings)
        parts = [engine.embed_seconds(frames[i : i + 1], waveform[i : i + 1]) for i in seconds]
        visual, audio = (np.concatenate(column) for column in zip(*parts, strict=True))
        both = [np.stack([each, each]) for each in (visual, audio)]
        answers.append((visual, audio, engine.label(*both, valid)))
    for expected, found in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, **CLOSE)
    assert (answers[0][2].argmax(-1) == answers[1][2].argmax(-1)).all()
    assert not list(tmp_path.rglob("*.xml"))  # nothing was converted


def test_a_first_use_imports_no_tensorflow(clips, tmp_path):
    video = next(clips.glob("videos/test/*.mp4"))
    code = (
        "import sys\n"
        "from avel_tf.engines.settings import EngineSettings\n"
        "from avel_tf.inference.localizer import Localizer\n"
        "from avel_tf.pretrained import find_pretrained\n"
        f"engine = EngineSettings(cache={str(tmp_path)!r})\n"
        f"result = Localizer(find_pretrained(), engine=engine).localize({str(video)!r})\n"
        "assert result.status == 'ok', result\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_it_is_small():
    files = (pretrained.FOLDER / pretrained.CONVERTED).iterdir()
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@pytest.mark.parametrize("name", ["embed.bin", "embed.xml", "label-valid.bin", "label-valid.xml"])
def test_a_changed_or_missing_file_is_not_taken(copied, graphs, name):
    assert find_converted(graphs.key) == copied
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    assert find_converted(graphs.key) is None
    (copied / name).unlink()
    assert find_converted(graphs.key) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fingerprint": 1, "sha256": []}'])
def test_a_damaged_manifest_is_no_conversion(copied, graphs, text):
    (copied / pretrained.CONVERTED_MANIFEST).write_text(text)
    assert find_converted(graphs.key) is None
    assert find_converted(1) is None


def test_it_is_for_no_other_model():
    assert find_converted("another") is None


@pytest.mark.slow
def test_what_openvino_cannot_read_is_converted_anew(copied, graphs, tmp_path, caplog):
    """As a later format of its files might be to an OpenVINO of today."""
    (copied / "label-valid.xml").write_text("<net>")
    settings = EngineSettings(name="openvino", precision="float32", cache=str(tmp_path / "cache"))
    unreadable = Graphs(graphs.key, graphs.recipe, graphs.load, copied)
    engine = make_engine(choose_engine(unreadable, settings, list), unreadable, settings)
    recipe = graphs.recipe
    shapes = [(1, 2, width) for width in (recipe.visual.width, recipe.audio.width)]
    features = [np.ones(shape, np.float32) for shape in shapes]
    assert engine.label(*features, np.ones((1, 2), bool)).shape[:2] == (1, 2)
    assert list((tmp_path / "cache").rglob("label-valid.xml"))
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
