"""From video files to labelled seconds by way of maps, with a module like TF-Hub's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from avel_tf.cli.main import main
from avel_tf.config import load_config
from avel_tf.embeddings import load_extractor
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result, Segment
from avel_tf.export.manifest import read_manifest
from avel_tf.features.feature_store import FeatureStore
from avel_tf.inference.localizer import Localizer
from avel_tf.inference.spatial_attention import spatial_attention_maps
from avel_tf.models import attention_model
from avel_tf.reports.timeline_picture import write_timeline_picture
from avel_tf.training.run import Run, probabilities_of
from avel_tf.video.decode import decode_clip
from tests.conftest import COMPACT_SETTINGS, TINY_TRAINING, as_set
from tests.embeddings import hub_modules

SPATIAL = "model.spatial_attention=true"
# The rest of the network is as small as it can be.
SMALL = ("training.epochs=1", "model.cross_modal=none", "model.clip_evidence=false")


@pytest.fixture(scope="module")
def run_of_maps(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on maps; beside it, as `features`, what it was trained on."""
    folder = tmp_path_factory.mktemp("maps")
    module = hub_modules.save_visual_with_endpoints(folder / "resnet")
    maps = (f"embeddings.visual.module={module}", "embeddings.visual.maps=true")
    features, run = str(folder / "features"), folder / "run"
    words = ["extract", str(clips), "--out", features]
    assert main([*words, *as_set(COMPACT_SETTINGS + maps)]) == 0
    words = ["train", features, "--out", str(run)]
    assert main([*words, *as_set((*TINY_TRAINING, *SMALL, SPATIAL))]) == 0
    return run


@pytest.fixture(scope="module")
def exported_maps(run_of_maps: Path) -> Path:
    out = run_of_maps.parent / "saved"
    assert main(["export", str(run_of_maps), "--out", str(out)]) == 0
    return out / "1"


@pytest.mark.slow
def test_manifests_know_the_places(run_of_maps, exported_maps):
    visual = read_manifest(exported_maps)["recipe"]["visual"]
    assert (visual["width"], visual["places"]) == (96, 16)
    assert visual["endpoint"] == "resnet_v2_9/block4"
    store = FeatureStore(run_of_maps.parent / "features")
    assert store.recipe == Run(run_of_maps).recipe
    assert store.recipe.to_dict()["visual"] == visual
    assert next(iter(store.dataset("test")))["visual"].shape == (4, 96)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_video_gets_the_labels_of_its_run(run_of_maps, exported_maps, clips, engine):
    run = Run(run_of_maps)
    assert "spatial_attention" in {layer.name for layer in run.model().layers}
    predict = probabilities_of(run.model(), run.postprocessing.temperature)
    localizer = Localizer(exported_maps, engine=EngineSettings(engine, "float32"))
    label_features = localizer._pipeline.label_features
    records = list(
        FeatureStore(run_of_maps.parent / "features").dataset("test").as_numpy_iterator()
    )
    videos = sorted((clips / "videos" / "test").iterdir())
    assert len(records) == len(videos) == 4
    found = {
        Path(result.video).stem: [(second.label, second.score) for second in result.seconds]
        for result in localizer.localize(videos)
    }
    for record in records:
        given = [record[key][None] for key in ("visual", "audio", "valid")]
        expected = predict(*given)[0]  # [T, C+1]
        np.testing.assert_allclose(label_features(*given)[0], expected, atol=1e-5)
        name = Path(record["id"].decode()).stem
        assert [score for _, score in found[name]] == pytest.approx(expected.max(-1), abs=1e-4)
        assert [label for label, _ in found[name]] == [
            (*run.labels.names, "background")[index] for index in expected.argmax(-1)
        ]


@pytest.mark.slow
def test_features_bring_their_maps_with_them(run_of_maps):
    """Nobody said again to `avel train` what the features are; the export needs to know."""
    visual = yaml.safe_load((run_of_maps / "config.yaml").read_text())["embeddings"]["visual"]
    assert visual["maps"] is True and visual["endpoint"] == "resnet_v2_9/block4"


def test_without_maps_nothing_is_embedded_in_vain(clips, tmp_path, capsys):
    words = ["train", str(clips), "--out", str(tmp_path / "run")]
    assert main([*words, *as_set((*COMPACT_SETTINGS, SPATIAL))]) == 1
    assert "model.spatial_attention needs visual maps" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_where_it_looked_can_be_shown_on_the_pictures(run_of_maps, clips, tmp_path):
    run = Run(run_of_maps)
    extractor = load_extractor(load_config(run_of_maps / "config.yaml").embeddings)
    video = min((clips / "videos" / "test").iterdir())
    looked = spatial_attention_maps(run.model(), extractor, video, seconds=4)
    (record,) = (
        FeatureStore(run_of_maps.parent / "features").dataset("test").take(1).as_numpy_iterator()
    )
    inputs = {key: record[key][None] for key in ("visual", "audio", "valid")}
    shares = attention_model(run.model())(inputs)["spatial_attention"][0]
    np.testing.assert_allclose(looked, np.reshape(shares, (4, 4, 4)), atol=1e-5)

    second = Segment(0.0, 1.0, "background", 0.9)
    result = Result(str(video), "ok", seconds=(second,))
    left = np.zeros((1, 4, 4), np.float32)
    left[:, :, :2] = 1 / 8
    plain, lit = (
        cv2.imread(str(write_timeline_picture(result, tmp_path / f"{name}.png", attention=given)))
        for name, given in (("plain", None), ("lit", left))
    )
    darker = np.argwhere((lit != plain).any(axis=-1))  # [n, (row, column)]
    width = plain.shape[1]
    assert len(darker) and lit.mean() < plain.mean()
    assert darker[:, 1].min() > 0.4 * width  # one second wide: its right half is the page's


@pytest.mark.slow
def test_an_overlay_shows_where_it_looked(run_of_maps, clips, tmp_path):
    """The picture differs from one without a heat map, the panel below does not."""
    video = min((clips / "videos" / "test").iterdir())
    second = Segment(0.0, 1.0, "background", 0.9)
    write_formats(["jsonl"], [Result(str(video), "ok", None, 4.0, (second,))], tmp_path)
    images = []
    for name, words in (("plain", []), ("heat", ["--attention", str(run_of_maps)])):
        out = tmp_path / name
        assert main(["overlay", str(tmp_path), "--out", str(out), *words]) == 0
        images.append(decode_clip(min(out.iterdir()), seconds=1, size=(240, 320)).frames[0, 0])
    difference = np.abs(images[0].astype(int) - images[1]).mean(axis=(1, 2))  # of each row
    assert difference[:100].mean() > 20 > 4 * difference[-30:].mean()


def test_an_overlay_needs_a_model_with_maps(run_folder, tmp_path, capsys):
    write_formats(["jsonl"], [Result("a.mp4", "ok", None, 1.0)], tmp_path)
    words = ["overlay", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "--attention", str(run_folder)]) == 1
    assert "has no spatial attention" in capsys.readouterr().err
