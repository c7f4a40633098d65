"""Which engine is taken, and when one is not."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace

import numpy as np
import pytest

from avel_tf.engines import available, selection
from avel_tf.engines.available import REFERENCE, EngineChoice, EngineUnavailableError, cache_folder
from avel_tf.engines.engine import KnownOutputs, backbone_graphs
from avel_tf.engines.sample import sample_clips
from avel_tf.engines.selection import choose_engine, make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.engines.tensorflow_engine import TensorFlowEngine
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.video.decode_settings import DecodeSettings
from tests.logs import our_lines

OPENVINO = EngineChoice("openvino", "float32")
FAST = EngineChoice("openvino", "bfloat16")
FAST_TENSORFLOW = EngineChoice("tensorflow", "bfloat16")


@pytest.fixture
def settings(tmp_path) -> EngineSettings:
    return EngineSettings(cache=str(tmp_path))


@pytest.fixture(scope="module")
def graphs(exported):
    return InferencePipeline(exported)._graphs


class Reference:
    """The engine that is right, and that others are made of. It embeds the sample once."""

    device = None

    def __init__(self, graphs) -> None:
        self._engine = TensorFlowEngine(graphs)
        self.batch_seconds = self._engine.batch_seconds
        self.label = self._engine.label
        self._parts = None

    def embed(self, stream):
        self._parts = self._parts or list(self._engine.embed(stream))
        yield from self._parts


@pytest.fixture(scope="module")
def reference(graphs) -> Reference:
    return Reference(graphs)


@pytest.fixture(scope="module")
def decoded(graphs, clips):
    videos = sorted(clips.glob("videos/**/*.mp4"))
    return sample_clips(videos, graphs.recipe, DecodeSettings())


@pytest.fixture
def sample(decoded):
    """Gives the proof's clips, and counts how often."""

    def fetch():
        fetch.calls += 1
        return decoded

    fetch.calls = 0
    return fetch


class Astray:
    """An engine that is right but for one thing."""

    device = None

    def __init__(self, engine, *, embedding: float = 0.0, label: bool = False) -> None:
        self._engine, self._embedding, self._label = engine, embedding, label
        self.batch_seconds = engine.batch_seconds

    def embed(self, stream):
        for batch, visual, audio in self._engine.embed(stream):
            visual = visual.copy()
            visual[-1, 0] += self._embedding
            yield batch, visual, audio

    def label(self, visual, audio, valid):
        probabilities = self._engine.label(visual, audio, valid).copy()
        if self._label:
            probabilities[0, 0] = np.roll(probabilities[0, 0], 1)
        return probabilities


@pytest.fixture
def in_place_of(reference, monkeypatch):
    """Puts other engines in the place of real ones, by choice."""
    engines = {}

    def make(choice, graphs, settings):
        return engines[choice](reference) if choice in engines else reference

    monkeypatch.setattr(selection, "load_engine", make)
    monkeypatch.setattr(available, "computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(available, "computes_in_int8", lambda: True)
    monkeypatch.setattr(available, "_has_nncf", lambda: True)
    monkeypatch.setattr(available, "_has_gpu", lambda: False)
    return engines


def test_what_is_named_in_full_needs_no_proof(graphs, settings, sample):
    for name in ("tensorflow", "openvino"):
        choice = choose_engine(graphs, replace(settings, name=name, precision="float32"), sample)
        assert choice == EngineChoice(name, "float32")
    assert sample.calls == 0


def test_the_fastest_that_is_proven(graphs, settings, sample, in_place_of):
    assert choose_engine(graphs, settings, sample) == FAST
    assert choose_engine(graphs, replace(settings, precision="float32"), sample) == OPENVINO
    # Whether TensorFlow's bfloat16 keeps every label differs between processors and networks.
    in_place_of[FAST_TENSORFLOW] = lambda engine: engine
    in_tensorflow = choose_engine(graphs, replace(settings, name="tensorflow"), sample)
    assert in_tensorflow == FAST_TENSORFLOW


def test_the_finding_is_kept_for_these_graphs(graphs, settings, sample, in_place_of):
    for _ in range(3):
        choose_engine(graphs, settings, sample)
    assert sample.calls == 1
    choose_engine(replace(graphs, key="others"), settings, sample)
    assert sample.calls == 2
    for path in cache_folder(settings).glob("proofs/*.json"):
        path.write_text("{")
    assert choose_engine(graphs, settings, sample) == FAST and sample.calls == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [({"embedding": 1e4}, "have a cosine of 0."), ({"label": True}, "1 of 8 labels change")],
)
def test_one_that_strays_is_not_taken_and_a_line_says_so(
    graphs, settings, sample, in_place_of, caplog, fault, said
):
    in_place_of[FAST] = lambda engine: Astray(engine, **fault)
    with caplog.at_level(logging.WARNING):
        assert choose_engine(graphs, settings, sample) == OPENVINO
    (line,) = our_lines(caplog)
    assert "The engine openvino bfloat16 is not used" in line and said in line
    in_place_of[OPENVINO] = in_place_of[FAST]
    settings = replace(settings, name="openvino")
    assert choose_engine(graphs, settings, sample) == REFERENCE


