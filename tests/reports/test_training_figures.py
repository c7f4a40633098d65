from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from avel_tf.evaluation.history import rank
from avel_tf.events.labels import Labels
from avel_tf.reports.training_figures import (
    MOST_CLASSES,
    best_epoch,
    draw_confusion,
    draw_curves,
    draw_per_class,
    read_history,
    write_plots,
)
from tests.reports.runs import HISTORY, LABELS, measured, write_run


def texts(svg: str) -> list[str]:
    return [
        each.text or "" for each in ElementTree.fromstring(svg).iter() if each.tag[-4:] == "text"
    ]


def test_plots_are_three_standalone_files(tmp_path: Path) -> None:
    metrics = write_run(tmp_path)
    write_plots(tmp_path, metrics, LABELS)
    files = sorted((tmp_path / "plots").iterdir())
    assert [file.name for file in files] == ["confusion.svg", "curves.svg", "per_class.svg"]
    for file in files:
        svg = file.read_text("utf-8")
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        # Outside of a page nobody defines the page's colours.
        assert "var(" not in svg
    before = [file.read_bytes() for file in files]
    write_plots(tmp_path, metrics, LABELS)
    assert [file.read_bytes() for file in files] == before


def test_the_epoch_that_is_marked_is_the_one_that_training_keeps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        history = [
            {"epoch": e, "val_loss": float(rng.integers(3)),
             "val_segment_accuracy": float(rng.integers(3))}
            for e in range(1, 8)
        ]  # fmt: skip
        kept = 0
        for number, row in enumerate(history):
            if number == 0 or rank(row) > max(map(rank, history[:number])):
                kept = row["epoch"]
        assert best_epoch(history) == kept
    assert best_epoch([{"epoch": 1.0, "loss": 1.0}, {"epoch": 2.0, "loss": 2.0}]) == 2


def test_the_confusion_matrix_shows_its_numbers() -> None:
    labels = Labels(["Bark", "Clock"])
    svg = draw_confusion([[41, 0, 2], [0, 17, 0], [3, 0, 65]], labels)
    found = texts(svg)
    assert found.count("Bark") == 2 and found.count("background") == 2
    assert {"41", "2", "17", "3", "65"} <= set(found) and "0" not in found


def test_an_empty_class_divides_by_nothing() -> None:
    with np.errstate(all="raise"):
        assert "svg" in draw_confusion(np.zeros((3, 3)), Labels(["Bark", "Clock"]))


def test_a_thousand_classes_are_cut_to_the_ones_that_fit() -> None:
    labels = Labels([f"class {i}" for i in range(1000)])
    confusion = np.diag(np.arange(1001.0))
    assert texts(draw_confusion(confusion, labels)).count("class 999") == 2
    row = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
    svg = draw_per_class(dict.fromkeys(labels.names, row), labels)
    assert len(re.findall(r"class \d+", svg)) == MOST_CLASSES


def test_classes_without_a_value_are_drawn_last() -> None:
    rows = {
        "Bark": {"precision": None, "recall": 0.0, "f1": None, "support": 0},
        "Clock": {"precision": 0.25, "recall": 0.75, "f1": 0.4, "support": 4},
        "macro average": {"precision": 0.25, "recall": 0.4, "f1": 0.4, "support": 4},
    }
    found = [text for text in texts(draw_per_class(rows, Labels(["Bark", "Clock"]))) if "(" in text]
    assert [text.split("  ")[0] for text in found] == ["Clock", "Bark"]


def test_means_over_seeds_are_drawn_too() -> None:
    metrics = measured()
    halves = (np.asarray(metrics["confusion"]) / 2).tolist()
    assert "svg" in draw_confusion(halves, LABELS)


def test_history_is_read_as_the_training_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(HISTORY)
    rows = read_history(path)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert list(rows[0]) == next(csv.reader(HISTORY.splitlines()))


@pytest.mark.parametrize(
    "history",
    [
        [{"epoch": 1.0, "loss": 0.5, "segment_accuracy": 0.5}],
        [{"epoch": e, "loss": float("nan"), "segment_accuracy": 0.5} for e in (1.0, 2.0)],
    ],
)
def test_short_and_diverged_trainings_are_drawn(history: list[dict[str, float]]) -> None:
    svg = draw_curves(history)
    assert "training" in texts(svg) and "validation" not in texts(svg)


@pytest.mark.parametrize("content", [None, "", "loss\n1\n", "epoch\n1,2\n", "epoch\nfirst\n"])
def test_an_invalid_history_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "history.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_history(path)
