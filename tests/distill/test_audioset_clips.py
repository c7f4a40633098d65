"""Zero-shot localization of real clips with the audio backbone and its teachers."""

from __future__ import annotations

import csv

import numpy as np

from pipelines.distill import audioset_clips as clips


def test_ranges_of_indices():
    assert clips._ranges("3-5 9") == [3, 4, 5, 9]


def test_a_second_needs_to_be_heard_and_seen():
    heard = np.full((4, 2), 0.01)
    heard[:, 1] = 0.5
    assert clips.decide(heard, heard).tolist() == [1, 1, 1, 1]
    assert clips.decide(np.full((4, 2), 0.04), heard).tolist() == [-1] * 4
    assert clips.decide(heard, np.zeros((4, 2))).tolist() == [-1] * 4
    alone = np.zeros((4, 1))
    alone[3] = 0.9  # The last second has one neighbour.
    np.testing.assert_allclose(clips.mean_of_three(alone)[:, 0], [0, 0, 0.3, 0.45])


def test_counts_of_events_and_of_other_clips(tmp_path):
    names = ["Bark", "Cat"]
    event = clips.LabelledClip(tmp_path, "Cat", 1.0, 3.0, True)
    found = np.array([1, 1, 0, -1])
    assert clips.counts_of(event, found, names).tolist() == [2, 1, 3, 0, 0]
    other = clips.LabelledClip(tmp_path, "", 0.0, 4.0, True)
    assert clips.counts_of(other, found, names).tolist() == [0, 0, 3, 4, 3]


def test_the_summary_relates_the_student_to_yamnet(tmp_path):
    clip = clips.LabelledClip(tmp_path, "Bark", 0.0, 10.0, True)
    names = ["Bark"]
    all_found, half = np.zeros(10, int), np.array([0] * 5 + [-1] * 5)
    counts = {
        "YAMNet": np.stack([clips.counts_of(clip, all_found, names)] * 4),
        clips.STUDENT: np.stack([clips.counts_of(clip, half, names)] * 4),
    }
    found = clips.summary(counts)
    assert found[clips.STUDENT]["recall"] == [0.5, 0.5, 0.5]
    assert found["ratio"] == {"recall": [0.5, 0.5, 0.5], "precision": [1.0, 1.0, 1.0]}


def test_clips_of_other_labels_are_negatives(tmp_path):
    header = ("video", "label", "start", "end", "source")
    rows = [
        ("avsync/dog_barking.mp4", "dog barking", 0, 3, ""),
        ("vas/dog/video_02677.mp4", "dog", 0, 6, ""),
        ("vas/cough/1.mp4", "cough", 0, 3, ""),
    ]
    with open(tmp_path / "annotations.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    found = clips.read_clips(tmp_path, ["Bark"])
    assert [each.label for each in found] == ["Bark", "Bark", ""]
    assert [each.unheard for each in found] == [True, False, False]