def test_an_engine_that_fails_is_not_taken(graphs, settings, sample, in_place_of, caplog):
    def fail(engine):
        raise RuntimeError("OpenVINO failed: RuntimeError: bad combination\n")

    in_place_of[FAST] = in_place_of[OPENVINO] = fail
    openvino = replace(settings, name="openvino")
    with caplog.at_level(logging.WARNING):
        assert choose_engine(graphs, openvino, sample) == REFERENCE
    lines = our_lines(caplog)
    assert [line.split(":")[0] for line in lines] == [
        f"The engine openvino {each} is not used" for each in ("bfloat16", "float32")
    ]
    assert all("bad combination" in line for line in lines)


def test_a_hair_is_no_stray(graphs, settings, sample, in_place_of):
    in_place_of[FAST] = lambda engine: Astray(engine, embedding=1e-3)
    assert choose_engine(graphs, settings, sample) == FAST


def test_known_outputs_take_the_place_of_tensorflow(graphs, settings, sample, in_place_of, caplog):
    clips = sample()
    outputs = selection._outputs(selection.load_engine(REFERENCE, graphs, settings), graphs, clips)
    known = replace(
        graphs, known_outputs=lambda: KnownOutputs(lambda: clips, *outputs, ("float32",))
    )
    in_place_of[REFERENCE] = lambda engine: pytest.fail("TensorFlow is not needed")
    # bfloat16 is not tried and causes no warning, as it is known to differ.
    assert choose_engine(known, settings, lambda: []) == OPENVINO and not our_lines(caplog)
    in_place_of[OPENVINO] = lambda engine: Astray(engine, embedding=1e4)
    other = replace(known, key="another")
    assert choose_engine(other, settings, lambda: []) == REFERENCE
    assert "openvino float32 is not used" in caplog.text


def test_a_precision_by_name_is_verified_as_any(graphs, settings, sample, in_place_of):
    known = replace(graphs, known_outputs=lambda: KnownOutputs(list, *[None] * 3, ("float32",)))
    wanted = replace(settings, precision="bfloat16")
    assert choose_engine(known, wanted, sample) == FAST and sample.calls == 1


def test_without_a_picture_nothing_is_proven_and_nothing_kept(
    graphs, settings, in_place_of, caplog
):
    assert choose_engine(graphs, settings, lambda: []) == REFERENCE
    assert "No frame could be read" in caplog.text
    assert choose_engine(graphs, replace(settings, name="openvino"), lambda: []) == OPENVINO
    assert not list(cache_folder(settings).glob("proofs/*"))


def test_another_output_of_a_module_is_another_network(extractor, monkeypatch):
    key = backbone_graphs(extractor).key
    monkeypatch.setattr(extractor.audio, "output", 1)
    assert backbone_graphs(extractor).key != key


def test_an_unwritable_cache_is_replaced_for_this_run(graphs, tmp_path, caplog):
    """Whatever the processor: also where there is but one engine, and so nothing to prove."""
    (tmp_path / "file").touch()
    settings = EngineSettings(
        name="openvino", precision="float32", cache=str(tmp_path / "file" / "cache")
    )
    root = logging.getLogger()
    before = root.level, list(root.handlers), list(root.filters)
    engine = make_engine(choose_engine(graphs, settings, lambda: []), graphs, settings)
    # OpenVINO's conversion would silence the warnings of the whole process.
    assert (root.level, root.handlers, root.filters) == before
    assert "cannot be written" in caplog.text and cache_folder(settings).is_dir()
    assert engine.batch_seconds


def test_a_gpu_that_tensorflow_does_not_see(graphs, settings, sample, in_place_of, monkeypatch):
    monkeypatch.setattr(available, "_has_gpu", lambda: True)
    assert choose_engine(graphs, settings, sample) == FAST
    only = replace(settings, precision="float16")
    with pytest.raises(ValueError, match="TensorFlow found none"):
        TensorFlowEngine(graphs, choose_engine(graphs, only, sample).precision)


def test_not_installed(graphs, settings, sample, in_place_of, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == "openvino" else find(name)
    )
    with pytest.raises(EngineUnavailableError, match=r"pip install 'avel-tf\[openvino\]'"):
        choose_engine(graphs, replace(settings, name="openvino"), sample)
    assert choose_engine(graphs, settings, sample).engine == "tensorflow"


def test_no_device_for_a_precision(graphs, settings, sample, in_place_of):
    with pytest.raises(EngineUnavailableError, match="supports float16. Available: openvino"):
        choose_engine(graphs, replace(settings, precision="float16"), sample)


def test_the_sample_passes_over_what_cannot_be_read(graphs, clips, tmp_path):
    videos = sorted(clips.glob("videos/**/*.mp4"))[:5]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    found = sample_clips([broken, *videos], graphs.recipe, DecodeSettings())
    assert [each.info.path for each in found] == [str(path) for path in videos[:4]]
    assert sum(each.frames.shape[0] * each.frames.shape[1] for each in found) == 16
    assert sample_clips([broken], graphs.recipe, DecodeSettings()) == []


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(EngineSettings()) == tmp_path / "avel-tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder(EngineSettings()) == tmp_path / "home" / ".cache" / "avel-tf"
    assert cache_folder(EngineSettings(cache="here")).name == "here"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("AVX2", False), ("avx512_core", False), ("AVX512_CORE_BF16", True), ("", True)],
)
def test_bfloat16_respects_the_limit_set_for_onednn(monkeypatch, limit, expected):
    """oneDNN ends the process where it is asked for what it may not use."""
    monkeypatch.setattr(available, "_processor", lambda: {"flags": "avx2 avx512_bf16"})
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert available.computes_in_bfloat16() == expected
