"""Networks in int8: when they are made, proven and used. No test needs a processor with VNNI."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.cli.doctor import run as doctor
from avel_tf.cli.main import main
from avel_tf.embeddings.recipe import Recipe, RecipeMismatchError
from avel_tf.engines import available, int8, quantization
from avel_tf.engines.available import EngineChoice, EngineUnavailableError, engines_for
from avel_tf.engines.crashes import recorded_crashes
from avel_tf.engines.engine import backbone_graphs
from avel_tf.engines.int8_proof import Int8Finding, compare, findings, smallest_cosine
from avel_tf.engines.openvino_engine import network_folder
from avel_tf.engines.quantization import find_quantized, later_clips
from avel_tf.engines.sample import SampleFiles, sample_clips
from avel_tf.engines.selection import choose_engine, make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.result import Result
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.utils.child_process import ChildProcess
from avel_tf.utils.lazy_imports import load_openvino
from avel_tf.video.decode_settings import DecodeSettings
from tests.logs import our_lines

FLOAT32 = EngineChoice("openvino", "float32")


@pytest.fixture(scope="module")
def graphs(exported):
    return InferencePipeline(exported)._graphs


@pytest.fixture(scope="module")
def videos(clips) -> list[Path]:
    return sorted(clips.glob("videos/**/*.mp4"))


@pytest.fixture(scope="module")
def cache(made_once, graphs, videos) -> Path:
    """A cache with a quantized network, calibrated on three files and compared on the next."""

    def fill(folder: Path) -> None:
        settings = EngineSettings("openvino", "int8", cache=str(folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(quantization, "IMAGES", 24)
            patch.setattr(int8, "SEGMENTS", 12)
            choose_engine(graphs, settings, list, SampleFiles(videos, graphs.recipe, MEDIA))

    return made_once("int8-cache", fill)


MEDIA = DecodeSettings()


@pytest.fixture
def settings(cache) -> EngineSettings:
    return EngineSettings("openvino", "int8", cache=str(cache))


@pytest.fixture
def files(graphs, videos) -> SampleFiles:
    return SampleFiles(videos, graphs.recipe, MEDIA)


@pytest.fixture
def none_left(graphs) -> SampleFiles:
    return SampleFiles([], graphs.recipe, MEDIA)


@pytest.fixture
def with_vnni(monkeypatch):
    """`auto` considers int8, as on a processor with VNNI; the engine computes as this one does."""
    monkeypatch.setattr(available, "computes_in_int8", lambda: True)
    monkeypatch.setattr(available, "computes_in_bfloat16", lambda: False)
    monkeypatch.setattr(available, "_has_gpu", lambda: False)


def finding(**values) -> Int8Finding:
    """A finding that is accepted but for the values."""
    given = {"graphs": "g", "network": "n", "reference": "openvino float32", "segments": 300}
    given |= {"flips": 3, "cosine": 0.99, "labelled": 0, "right": (0, 0), "date": "2026-11-29"}
    return Int8Finding(**{**given, **values})


def keep_finding(monkeypatch, **values) -> None:
    monkeypatch.setattr(int8, "find_finding", lambda graphs, network, settings: finding(**values))


@pytest.mark.slow
def test_labels_of_the_quantized_network(graphs, settings, none_left, videos):
    """It computes other embeddings than float32, which are near."""
    choice = choose_engine(graphs, settings, list, none_left)
    clips = sample_clips(videos, graphs.recipe, MEDIA)
    quantized, exact = (make_engine(each, graphs, settings) for each in (choice, FLOAT32))
    assert quantized.choice == choice and quantized.choice.network
    for clip in clips:
        arrays = clip.frames, clip.waveform.reshape(clip.seconds, -1)
        (visual, audio), (right, sounds) = (
            engine.embed_seconds(*arrays) for engine in (quantized, exact)
        )
        assert smallest_cosine(right, visual) > 0.9 and np.abs(right - visual).max() > 1e-4
        assert smallest_cosine(sounds, audio) > 0.9 and np.abs(sounds - audio).max() > 1e-4


@pytest.mark.slow
def test_what_stays_in_float(graphs, settings):
    """The spectrogram, the first convolution on it, and dense layers."""
    folder = network_folder(graphs, available.cache_folder(settings))
    nodes = load_openvino().Core().read_model(folder / "embed-int8.xml").get_ordered_ops()
    audio: list[str] = []
    convolutions = []
    for node in nodes:
        sources = [each.get_source_output().get_node() for each in node.inputs()]
        kind = node.get_type_name()
        if kind == "Parameter" and len(node.get_output_partial_shape(0)) == 2:
            audio.append(node.get_friendly_name())
        elif any(source.get_friendly_name() in audio for source in sources):
            audio.append(node.get_friendly_name())
            assert convolutions or kind != "FakeQuantize"
            if kind in ("Convolution", "GroupConvolution"):
                convolutions.append("FakeQuantize" in [each.get_type_name() for each in sources])
        assert kind != "MatMul" or "FakeQuantize" not in [each.get_type_name() for each in sources]
    assert convolutions[0] is False and len(convolutions) > 1 and all(convolutions[1:])


@pytest.mark.slow
def test_it_is_made_once_and_kept(graphs, settings, files, none_left, monkeypatch, caplog):
    """Later runs use the same one, whatever their files, and what was found about it."""
    monkeypatch.setattr(int8, "quantize", lambda *_: pytest.fail("quantized again"))
    network = find_quantized(graphs, settings)
    assert network.content["calibration"]["files"] == network.files == 3
    assert network.content["layers"]["quantized"] and network.content["layers"]["float"]
    assert choose_engine(graphs, settings, list, none_left) == network.choice
    assert network.choice.description == f"openvino int8 {network.choice.network}"
    (found,) = findings(settings)
    assert found.segments == 12 and 0 <= found.flips <= found.segments
    # It is said at each run that 12 segments are no proof.
    (line,) = our_lines(caplog)
    assert f"{found.flips} of 12 labels differ from openvino float32" in line
    assert "a proof needs 200 segments" in line
    assert find_quantized(replace(graphs, key="others"), settings) is None


@pytest.mark.slow
def test_auto_takes_what_is_proven(graphs, settings, none_left, with_vnni, monkeypatch, caplog):
    auto = replace(settings, precision="auto")
    network = find_quantized(graphs, settings).choice
    assert choose_engine(graphs, auto, list, none_left) == FLOAT32
    keep_finding(monkeypatch)
    assert choose_engine(graphs, auto, list, none_left) == network
    for values in ({"flips": 4}, {"segments": 199, "flips": 0}, {"labelled": 300, "right": (9, 8)}):
        keep_finding(monkeypatch, **values)
        assert choose_engine(graphs, auto, list, none_left) == FLOAT32
    # Without the files of the run, as on a cluster, int8 is not considered.
    keep_finding(monkeypatch)
    assert choose_engine(graphs, auto, list) == FLOAT32
    assert not our_lines(caplog)


@pytest.mark.slow
def test_auto_refuses_what_changes_labels(
    graphs, settings, files, with_vnni, monkeypatch, caplog, tmp_path
):
    """A network whose embeddings are rotated: labels follow them, so that many change."""
    monkeypatch.setattr(int8, "FEWEST_FILES", len(files))
    monkeypatch.setattr(int8, "save_finding", lambda *_: None)
    monkeypatch.setattr(int8, "find_finding", lambda *_: None)
    made = int8.load_engine

    class Rotated:
        def __init__(self, engine) -> None:
            self._engine, self.batch_seconds = engine, engine.batch_seconds

        def embed_seconds(self, frames, waveform):
            visual, audio = self._engine.embed_seconds(frames, waveform)
            return -visual, audio[:, ::-1].copy()

        def label(self, *features):
            return self._engine.label(*features)

    def make(choice, *rest):
        engine = made(choice, *rest)
        return Rotated(engine) if choice.precision == "int8" else engine

    monkeypatch.setattr(int8, "load_engine", make)
    auto = replace(settings, precision="auto")
    with caplog.at_level(logging.WARNING):
        assert choose_engine(graphs, auto, list, files) == FLOAT32
    (line,) = our_lines(caplog)
    assert "The engine openvino int8 is not used" in line and "(allowed: 1%)" in line


def test_auto_does_not_quantize_for_few_files(graphs, tmp_path, files, with_vnni, monkeypatch):
    monkeypatch.setattr(int8, "quantize", lambda *_: pytest.fail("quantized for 14 files"))
    auto = EngineSettings("openvino", cache=str(tmp_path))
    assert choose_engine(graphs, auto, list, files) == FLOAT32


@pytest.mark.slow
def test_what_users_get(exported, clips, cache, tmp_path, capsys, monkeypatch):
    """The network's digest is in the setup of the run, so networks are not mixed."""
    folder = tmp_path / "results"
    words = [
        "infer",
        str(clips / "videos" / "test"),
        "--model",
        str(exported),
        "--out",
        str(folder),
    ]
    words += ["--formats", "jsonl", "--set", f"engine.cache={cache}"]
    assert main([*words, "--set", "engine.precision=int8"]) == 0
    said = capsys.readouterr()
    assert "Engine: openvino int8 " in said.out
    lines = (folder / "results.jsonl").read_text().splitlines()
    assert {Result.from_json(line).status for line in lines} == {"ok"}
    assert main([*words, "--set", "engine.precision=float32", "--engine", "openvino"]) == 1
    assert "engine 'openvino int8 " in capsys.readouterr().err
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "avel-tf").symlink_to(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    doctor(type("Options", (), {"model": None}))
    assert "is not proven (" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["SIGILL", "SIGKILL"])
