"""Which classes are offered, and how the shipped localizer is measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from avel_tf import pretrained
from avel_tf.events.labels import Labels
from avel_tf.events.result import Result, Segment
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import find_version, read_manifest
from pipelines.distill import localizer, localizer_tables
from pipelines.distill.corpus import Member
from pipelines.distill.localizer import answers_on, below_bar, candidates, sums, too_few
from tests.conftest import TINY_TRAINING, as_set

CLASSES = {"Bark", "Cat"}


def files(kind: str, name: str, count: int) -> list[Member]:
    return [Member(f"{kind}/field/{name}-{n}", "field", name, name, "train") for n in range(count)]


def test_candidates_are_both_seen_and_heard_in_the_order_of_ave():
    found = candidates(
        [
            *files("audio", "Cat", 1),
            *files("images", "Cat", 1),
            *files("images", "Bark", 2),
            *files("audio", "Bark", 1),
            *files("audio", "Flute", 9),
            *files("images", "Clock", 9),
        ]
    )
    assert found == ["Bark", "Cat"]


def test_a_class_with_too_few_test_sounds_is_dropped_with_reason():
    test = [*files("audio", "Bark", 5), *files("audio", "Bus", 1), *files("images", "Bus", 90)]
    assert too_few(test, ["Bark", "Bus"]) == {"Bus": "1 test sounds; at least 5 are needed"}


@pytest.mark.parametrize(
    ("precision", "recall", "stays"),
    [(0.6, 0.6, True), (0.9, 0.59, False), (0.59, 0.9, False), (None, 0.0, False)],
)
def test_the_bar_asks_for_precision_and_recall(precision, recall, stays):
    row = {"precision": precision, "recall": recall, "f1": 0.0, "support": 100}
    assert (below_bar({"Bark": row}, ["Bark"]) == {}) == stays


def test_seconds_of_unknown_classes_are_background(tmp_path: Path):
    (tmp_path / "annotations.csv").write_text(
        "video,label,start,end\n"
        "dog.mp4,dog barking,0,3.02\n"  # as VGGSound and its kin call it
        "bark.mp4,Bark,1,3\n"
        "cow.mp4,cow lowing,0,4\n"
    )
    answers = {
        "dog.mp4": ["Bark", "Bark", "Cat", "background"],
        "bark.mp4": ["Bark", "Bark", "background", "background"],
        "cow.mp4": ["background", "Bark", "Cat", "Cat"],
    }

    def localize(path: Path) -> Result:
        seconds = [Segment(s, s + 1, a, 0.5) for s, a in enumerate(answers[Path(path).name])]
        seconds.append(Segment(4.0, 4.04, "Bark", 0.5))  # a tail that does not count
        return Result(str(path), "ok", duration=4.04, seconds=tuple(seconds))

    model = SimpleNamespace(labels=Labels(["Bark", "Cat"]), localize=localize)
    clips = answers_on(model, tmp_path)
    found = sums(clips, ["Bark", "Cat"])
    assert found["offered"] == {
        "clips": 2,
        "seconds": 5,
        "right": 3,
        "per_class": {
            "Bark": {"clips": 2, "seconds": 5, "right": 3},
            "Cat": {"clips": 0, "seconds": 0, "right": 0},
        },
    }
    assert found["others"] == {
        "clips": 1,
        "alarmed_clips": 1,
        "seconds": 7,
        "false_alarms": 4,
        "taken_for": {"Bark": 2, "Cat": 2},
    }
    (dog,) = (each for each in clips if each["label"] == "dog barking")
    assert dog["truth"] == ["Bark", "Bark", "Bark", "background"]
    assert dog["answer"] == answers["dog.mp4"]


@pytest.mark.slow
def test_the_recipe_from_corpora_to_a_sealed_model(corpora, clips, tmp_path, monkeypatch, capsys):
    ship = tmp_path / "package"
    ship.mkdir()
    monkeypatch.setattr(localizer, "CLIPS", (10, 4, 4))
    monkeypatch.setattr(localizer, "UNSEEN_CLIPS", 3)
    monkeypatch.setattr(localizer, "LEAST_TEST_SOUNDS", 3)
    monkeypatch.setattr(localizer, "LEAST_PRECISION", 0.0)
    monkeypatch.setattr(localizer, "LEAST_RECALL", 0.0)
    settings = as_set((*TINY_TRAINING, "engine.name=tensorflow", "engine.precision=float32"))
    work = tmp_path / "work"
    words = ["localizer", str(corpora), str(clips), str(work), "--ship", str(ship), *settings]
    monkeypatch.setattr("sys.argv", words)
    localizer.main()
    model = find_version(ship)
    assert ExportedModel(model).mismatches() == []
    measured = read_manifest(model)[pretrained.MEASURED]
    assert measured["montage"]["videos"] == 4 and set(measured["montage"]["per_class"]) <= CLASSES
    assert measured["real_clips"]["others"]["seconds"] > 0
    assert measured["montage_unseen"]["offered"]["clips"] > 0
    assert "the classes Bark; Cat;" in pretrained.describe(model)[0]
    monkeypatch.setattr("sys.argv", ["tables", str(work), "videos/test/00000.mp4"])
    capsys.readouterr()
    localizer_tables.main()
    table = capsys.readouterr().out
    assert table.startswith("# Accuracy of the pretrained localizer")
    assert "| `videos/test/00000.mp4` |" in table and "| real clips, all |" in table
