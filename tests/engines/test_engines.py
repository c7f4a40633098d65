"""Every engine runs the same networks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.embeddings import AudioSettings, EmbeddingSettings, VisualSettings, load_extractor
from avel_tf.engines.available import EngineChoice, computes_in_bfloat16
from avel_tf.engines.engine import Graphs, backbone_graphs
from avel_tf.engines.selection import make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.result import Result
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.loading import load_graphs
from tests.engines.streams import MadeStream

ROOT = Path(__file__).resolve().parents[2]
needs_bfloat16 = pytest.mark.skipif(
    not computes_in_bfloat16(), reason="this processor has no instructions for bfloat16"
)
CHOICES = [
    pytest.param(
        EngineChoice(engine, precision),
        marks=[needs_bfloat16] if precision == "bfloat16" else [],
        id=f"{engine} {precision}",
    )
    for engine in ("tensorflow", "openvino")
    for precision in ("float32", "bfloat16")
]
by_choice = pytest.mark.parametrize("choice", CHOICES)


@pytest.fixture(scope="module", params=CHOICES)
def choice(request) -> EngineChoice:
    return request.param


@pytest.fixture(scope="module")
def engine(extractor, choice):
    """Each engine in turn, whose batches have two calls and more."""
    return make_engine(choice, backbone_graphs(extractor), EngineSettings(batch_pictures=4))


def embedded(engine, numbers: list[int], **options) -> tuple[np.ndarray, np.ndarray]:
    """Visual [N, Dv] and audio [N, Da] of the seconds of these numbers."""
    stream = MadeStream(numbers, **options)
    parts = [(visual, audio) for _, visual, audio in engine.embed(stream)]
    visual, audio = zip(*parts, strict=True)
    return np.concatenate(visual), np.concatenate(audio)


def cosines(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
    return (expected * found).sum(-1) / lengths


def test_embeddings_are_those_of_the_extractor(extractor, choice, engine):
    visual, audio = embedded(engine, list(range(7)))
    (batch,) = MadeStream(list(range(7))).batches(7)
    expected = [each.numpy()[:, 0] for each in extractor(batch.frames[:, None], batch.waveform)]
    for found, right in zip((visual, audio), expected, strict=True):
        assert found.dtype == np.float32 and found.shape == right.shape
        if choice.precision == "float32":
            np.testing.assert_allclose(found, right, atol=2e-4)
        else:
            # A dozen layers on noise; whether a precision is near enough to be used is proven on
            # real pictures (test_choose.py), and 0.999 is asked for there.
            assert cosines(right, found).min() > 0.995
            assert np.abs(found - right).max() > 1e-4  # or it was float32 after all


def test_two_streams_may_be_read_in_turns(engine):
    """As by `localize` inside a loop over `localize_directory`."""
    expected = embedded(engine, list(range(12)))
    found = []
    for _, visual, _ in engine.embed(MadeStream(list(range(12)))):
        embedded(engine, [20, 21, 22])
        found.append(visual)
    assert np.concatenate(found).tobytes() == expected[0].tobytes()


@pytest.mark.slow
@by_choice
def test_real_networks_too(shared, choice):
    """MobileNetV2 and YAMNet; in bfloat16 the former strays, which the proof is there to see."""
    settings = EmbeddingSettings(
        VisualSettings(
            module=str(shared / "backbones" / "mobilenet_v2_100_224"), frames_per_second=1
        ),
        AudioSettings(module=str(shared / "backbones" / "yamnet")),
    )
    extractor = load_extractor(settings)
    engine = make_engine(choice, backbone_graphs(extractor), EngineSettings())
    options = {"frames_per_second": 1, "size": 224}
    visual, audio = embedded(engine, list(range(5)), **options)
    (batch,) = MadeStream(list(range(5)), **options).batches(5)
    expected = [each.numpy()[:, 0] for each in extractor(batch.frames[:, None], batch.waveform)]
    least = 0.99999 if choice.precision == "float32" else 0.98
    assert cosines(expected[0], visual).min() > least
    assert cosines(expected[1], audio).min() > least


@pytest.fixture(scope="module")
def graphs(exported):
    model = ExportedModel(exported)
    return Graphs(model.fingerprint, model.recipe, model.load_graphs)


@pytest.fixture(scope="module")
def label(exported):
    """Of graphs of its own, because TensorFlow keeps what an engine rewrites."""
    return load_graphs(exported).label


@pytest.mark.slow
@by_choice
def test_labels_are_computed_in_float32_by_all(exported, graphs, label, choice):
    model = ExportedModel(exported)
    engine = make_engine(choice, graphs, EngineSettings())
    for shape in ((1, 1), (3, 10), (16, 7)):
        rng = np.random.default_rng(0)
        visual, audio = (
            rng.uniform(0, 2, (*shape, width)).astype("float32")
            for width in (model.recipe.visual.width, model.recipe.audio.width)
        )
        valid = np.ones(shape, bool)
        valid[-1, -1] = False
        probabilities = engine.label(visual, audio, valid)
        assert probabilities.shape == (*shape, len(model.labels) + 1)
        np.testing.assert_allclose(probabilities, label(visual, audio, valid), atol=2e-5)


def test_backbones_alone_name_no_classes(engine):
    zeros = np.zeros((1, 1, 4), "float32")
    with pytest.raises(ValueError, match="have no localizer"):
        engine.label(zeros, zeros, np.ones((1, 1), bool))


RUN = """
import sys
from avel_tf.cli.main import main
code = main(sys.argv[1:])
assert sys.modules.get("openvino_telemetry") is None  # nothing is reported to anybody
assert "tensorflow" not in sys.modules
sys.exit(code)
"""


@pytest.mark.slow
def test_what_was_compiled_is_used_again_without_tensorflow(exported, clips, tmp_path, monkeypatch):
    """And with nothing in the cache, networks are compiled that give the same bytes."""
    videos = clips / "videos" / "test"
    results = []
    for number, cache in enumerate(("a", "a", "b")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        out = tmp_path / str(number)
        words = ["infer", str(videos), "--model", str(exported), "--engine", "openvino"]
        words += ["--out", str(out), "--formats", "jsonl"]
        if number == 1:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, "-c", RUN, *words], env=environment, check=True)
        else:
            assert main(words) == 0
        results.append([*map(Result.from_json, (out / "results.jsonl").read_text().splitlines())])
    assert results[0] == results[1] == results[2] and len(results[0]) == 4