def test_a_crash_while_quantizing(graphs, files, tmp_path, monkeypatch, caplog, deed):
    send = ChildProcess.send

    def send_and_kill(child: ChildProcess, message: bytes, descriptors=()) -> None:
        send(child, message, descriptors)
        if json.loads(message)["do"] == "quantize":
            os.kill(child.pid, getattr(signal, deed))

    monkeypatch.setattr(ChildProcess, "send", send_and_kill)
    settings = EngineSettings(precision="int8", cache=str(tmp_path))
    with caplog.at_level(logging.WARNING):
        choice = choose_engine(graphs, settings, lambda: [], files)
    assert choice.precision == "float32"
    line = our_lines(caplog)[0]
    assert "cannot be quantized" in line and deed in line
    faults = [crash.fault for crash in recorded_crashes(settings, graphs)]
    assert faults == ([] if deed == "SIGKILL" else [deed])
    named = replace(settings, name="openvino")
    with pytest.raises(EngineUnavailableError, match="No media file|crashed with this model"):
        choose_engine(graphs, named, list, files)


def test_without_what_it_needs(graphs, tmp_path, files, none_left, monkeypatch):
    settings = EngineSettings("openvino", "int8", cache=str(tmp_path))
    with pytest.raises(EngineUnavailableError, match="no files to calibrate one on"):
        choose_engine(graphs, settings, list, none_left)
    with pytest.raises(EngineUnavailableError, match="not available with --ray"):
        choose_engine(graphs, settings, list)
    with pytest.raises(EngineUnavailableError, match="has no such network, but this run uses abc"):
        make_engine(EngineChoice("openvino", "int8", "abc"), graphs, settings)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == "nncf" else find(name)
    )
    with pytest.raises(EngineUnavailableError, match=r"nncf.*pip install 'avel-tf\[openvino\]'"):
        engines_for(settings)
    monkeypatch.setattr(available, "computes_in_int8", lambda: True)
    assert all(each.precision != "int8" for each in engines_for(EngineSettings(), gpu=False))


