"""A run that adds its classes to an exported model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import avel_tf
from avel_tf.datasets import Annotation
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import EXTENDS
from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features
from avel_tf.models import ModelSettings, build
from avel_tf.training.run import Run, probabilities_of
from tests.conftest import FLOAT32

# "Bark" is a class of both, "Siren" a new one.
TAUGHT = ("Bark", "Siren")


@pytest.fixture(scope="module")
def run(store: FeatureStore, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An untrained run on the features of `store`, with two classes of its own."""
    folder = tmp_path_factory.mktemp("taught")
    labels, recipe = Labels(TAUGHT), store.recipe
    with FeatureStoreWriter(
        folder / "features", recipe=recipe, labels=labels, layout="table"
    ) as writer:
        records = []
        for number, row in enumerate(store.dataset("train").as_numpy_iterator()):
            features = Features(row["visual"], row["audio"], row["valid"])
            targets = np.full(len(row["valid"]), number % 3)
            events = [Annotation(TAUGHT[number % 3], 0.0, 4.0)] if number % 3 < 2 else []
            records.append((f"train{number}", features, events, targets))
        writer.write_split("train", records, expected=len(records))
    Run.begin(folder / "run", config_yaml=Run(run_folder).config_yaml, labels=labels, recipe=recipe)
    Postprocessing(temperature=0.5).save(folder / "run")
    model = build(
        ModelSettings("audio_only", width=8, heads=2, lstm_units=4),
        visual_width=recipe.visual.width,
        audio_width=recipe.audio.width,
        classes=len(TAUGHT),
    )
    model.save(folder / "run" / "model.keras")
    return Run(folder / "run", features=FeatureStore(folder / "features"))


@pytest.fixture(scope="module")
def extended(run: Run, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """The run with the classes of `exported`, of which nothing is left but a copy."""
    folder = tmp_path_factory.mktemp("extended")
    base = shutil.copytree(exported, folder / "base" / "1")
    mine = avel_tf.export_run(run, folder / "mine", extends=base)
    shutil.rmtree(base)
    return ExportedModel(mine)


@pytest.mark.slow
def test_classes_are_those_of_the_run_then_the_others(extended, exported) -> None:
    assert extended.labels.names == ("Bark", "Siren", "Church bell", "Helicopter")
    origin = extended.manifest[EXTENDS]
    assert origin["taught"] == list(TAUGHT)
    assert origin["fingerprint"] == ExportedModel(exported).fingerprint
    extended.check()


@pytest.mark.slow
def test_few_clips_add_to_the_base_and_many_replace_it(extended, exported, run, store) -> None:
    row = next(iter(store.dataset("test").as_numpy_iterator()))
    inputs = [row["visual"][None], row["audio"][None], row["valid"][None]]
    taught = probabilities_of(run.model(), run.postprocessing.temperature)(*inputs)  # [1, T, 3]
    base = ExportedModel(exported).load_graphs().label(*inputs).numpy()  # [1, T, 4]
    # Five of the seven clips of training have an event, of two classes.
    weight = 2.5 / 12.5
    rest = base[..., 1:] / base[..., 1:].sum(-1, keepdims=True)  # without Bark
    run_first = np.concatenate([taught[..., :2], taught[..., 2:] * rest], axis=-1)
    added = base[..., 3:] * taught  # what the base calls background, divided by the run
    base_first = np.concatenate([added[..., :2], base[..., 1:3], added[..., 2:]], axis=-1)
    base_first[..., 0] += base[..., 0]
    wanted = weight * run_first + (1 - weight) * base_first
    found = extended.load_graphs().label(*inputs).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_it_stands_alone_without_the_base(extended, clips) -> None:
    video = next(clips.glob("videos/test/*.mp4"))
    result = avel_tf.load(extended.folder, engine=FLOAT32).localize(video)
    assert result.status == "ok"
    assert {second.label for second in result.seconds} <= {*extended.labels.names, "background"}


def test_features_of_other_backbones_are_refused(run, tmp_path) -> None:
    from avel_tf.pretrained import find_pretrained

    with pytest.raises(ValueError, match="different recipes"):
        avel_tf.export_run(run, tmp_path / "mine", extends=find_pretrained())
    assert not list(tmp_path.glob("mine/*"))
