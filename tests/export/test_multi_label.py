"""An exported model of several labels, through plain TensorFlow and through `Localizer`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.formats import write_formats
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.events.result import read_results
from avel_tf.export.manifest import ModelError
from avel_tf.export.saved_model import export_saved_model
from avel_tf.inference.localizer import Localizer
from avel_tf.models import ModelSettings, build
from avel_tf.reports.results_report import write_results_report
from avel_tf.training.run import probabilities_of
from tests.conftest import FLOAT32
from tests.video.films import tone, write_film

LABELS = ("Bark", "Flute", "Clock")
# Untrained probabilities lie near one half: thresholds around it give every number of labels.
DECODING = Postprocessing(1.25, EventPostprocessor(), "validation", 9, (31 / 64, 0.5, 33 / 64))


@pytest.fixture(scope="module")
def head(extractor):
    settings = ModelSettings("audio_only", width=8, heads=2, lstm_units=4, head="multi_label")
    recipe = extractor.recipe
    return build(
        settings, visual_width=recipe.visual.width, audio_width=recipe.audio.width, classes=3
    )


@pytest.fixture(scope="module")
def exported(head, extractor, tmp_path_factory):
    from avel_tf.events.labels import Labels

    return export_saved_model(
        head,
        extractor,
        tmp_path_factory.mktemp("several"),
        labels=Labels(LABELS),
        config_yaml="model:\n  head: multi_label\n",
        postprocessing=DECODING,
    )


@pytest.mark.slow
def test_the_graph_and_the_scores_give_the_same_labels(exported, head, extractor) -> None:
    rng = np.random.default_rng(0)
    recipe = extractor.recipe
    visual = rng.normal(size=(3, 12, recipe.visual.width)).astype("float32")
    audio = rng.normal(size=(3, 12, recipe.audio.width)).astype("float32")
    found = tf.saved_model.load(str(exported)).signatures["from_features"](
        visual=tf.constant(visual), audio=tf.constant(audio)
    )
    probabilities = found["probabilities"].numpy()
    expected = probabilities_of(head, 1.25)(visual, audio, np.ones((3, 12), bool))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert not np.allclose(probabilities.sum(axis=-1), 1.0)
    sets = set()
    for row, label, score in zip(
        probabilities, found["label_index"].numpy(), found["score"].numpy(), strict=True
    ):
        scores = DECODING.scores(row)
        np.testing.assert_array_equal(label, scores.label_index(3))
        np.testing.assert_allclose(score, scores.score, rtol=1e-6)
        sets |= {int(number) for number in scores.active().sum(axis=1)}
    assert {0, 2} <= sets  # seconds of none and of several


@pytest.mark.slow
def test_results_hold_every_label(exported, tmp_path) -> None:
    film = write_film(tmp_path / "film.mp4", seconds=4, rate=8, sound=tone(4, 48_000))
    result = Localizer(exported, engine=FLOAT32).localize(film)
    thresholds = dict(zip(LABELS, DECODING.thresholds, strict=True))
    assert len(result.seconds) == 4
    for second in result.seconds:
        assert second.labels is not None
        assert all(each.score >= thresholds[each.label] for each in second.labels)
        scores = [each.score for each in second.labels]
        assert scores == sorted(scores, reverse=True)
        best = second.labels[0].label if second.labels else "background"
        assert second.label == best
    # Events are the seconds that have their label, class by class.
    for name in LABELS:
        inside = {
            s for e in result.events if e.label == name for s in range(int(e.start), int(e.end))
        }
        assert inside == {
            int(second.start)
            for second in result.seconds
            if name in [each.label for each in second.labels or ()]
        }
    paths = write_formats(["jsonl", "csv", "vtt"], [result], tmp_path / "out")
    (again,) = read_results(paths["jsonl"])
    assert [each.labels and [one.label for one in each.labels] for each in again.seconds] == [
        each.labels and [one.label for one in each.labels] for each in result.seconds
    ]
    write_results_report(tmp_path / "out")


@pytest.mark.slow
def test_thresholds_of_other_classes_are_refused(exported, tmp_path) -> None:
    import shutil

    shutil.copytree(exported, tmp_path / "1")
    Postprocessing(thresholds=(0.5, 0.5)).save(tmp_path / "1" / "assets")
    with pytest.raises(ModelError, match="2 thresholds"):
        Localizer(tmp_path / "1")
