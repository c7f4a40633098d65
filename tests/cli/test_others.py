"""avel extract, evaluate, export, audit, report and doctor, as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.features.feature_store import FeatureStore
from tests.conftest import COMPACT_SETTINGS, as_set

COMPACT = as_set(COMPACT_SETTINGS)


def small(clips: Path, folder: Path, rows: int = 2) -> Path:
    """A data set of the first clips, which one may spoil."""
    shutil.copytree(clips / "videos", folder / "videos")
    lines = (clips / "annotations.csv").read_text().splitlines(keepends=True)
    (folder / "annotations.csv").write_text("".join(lines[: rows + 1]))
    return folder


# extract


@pytest.mark.slow
def test_extract_twice_replaces_the_store_by_the_same(clips, tmp_path, capsys):
    data, out = small(clips, tmp_path / "data"), tmp_path / "features"
    contents = []
    for _ in range(2):
        assert main(["extract", str(data), "--out", str(out), *COMPACT]) == 0
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]
    assert "2 train, 0 validation, 0 test" in capsys.readouterr().out


def test_extract_tells_what_was_left_out_and_exits_two(clips, tmp_path, capsys):
    data = small(clips, tmp_path / "data")
    first = (data / "annotations.csv").read_text().splitlines()[1].split(",")[0]
    (data / first).write_bytes(b"")
    assert main(["extract", str(data), "--out", str(tmp_path / "features"), *COMPACT]) == 2
    assert f"skipped: {first}: Cannot read" in capsys.readouterr().out


def test_extract_of_nothing_readable_is_one(clips, tmp_path, capsys):
    data = small(clips, tmp_path / "data")
    shutil.rmtree(data / "videos")
    assert main(["extract", str(data), "--out", str(tmp_path / "features"), *COMPACT]) == 1
    assert "No video of" in capsys.readouterr().err


def test_extract_refuses_features_and_foreign_folders(clips, store, tmp_path, capsys):
    assert main(["extract", str(store.folder), "--out", str(tmp_path / "f"), *COMPACT]) == 1
    assert "is a feature store already" in capsys.readouterr().err
    assert main(["extract", str(tmp_path), "--out", str(tmp_path / "f"), *COMPACT]) == 1
    assert "has no annotations" in capsys.readouterr().err
    (tmp_path / "cat.jpg").touch()
    assert main(["extract", str(clips), "--out", str(tmp_path), *COMPACT]) == 1
    assert "exists and is not a feature store" in capsys.readouterr().err


def test_extract_without_modules_names_the_way_out(clips, tmp_path, capsys, monkeypatch):
    from avel_tf.embeddings import hub_module
    from tests.embeddings.hub_modules import no_network

    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_module, "_download", no_network)
    assert main(["extract", str(clips), "--out", str(tmp_path / "features")]) == 1
    error = capsys.readouterr().err
    assert "resnet_v2_152" in error and "--config pipelines/compact.yaml" in error
    assert not (tmp_path / "features").exists()


# evaluate


def metrics_of(model: Path, data: Path, out: Path, *more: str) -> dict:
    assert main(["evaluate", str(model), str(data), "--out", str(out), *more]) == 0
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_run_and_export_measure_the_same(run_folder, exported, store, tmp_path):
    run = metrics_of(run_folder, store.folder, tmp_path / "run")
    # The folder of all versions stands for the latest.
    model = metrics_of(exported.parent, store.folder, tmp_path / "model")
    # Probabilities may differ in their last digit, and labels do not.
    calibration, same = run.pop("calibration"), model.pop("calibration")
    assert run == model
    assert calibration["ece"] == pytest.approx(same["ece"], abs=1e-5)
    assert calibration["temperature"] == same["temperature"] != 1.0
    lines = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("run", "model")]
    assert len(lines[0].splitlines()) == len(lines[1].splitlines()) == run["videos"]
    # avel train measured the test split, too.
    trained = json.loads((run_folder / "metrics.json").read_text())
    assert trained["segment_accuracy"] == run["segment_accuracy"]


@pytest.mark.slow
def test_the_split_is_a_choice(exported, store, tmp_path, capsys):
    found = metrics_of(exported, store.folder, tmp_path, "--split", "validation")
    assert (found["split"], found["videos"]) == ("validation", 3)
    assert main(["evaluate", str(exported), str(store.folder), "--split", "tset"]) == 1
    assert "has no split 'tset'" in capsys.readouterr().err


@pytest.mark.slow
def test_from_videos_by_the_recipe_of_the_model(exported, clips, store, tmp_path):
    """No configuration is given: the model brings its own."""
    features = metrics_of(exported, store.folder, tmp_path / "features")
    assert metrics_of(exported, clips, tmp_path / "videos") == features


def spoiled(store: FeatureStore, folder: Path, **changes: object) -> Path:
    """The store with another manifest."""
    shutil.copytree(store.folder, folder)
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_features_of_another_recipe_are_refused(run_folder, exported, store, tmp_path, capsys):
    recipe = store.manifest["recipe"]
    other = {**recipe, "visual": {**recipe["visual"], "frames_per_second": 16}}
    folder = spoiled(store, tmp_path / "features", recipe=other)
    for model in (run_folder, exported):
        assert main(["evaluate", str(model), str(folder)]) == 1
        error = capsys.readouterr().err
        assert "visual.frames_per_second: 2 in" in error and "16 in" in error


def test_other_classes_are_refused(exported, store, tmp_path, capsys):
    names = ["Dog", *store.labels.names[1:]]
    folder = spoiled(store, tmp_path / "features", labels=names)
    assert main(["evaluate", str(exported), str(folder)]) == 1
    assert "has Bark" in capsys.readouterr().err


def test_evaluate_needs_a_model(store, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), str(store.folder)]) == 1
    assert "neither a training run nor an exported model" in capsys.readouterr().err


# export


def test_export_needs_a_finished_run(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "models")]) == 1
    assert "not a finished training run" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_export_refuses_backbones_that_changed(run_folder, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    text = (folder / "config.yaml").read_text()
    assert "frames_per_second: 2" in text
    (folder / "config.yaml").write_text(
        text.replace("frames_per_second: 2", "frames_per_second: 3")
    )
    assert main(["export", str(folder), "--out", str(tmp_path / "models")]) == 1
    assert "different recipes" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


# audit, report, doctor


def test_audit_of_a_good_and_of_a_spoiled_data_set(clips, tmp_path, capsys):
    data = small(clips, tmp_path / "data", rows=14)
    assert main(["audit", str(data), "--out", str(tmp_path / "audit.html")]) in (0, 2)
    good = capsys.readouterr().out
    assert (tmp_path / "audit.html").is_file()
    first = (data / "annotations.csv").read_text().splitlines()[1].split(",")[0]
    (data / first).unlink()
    assert main(["audit", str(data), "--quick"]) == 2
    assert Path(first).name not in good and Path(first).name in capsys.readouterr().out


@pytest.mark.slow
def test_report_finds_out_what_a_folder_is(run_folder, clips, exported, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    assert main(["report", str(run)]) == 0
    assert list(run.glob("*.html"))
    video = sorted(clips.glob("videos/**/*.mp4"))[0]
    out = tmp_path / "results"
    assert main(["infer", str(video), "--model", str(exported), "--out", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    assert list(out.glob("*.html"))
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 1
    assert "neither results.jsonl (avel infer) nor metrics.json" in capsys.readouterr().err


def test_doctor_knows_the_model_and_whether_it_is_whole(exported, tmp_path, capsys, monkeypatch):
    from avel_tf.embeddings import hub_module
    from tests.embeddings.hub_modules import no_network

    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_module, "_download", no_network)
    assert main(["doctor", "--model", str(exported)]) == 0
    shown = capsys.readouterr().out
    for piece in ("tensorflow 2.", "h264 yes", "aac yes", "not found", "model tiny/1", "Bark"):
        assert piece in shown
    assert "'module': 'compact'" in shown and "recipe match the manifest" in shown

    copy = tmp_path / "copy" / "1"
    shutil.copytree(exported, copy)
    path = copy / "assets" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": "0" * 64}))
    assert main(["doctor", "--model", str(copy)]) == 1
    found = capsys.readouterr()
    assert "DO NOT MATCH" in found.out and "was changed after its export" in found.err