@pytest.mark.slow
def test_features_tell_their_precision(clips, extractor, tmp_path, monkeypatch, caplog):
    """Backbones alone have no labels: int8 is used on demand, and the cosine is said."""
    from avel_tf.config import resolve_config
    from avel_tf.features.feature_store import FeatureStore
    from avel_tf.training.features import open_features

    monkeypatch.setattr(quantization, "IMAGES", 8)
    monkeypatch.setattr(int8, "SEGMENTS", 8)
    config = resolve_config(
        {
            "embeddings.visual.module": "compact",
            "embeddings.audio.module": "compact",
            "embeddings.visual.frames_per_second": 2,
            "engine.name": "openvino",
            "engine.precision": "int8",
            "engine.cache": str(tmp_path / "cache"),
        }
    )
    store = open_features(clips, config, tmp_path / "features")
    network = find_quantized(backbone_graphs(extractor), config.engine).choice
    assert store.precision == "int8" and store.manifest["engine"] == network._asdict()
    assert "without a localizer there are no labels to compare" in caplog.text
    assert store.recipe.precision == f"int8 {network.network}"
    for one, other in ((store.recipe, extractor.recipe), (extractor.recipe, store.recipe)):
        with pytest.raises(RecipeMismatchError, match=rf"precision: .*'int8 {network.network}'"):
            one.require_same(other, ours="a model", theirs="features")
    assert Recipe.from_dict(store.recipe.to_dict()) == store.recipe
    assert store.recipe.in_float().fingerprint == extractor.recipe.fingerprint
    reused = open_features(clips, config, tmp_path / "features", reuse=True)
    assert reused.manifest == store.manifest
    exact = replace(config, engine=replace(config.engine, precision="float32"))
    again = open_features(clips, exact, tmp_path / "features", reuse=True)
    assert again.precision == FeatureStore(tmp_path / "features").precision == "float32"


