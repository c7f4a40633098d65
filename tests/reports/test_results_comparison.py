"""Two results folders of the same videos on one page."""

from __future__ import annotations

from pathlib import Path

import pytest

from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result
from avel_tf.reports.results_comparison import write_results_comparison
from tests.reports.pages import Page
from tests.reports.test_results_report import data_of, result, table, videos_of


def compare(folder: Path, ours: list[Result], theirs: list[Result], **options) -> Page:
    write_formats(["jsonl"], ours, folder / "a")
    write_formats(["jsonl"], theirs, folder / "b")
    return Page(write_results_comparison(folder / "a", folder / "b", **options))


def test_labels_events_and_statuses_that_differ_are_counted(tmp_path):
    page = compare(
        tmp_path,
        [
            result("/v/same.mp4", "bBBb"),
            result("/v/other.mp4", "bBBb"),
            result("/v/gone.mp4", "C"),
            Result("/v/mended.mp4", "quarantined", "It is broken."),
        ],
        [
            result("/v/mended.mp4", "B"),
            result("/v/other.mp4", "bBCC"),
            result("/v/same.mp4", "bBBb"),
            result("/v/new.mp4", "C"),
        ],
    )
    facts = page.find("p", "facts")[0].text
    assert facts.startswith("4 of 5 videos differ. 25.0 % of 8 seconds that both decoded")
    assert [h.text for h in page.find("h2")] == ["Status", "Labels that differ", "Events", "Videos"]
    assert sorted(table(page, "statuses")[1:]) == [
        ["absent", "ok", "1"], ["ok", "absent", "1"], ["quarantined", "ok", "1"]
    ]  # fmt: skip
    assert sorted(table(page, "labels")[1:]) == [
        ["Bark", "Clock", "1", "25.0 %"], ["background", "Clock", "1", "25.0 %"]
    ]  # fmt: skip
    assert table(page, "events")[1:] == [["Clock", "0", "1", "3"], ["Bark", "3", "1", "1"]]
    by_name = {video["name"]: video for video in videos_of(page)}
    assert {name: video["different"] for name, video in by_name.items()} == {
        "same.mp4": 0, "other.mp4": 2, "gone.mp4": 0, "mended.mp4": 0, "new.mp4": 0
    }  # fmt: skip
    assert by_name["mended.mp4"]["status"] == [2, 0] and by_name["new.mp4"]["status"] == [None, 0]
    only = [(event[4:] + [0, 0])[:2] for event in by_name["other.mp4"]["events"]]
    assert only == [[0, 0], [0, 1], [1, 0], [1, 1], [1, 1]]
    assert data_of(page)["tracks"] == ["a", "b"]


def test_annotations_say_which_results_are_better(tmp_path):
    videos = [f"/v/{number}.mp4" for number in range(20)]
    page = compare(
        tmp_path,
        [result(video, "bBBB") for video in videos],
        [result(video, "bbBB" if n < 15 else "BBBB") for n, video in enumerate(videos)],
        reference={video: [("Bark", 2, 4)] for video in videos},
    )
    (accuracy, f1) = table(page, "accuracy")[1:]
    assert accuracy[:4] == ["segment accuracy", "0.750", "0.875", "+0.125"]
    assert accuracy[5] == "b" and f1[0] == "event F1"
    assert data_of(page)["tracks"] == ["a", "b", "annotated"]
    assert [len(video["tracks"]) for video in videos_of(page)] == [3] * 20


def test_equal_results_are_undecided(tmp_path):
    results = [result("/v/a.mp4", "bB"), result("/v/b.mp4", "bC")]
    page = compare(tmp_path, results, results, reference={"/v/a.mp4": [("Bark", 1, 2)]})
    assert page.find("p", "facts")[0].text.startswith("0 of 2 videos differ. 0.0 % of 4 seconds")
    assert table(page, "accuracy")[1][-1] == "–"  # one video has no interval


def test_moved_videos_are_matched_by_name(tmp_path):
    page = compare(tmp_path, [result("/here/a.mp4", "B")], [result("/there/a.mp4", "C")])
    assert [video["different"] for video in videos_of(page)] == [1]


def test_folders_without_a_common_video_are_refused(tmp_path):
    with pytest.raises(ValueError, match="have no video in common"):
        compare(tmp_path, [result("/v/a.mp4")], [result("/v/b.mp4")])
    with pytest.raises(ValueError, match=r"no results.jsonl"):
        write_results_comparison(tmp_path / "a", tmp_path / "nowhere")


def test_hostile_names_of_folders_and_videos_stay_text(tmp_path):
    evil = "</script><b>x"
    write_formats(["jsonl"], [result("/v/<b>.mp4", "B")], tmp_path / "<b>1<")
    write_formats(["jsonl"], [result("/v/<b>.mp4", "C", model=evil)], tmp_path / "<b>2<")
    page = Page(write_results_comparison(tmp_path / "<b>1<", tmp_path / "<b>2<"))
    assert not page.find("b") and page.find("h1")[0].text == "<b>1< compared with <b>2<"
