from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avel_tf.datasets import load_dataset
from avel_tf.engines.available import EngineChoice
from avel_tf.engines.engine import backbone_graphs
from avel_tf.engines.selection import make_engine
from avel_tf.evaluation.condition import CLEAN, Condition, conditions
from avel_tf.evaluation.robustness import measure_robustness
from avel_tf.features.feature_store import FeatureStore
from avel_tf.reports.robustness_report import draw_robustness, robustness_table, severity_text
from avel_tf.synthesis.corruptions import CORRUPTIONS
from tests.conftest import CLASSES as CLASS_NAMES
from tests.conftest import FLOAT32

CLASSES = len(CLASS_NAMES) + 1


def loudest(visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A model of the sound alone: louder seconds get a higher class."""
    return _by(np.abs(audio).mean(axis=-1))


def brightest(visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A model of the picture alone."""
    return _by(np.abs(visual).mean(axis=-1))


def _by(values: np.ndarray) -> np.ndarray:
    place = (1e4 * values).astype(int) % CLASSES  # [B, T], anything that follows the features
    return np.eye(CLASSES, dtype=np.float32)[place]  # [B, T, C+1]


@pytest.fixture(scope="module")
def dataset(clips: Path):
    return load_dataset(clips)


@pytest.fixture(scope="module")
def measure(dataset, extractor):
    graphs = backbone_graphs(extractor)
    engine = make_engine(EngineChoice("tensorflow", "float32"), graphs, FLOAT32)

    def measured(wanted, videos=None, **options):
        return measure_robustness(
            {"ears": loudest, "eyes": brightest},
            dataset.split("test") if videos is None else videos,
            dataset.labels,
            wanted,
            recipe=extractor.recipe,
            engine=engine,
            **options,
        )

    return measured


@pytest.mark.slow
def test_nothing_spoilt_measures_as_evaluate_does(dataset, store: FeatureStore, measure) -> None:
    """Clean clips, and each corruption at the severity that changes nothing."""
    nothing = [
        Condition(each, np.inf if each.unit == "dB" else 0.0) for each in CORRUPTIONS.values()
    ]
    found = measure([CLEAN, *nothing])
    assert found["videos"] == store.count("test") and not found["skipped"]
    for name, predict in (("ears", loudest), ("eyes", brightest)):
        right = total = 0
        for record in store.dataset("test").as_numpy_iterator():
            guess = predict(record["visual"][None], record["audio"][None], None)[0].argmax(-1)
            right += int((guess == record["targets"])[record["valid"]].sum())
            total += int(record["valid"].sum())
        for condition in found["conditions"]:
            scores = condition["models"][name]
            assert scores["segments"] == total
            assert scores["accuracy"] == scores["agrees_with_labels"] == right / total
            assert condition["truth"] == "labels"


@pytest.mark.slow
def test_who_only_listens_does_not_mind_the_picture(measure) -> None:
    found = measure([CLEAN, *conditions("black_picture,muted")[1:], *conditions("white_noise")[4:]])
    clean, black, muted, *noisy = found["conditions"]
    same = ("agrees_with_labels", "says_background")
    for score in same:
        assert black["models"]["ears"][score] == clean["models"]["ears"][score]
        for each in (muted, *noisy):
            assert each["models"]["eyes"][score] == clean["models"]["eyes"][score]
    assert black["truth"] == muted["truth"] == "background"
    for each in (black, muted):
        for scores in each["models"].values():
            assert scores["accuracy"] == scores["says_background"]
    assert [each["truth"] for each in noisy] == ["labels"] * 2
    # Silence, or a black picture, is the same second again and again: one label for all.
    assert muted["models"]["ears"]["says_background"] in (0.0, 1.0)


@pytest.mark.slow
def test_the_same_twice_and_another_seed_otherwise(dataset, measure) -> None:
    names = ("white_noise", "babble_noise", "other_sound", "occlusion")
    wanted = [CLEAN, *(Condition(CORRUPTIONS[name], 0.5) for name in names)]
    first, again = measure(wanted), measure(wanted)
    assert json.dumps(first) == json.dumps(again)
    # A clip is spoilt the same whichever others are measured, where their sound is not needed.
    video = dataset.split("test")[-1]
    frames = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 64, 3), np.uint8)
    covered = Condition(CORRUPTIONS["occlusion"], 0.5)
    kept = [covered.apply(frames, video.id, seed) for seed in (0, 0, 1)]
    assert (kept[0] == kept[1]).all() and (kept[0] != kept[2]).any()


def test_clips_that_cannot_be_read_are_named(dataset, tmp_path, measure) -> None:
    from dataclasses import replace

    gone = replace(dataset.split("test")[0], id="gone", path=tmp_path / "gone.mp4")
    found = measure([CLEAN], [gone, *dataset.split("test")])
    assert [each["video"] for each in found["skipped"]] == ["gone"]
    with pytest.raises(ValueError, match="None of the 1 clips"):
        measure([CLEAN], [gone])


def test_conditions_are_named_and_wrong_names_refused() -> None:
    everything = conditions("all")
    assert everything[0] is CLEAN
    assert len(everything) == 1 + sum(len(each.severities) for each in CORRUPTIONS.values())
    assert [each.severity for each in conditions("late_sound, blur")] == [
        0,
        1,
        2,
        *(CORRUPTIONS["blur"].severities),
    ]
    with pytest.raises(ValueError, match="Did you mean 'white_noise'"):
        conditions("white_nose")


@pytest.mark.slow
def test_the_table_and_the_figure_have_the_results(measure) -> None:
    found = measure(conditions("occlusion,muted"))
    table = robustness_table(found)
    lines = table.splitlines()
    assert lines[0] == "| corruption | severity | ears | eyes | correct label |"
    assert len(lines) == 2 + 1 + 4 + 1
    worst = found["conditions"][4]["models"]["eyes"]["accuracy"]
    assert lines[6].startswith("| occlusion | 100 % |") and f"{100 * worst:.1f}" in lines[6]
    assert lines[6].endswith("background |") and lines[5].endswith("as labelled |")
    svg = draw_robustness(found)
    for text in ("occlusion", "muted", "75", "%", "ears", "eyes"):
        assert f">{text}<" in svg
    assert draw_robustness(found) == svg
    assert severity_text({"severity": -5.0, "unit": "dB"}) == "-5 dB"
