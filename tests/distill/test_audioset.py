"""The training of the audio backbone with AudioSet scores: targets, calibration, measurement."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

from pipelines.distill import sounds
from pipelines.distill.audioset_corpus import log_odds, mean_logits, shares_of, yamnet_columns
from pipelines.distill.audioset_export import calibration
from pipelines.distill.audioset_measure import agreement, by_label


def test_targets_are_the_mean_of_both_teachers():
    yamnet = np.array([[0.9, 0.5]])
    mn04 = np.array([[0.5, 0.1, 0.2]])
    found = mean_logits(yamnet, mn04, np.array([1, -1, 0]))
    expected = [0.0, log_odds(np.array(0.1)), (log_odds(np.array(0.2)) + np.log(9)) / 2]
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()


def test_classes_of_both_teachers_are_matched_by_their_id(tmp_path):
    for name, ids in (("one.csv", "ab"), ("other.csv", "bca")):
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["index", "mid", "display_name"])
            writer.writerows((place, mid, mid) for place, mid in enumerate(ids))
    assert yamnet_columns(tmp_path / "one.csv", tmp_path / "other.csv").tolist() == [1, -1, 0]


def test_labelled_sounds_are_read_by_split_and_licence(tmp_path):
    rows = [
        ("a.wav", "Bark", "sound", "yes", "train"),
        ("b.wav", "Bark", "sound", "no", "train"),
        ("c.wav", "Cat", "rendered sound", "unknown", "train"),
        ("d.wav", "Cat", "sound", "no", "held-out"),
        ("e.jpg", "Cat", "picture", "yes", "train"),
    ]
    with open(tmp_path / "manifest.tsv", "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["path", "class", "kind", "redistributable", "split"])
        writer.writerows(rows)
    for name, *_ in rows[:4]:
        soundfile.write(tmp_path / name, np.zeros(16_000), 16_000)
    train = sounds.read_labelled(tmp_path)
    assert [(each.name, each.source) for each in train] == [
        ("a.wav", "class/Bark"),
        ("c.wav", "class/Cat"),
    ]
    assert [each.name for each in sounds.read_labelled(tmp_path, "held-out")] == ["d.wav"]
    shares = shares_of(train)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["class/Bark"] == shares["class/Cat"]


def test_calibration_finds_temperature_and_prior():
    rng = np.random.default_rng(0)
    student = rng.normal(-4, 3, (4000, 3))
    teacher = student * [1.5, 0.7, 1.0] + [1.0, -0.5, 0.0] + rng.normal(0, 0.1, (4000, 3))
    slope, shift = calibration(student, teacher)
    np.testing.assert_allclose(slope, [1.5, 0.7, 1.0], atol=0.03)
    np.testing.assert_allclose(shift, [1.0, -0.5, 0.0], atol=0.15)


def test_calibrated_scores_pass_thresholds_as_often_as_the_teachers():
    rng = np.random.default_rng(0)
    teacher = rng.normal(-3, 3, (4000, 1))
    student = 0.5 * teacher + rng.normal(-1, 1, (4000, 1))  # correlated at 0.83
    slope, shift = calibration(student, teacher)
    wanted = (teacher > 0).mean()
    assert (student > 0).mean() < 0.7 * wanted
    assert (slope * student + shift > 0).mean() == pytest.approx(wanted, rel=0.15)


def test_calibration_of_few_seconds_changes_little():
    student = np.array([[-8.0], [-7.9]])
    slope, shift = calibration(student, student + 3.0)
    assert abs(slope[0] - 1.0) < 0.01 and abs(shift[0]) < 0.2


def test_figures_of_perfect_scores_are_one():
    names = ["Bark", "Cat", "Truck"]
    scores = [np.eye(3)[[place]] * 0.8 + 0.1 for place in (0, 1, 1, 0)]
    found = by_label(scores, ["Bark", "Cat", "Cat", "Bark"], names)
    assert found == {"classes": 2, "sounds": 4, "mean_average_precision": 1.0, "top1": 1.0}
    wrong = by_label(scores[::-1], ["Cat", "Bark", "Bark", "Bark"], names)
    assert wrong["top1"] == 0.25 and wrong["mean_average_precision"] < 1.0
    logits = np.random.default_rng(0).normal(size=(5, 20))
    assert agreement(logits, logits) == pytest.approx({"correlation": 1.0, "top1": 1, "top5": 1})


@pytest.mark.slow
def test_a_step_learns_scores_and_both_embeddings():
    from pipelines.distill.audioset import ScoredStudent

    rng = np.random.default_rng(0)
    units = [(np.zeros(width, np.float32), np.ones(width, np.float32)) for width in (1024, 512)]
    student = ScoredStudent(*units)
    student.optimizer.learning_rate.assign(1e-3)
    log_mel = rng.uniform(-1, 1, (8, 100, 64, 1)).astype(np.float32)
    logits = np.full((8, 527), -6.0, np.float32)
    logits[np.arange(8), rng.integers(0, 527, 8)] = 3.0
    wanted = (
        rng.normal(size=(8, 1024)).astype(np.float32),
        rng.normal(size=(8, 512)).astype(np.float32),
        logits,
    )
    losses = [student.step(log_mel, wanted, np.float32(0.9)).numpy() for _ in range(12)]
    assert (losses[-1][[0, 2, 4, 5]] < losses[0][[0, 2, 4, 5]]).all()
    network, _ = student.averaged()
    assert [each.shape for each in network[-2:]] == [(768, 527), (527,)]