@pytest.mark.slow
def test_the_comparison_counts_right_labels(graphs, settings, videos):
    """An engine beside itself changes nothing; right labels are those of the caller."""
    engine = make_engine(FLOAT32, graphs, settings)
    clips = sample_clips(videos, graphs.recipe, MEDIA)
    labels = [np.zeros(clip.seconds, int) for clip in clips]
    pairs = zip(clips, labels, strict=True)
    found = compare(FLOAT32, FLOAT32, (engine, engine), graphs, pairs)
    assert found.segments == found.labelled == sum(clip.seconds for clip in clips)
    assert found.flips == 0 and found.right[0] == found.right[1] and found.cosine > 0.9999


@given(
    segments=st.integers(200, 1000),
    flips=st.integers(0, 20),
    right=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
    labelled=st.integers(0, 1000),
)
def test_the_limits(segments, flips, right, labelled):
    right = tuple(min(each, labelled) for each in right) if labelled else (0, 0)
    found = finding(segments=segments, flips=flips, right=right, labelled=labelled)
    few = 100 * flips <= segments
    lost = labelled and 1000 * (right[0] - right[1]) > 3 * labelled
    assert found.accepted == (few and not lost)
    assert f"{flips} of {segments} labels differ" in str(found)
    assert not replace_segments(found).accepted


def replace_segments(found: Int8Finding) -> Int8Finding:
    return replace(found, segments=199)


@given(total=st.integers(0, 8), files=st.integers(0, 8))
def test_clips_of_the_calibration_are_compared_only_if_there_are_no_others(total, files):
    clips = list(range(total))
    left = list(later_clips(clips, files))
    assert left == (clips[files:] or clips)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("AVX2", False), ("avx512_core", False), ("AVX512_CORE_VNNI", True), ("", True)],
)
def test_the_limit_set_for_onednn_is_respected(monkeypatch, limit, expected):
    monkeypatch.setattr(available, "_processor", lambda: {"flags": "avx2 avx512_vnni"})
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert available.computes_in_int8() == expected
