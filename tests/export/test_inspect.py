"""Models from someone else: what their graphs can reach, and whether their files match."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.inspect import CUSTOM, inspect_ops
from avel_tf.export.manifest import ModelError, find_version, with_hashes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy of a real export, to be tampered with."""
    return Path(shutil.copytree(exported, tmp_path / "saved_models" / "copy" / "1"))


def save(folder: Path, function, *, dtype=None) -> Path:
    """A SavedModel whose signature calls a function of one tensor."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([], dtype or tf.float32)])
        def __call__(self, x):
            return {"y": function(x, self.weight)}

    module = Module()
    tf.saved_model.save(module, str(folder), signatures=module.__call__)
    return folder


def reaches(folder: Path) -> set[tuple[str, str]]:
    return {(use.op, use.reach) for use in inspect_ops(folder)}


def test_our_own_models_reach_nothing(exported):
    assert inspect_ops(exported) == []


def test_published_modules_reach_nothing(shared):
    folders = [path.parent for path in (shared / "backbones").rglob("saved_model.pb")]
    if not folders:
        pytest.skip("no SavedModel lies in shared/backbones")
    assert [inspect_ops(folder) for folder in folders] == [[] for _ in folders]


def test_ops_that_reach_out_are_named_with_their_place(tmp_path):
    import tensorflow as tf

    def write(x, weight):
        tf.io.write_file(str(tmp_path / "canary"), tf.strings.as_string(x))
        return x * weight

    def run_python(x, weight):
        return tf.py_function(lambda each: each, [x], tf.float32) * weight

    def on_condition(x, weight):  # inside of a branch's own function
        read = lambda: tf.strings.to_number(tf.io.read_file("/etc/hostname"))  # noqa: E731
        return tf.cond(x > 0.0, read, lambda: x) * weight

    def tell(x, weight):
        tf.print(x)
        return x * weight

    def rows(x, weight):  # a data set, inside of a graph
        data = tf.data.TextLineDataset("/etc/passwd").map(tf.strings.length)
        return data.reduce(0, lambda total, each: total + each)

    def checkpoint(x, weight):  # an op that is the saver's, but not in the saver
        return tf.raw_ops.RestoreV2(
            prefix="x", tensor_names=["y"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]

    cases = {
        write: {("WriteFile", "files")},
        run_python: {("EagerPyFunc", "processes and code")},
        on_condition: {("ReadFile", "files")},
        tell: {("PrintV2", "the terminal")},
        rows: {("TextLineDataset", "files")},
        checkpoint: {("RestoreV2", "files")},
    }
    for number, (function, expected) in enumerate(cases.items()):
        folder = save(tmp_path / str(number), function)
        assert reaches(folder) == expected, function.__name__
        assert all(use.where and use.count >= 1 for use in inspect_ops(folder))
    assert not (tmp_path / "canary").exists()


def test_a_table_that_is_filled_from_a_file_is_found(tmp_path):
    import tensorflow as tf

    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    str(words),
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                -1,
            )

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def __call__(self, word):
            return {"place": self.table.lookup(word)}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "table"), signatures=module.__call__)
    assert reaches(tmp_path / "table") == {("InitializeTableFromTextFileV2", "files")}


def test_an_op_unknown_to_tensorflow_is_a_foreign_library(tmp_path):
    """And a graph that is no graph is a sentence."""
    from tensorflow.core.protobuf import saved_model_pb2

    folder = save(tmp_path / "plain", lambda x, weight: x * weight)
    assert inspect_ops(folder) == []
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    saved.meta_graphs[0].graph_def.library.function[0].node_def.add(name="n", op="LaunchRockets")
    path.write_bytes(saved.SerializeToString())
    assert reaches(folder) == {("LaunchRockets", CUSTOM)}
    for content in (b"", b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="saved_model.pb"):
            inspect_ops(folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("saved_model.pb", "graph or weights"),
        ("variables/variables.index", "graph or weights"),
        ("assets/labels.txt", "assets/labels.txt is not"),
        ("assets/config.yaml", "assets/config.yaml is not"),
        ("assets/decoder.json", "assets/decoder.json is not"),
    ],
)
def test_a_changed_file_is_found(model, name, expected):
    assert ExportedModel(model).mismatches() == []
    before = ExportedModel(model).fingerprint
    with open(model / name, "ab") as file:
        file.write(b"\n")
    assert any(expected in each for each in ExportedModel(model).mismatches())
    assert ExportedModel(model).fingerprint != before


def test_foreign_files_and_missing_hashes_are_found(model):
    (model / "saved_model.cpb").write_bytes(b"another graph")
    (model / "assets" / "labels.txt").unlink()
    manifest = json.loads((model / "assets" / "manifest.json").read_text())
    del manifest["assets_sha256"]
    (model / "assets" / "manifest.json").write_text(json.dumps(manifest))
    assert ExportedModel(model).mismatches() == [
        "the manifest is not the one that was exported",
        "assets/labels.txt is missing",
        "the manifest has no hash of assets/config.yaml",
        "the manifest has no hash of assets/decoder.json",
        "saved_model.cpb was not written by avel export",
    ]


def test_a_model_of_before_there_was_a_decoder_is_whole(model):
    decoder = model / "assets" / "decoder.json"
    content = decoder.read_bytes()
    decoder.unlink()
    assert ExportedModel(model).mismatches() == ["assets/decoder.json is missing"]
    path = model / "assets" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(with_hashes(manifest, model)))
    assert ExportedModel(model).mismatches() == []
    decoder.write_bytes(content)
    assert ExportedModel(model).mismatches() == ["the manifest has no hash of assets/decoder.json"]


def test_another_recipe_in_the_manifest_is_found(model, clips, tmp_path, capsys):
    """It says how many pictures a second are decoded, and stands nowhere else."""
    path = model / "assets" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(manifest.items()))))
    assert ExportedModel(model).mismatches() == []  # the same, spelt otherwise
    recipe = manifest["recipe"]["visual"]
    for changed in ({"frames_per_second": recipe["frames_per_second"] + 1}, {"module": "other"}):
        visual = {"visual": {**recipe, **changed}}
        path.write_text(json.dumps({**manifest, "recipe": {**manifest["recipe"], **visual}}))
        assert ExportedModel(model).mismatches() == [
            "the manifest is not the one that was exported"
        ]
        words = [
            "infer",
            str(clips / "videos"),
            "--model",
            str(model),
            "--out",
            str(tmp_path / "out"),
        ]
        assert main(words) == 1
        assert "the manifest is not the one that was exported" in capsys.readouterr().err
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest))
    assert ExportedModel(model).mismatches() == ["the manifest has no hash of itself"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_none_is_a_sentence(model, content):
    (model / "assets" / "manifest.json").write_bytes(content)
    with pytest.raises(ModelError, match="not a model that avel export wrote"):
        ExportedModel(model).mismatches()


def test_the_latest_version_is_taken_and_none_is_refused(model, tmp_path):
    shutil.copytree(model, model.parent / "10")
    assert find_version(model.parent) == model.parent / "10"
    with pytest.raises(ModelError, match="no exported model at"):
        find_version(tmp_path)


@pytest.mark.slow
def test_doctor_says_what_a_model_is(model, capsys, tmp_path, monkeypatch):
    import tensorflow as tf

    def load(*_: object, **__: object) -> None:
        raise AssertionError("doctor must not run what it looks at")

    monkeypatch.setattr(tf.saved_model, "load", load)
    assert main(["doctor", "--model", str(model)]) == 0
    said = capsys.readouterr().out
    assert "recipe match the manifest" in said and "graph: no operation accesses files" in said
    (model / "assets" / "labels.txt").write_text("Cat\nDog\n")
    assert main(["doctor", "--model", str(model)]) == 1
    said = capsys.readouterr()
    assert "labels.txt is not the one" in said.out and "changed after its export" in said.err
    evil = save(tmp_path / "evil", lambda x, weight: tf.py_function(abs, [x], tf.float32))
    shutil.copy(evil / "saved_model.pb", model / "saved_model.pb")
    assert main(["doctor", "--model", str(model)]) == 1
    said = capsys.readouterr()
    assert "UNSAFE, accesses processes and code: EagerPyFunc in " in said.out
    assert "only if you trust its author" in said.err


def test_infer_refuses_a_changed_model_and_runs_no_hostile_one(model, clips, tmp_path, capsys):
    (model / "assets" / "labels.txt").write_text("Cat\nDog\n")
    words = ["infer", str(clips / "videos"), "--model", str(model), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "assets/labels.txt is not the one that was exported" in said and "--trust-model" in said
    assert not (tmp_path / "out").exists()


# What opens a file of someone else as a program.
UNSAFE = (
    r"safe_mode\s*=\s*False",
    r"enable_unsafe_deserialization",
    r"allow_pickle\s*=\s*True",
    r"^\s*(import|from)\s+(pickle|cPickle|dill|cloudpickle|joblib|shelve|marshal)\b",
    r"\byaml\.(load|full_load|unsafe_load)\(",
    r"\b(eval|exec)\(",
)


def test_no_line_of_the_library_opens_a_file_as_a_program():
    files = [*(ROOT / "avel_tf").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    assert len(files) > 100
    for path in files:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for pattern in UNSAFE:
                assert not re.search(pattern, line), f"{path}:{number}: {line}"


def test_a_keras_file_with_code_in_it_is_refused(tmp_path):
    import keras

    from avel_tf.models.loading import load_model

    inputs = keras.Input([1])
    hostile = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    hostile.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe loading refuses"):
        load_model(tmp_path / "model.keras")


def test_a_feature_checkpoint_with_a_pickle_in_it_is_refused(tmp_path):
    import numpy as np

    from avel_tf.training.checkpoint import STATE, EpochCheckpoint

    class Canary:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "canary",))

    folder = tmp_path / "checkpoint"
    folder.mkdir()
    bomb = np.array([Canary()], dtype=object)
    np.savez(folder / STATE, variables=1, history="[]", variable_0=bomb, allow_pickle=True)
    with pytest.raises(ValueError, match="damaged"):
        EpochCheckpoint(tmp_path, tmp_path / "model.keras").restore(None)
    assert not (tmp_path / "canary").exists()
