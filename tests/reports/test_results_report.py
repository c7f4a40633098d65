from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest

from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import LabelScore, Result, Segment
from avel_tf.reports.results_report import MOST_VIDEOS, write_results_report
from avel_tf.reports.video_view import lanes
from tests.events.formats.samples import HOSTILE_NAMES
from tests.reports.pages import Page


def result(video: str, found: str = "bbB", **values: object) -> Result:
    """`b` is a second of background, `B` one of Bark, `C` one of Clock, `?` none."""
    names = {"b": "background", "B": "Bark", "C": "Clock"}
    seconds = tuple(
        Segment(float(place), place + 1.0, names[letter], 0.75)
        for place, letter in enumerate(found)
        if letter in names
    )
    events = tuple(
        Event(s.label, s.start, s.end, s.score) for s in seconds if s.label != "background"
    )
    return Result(
        video,
        **{"status": "ok", "duration": float(len(found)), "seconds": seconds, "events": events,
           "model": "demo/1"} | values,
    )  # fmt: skip


def page_of(folder: Path, results: list[Result], **options: object) -> Page:
    write_formats(["jsonl"], results, folder)
    return Page(write_results_report(folder, **options))


def linked_file(page: Path, source: str) -> bytes:
    """The file that a browser opens for an address in a page, by the rules of URLs."""
    address = urlsplit(urljoin(page.absolute().as_uri(), source))
    assert address.scheme == "file" and not address.query and not address.fragment
    return os.path.normpath(unquote_to_bytes(address.path))


def test_every_input_has_a_card_with_a_player_seconds_and_events(tmp_path: Path) -> None:
    page = page_of(tmp_path, [result("/v/a.mp4", "bBBb"), result("/v/b.mp4", "C")])
    cards = page.find("article")
    assert [page.find("h2", inside=card)[0].text for card in cards] == ["a.mp4", "b.mp4"]
    cells = page.find("button", "s", inside=cards[0])
    assert [cell.attributes["aria-label"] for cell in cells] == [
        "0–1 s: background, score 0.75",
        "1–2 s: Bark, score 0.75",
        "2–3 s: Bark, score 0.75",
        "3–4 s: background, score 0.75",
    ]
    assert [cell.attributes["data-t"] for cell in cells] == ["0", "1", "2", "3"]
    # One stop of the tab key for each strip.
    assert [cell.attributes["tabindex"] for cell in cells] == ["0", "-1", "-1", "-1"]
    assert [each.text for each in page.find("button", "event", inside=cards[0])] == [
        "Bark1–2 s0.75", "Bark2–3 s0.75"
    ]  # fmt: skip
    assert all(len(page.find("video", inside=card)) == 1 for card in cards)
    assert all(video.attributes["preload"] == "none" for video in page.find("video"))


def test_the_heading_counts_everything(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        [result("a.mp4", "BC"), result("b.mp4", "B", status="partial", reason="It ends early.")]
        + [Result("c.mp4", "quarantined", "The file is empty.")],
    )
    facts = page.find("p", "facts")[0].text
    assert "1 ok, 1 partial, 1 quarantined" in facts
    assert "3 events in 3 seconds" in facts and "Model demo/1." in facts
    assert [item.text for item in page.find("li", inside=page.find("ul", "legend")[0])] == [
        "Bark2 events", "Clock1 event"
    ]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_the_player_of_any_name_opens_exactly_that_file(tmp_path: Path, name: str) -> None:
    video = os.path.join(str(tmp_path / "my videos #1"), name.lstrip("/"))
    page = page_of(tmp_path / "out", [result(video)])
    (player,) = page.find("video")
    opened = linked_file(tmp_path / "out" / "index.html", player.attributes["src"])
    assert opened == os.path.normpath(os.fsencode(video))
    assert not urlsplit(player.attributes["src"]).scheme
    # Whatever the name tried, there is the one script that is the page's own.
    assert len(page.find("script")) == 1 and "onerror" not in page.source


def test_relative_paths_start_here_or_else_at_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "here" / "a.mp4").touch()
    (tmp_path / "out" / "b.mp4").touch()
    monkeypatch.chdir(tmp_path / "here")
    page = page_of(tmp_path / "out", [result("a.mp4"), result("b.mp4")])
    assert [each.attributes["src"] for each in page.find("video")] == ["../here/a.mp4", "b.mp4"]


def test_a_page_elsewhere_points_from_there(tmp_path: Path) -> None:
    write_formats(["jsonl"], [result(str(tmp_path / "v" / "a.mp4"))], tmp_path / "out")
    out = tmp_path / "deep" / "down" / "page.html"
    assert write_results_report(tmp_path / "out", out=out, title="A & B") == out
    page = Page(out)
    assert page.find("h1")[0].text == "A & B"
    assert page.find("video")[0].attributes["src"] == "../../v/a.mp4"


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    evil = '"></title></script><script>alert(1)</script><b onclick="x">'
    events = (Event(evil, 0.0, 1.0, 0.5),)
    page = page_of(
        tmp_path,
        [
            result(f"/v/{evil.replace('/', '')}.mp4", "b", reason=evil, events=events, model=evil),
            Result("/v/x.mp4", "quarantined", evil),
            result("/v/\udcff\u202egpm.mp4"),
        ],
        title=evil,
    )
    assert len(page.find("script")) == 1 and not page.find("b")
    assert page.find("h1")[0].text == evil
    assert [each.text for each in page.find("p", "reason")] == [evil, evil]
    assert evil in page.find("button", "event")[0].text
    assert page.find("h2")[-1].text == r"\xff\u202egpm.mp4"


def test_the_policy_lets_this_script_run_and_no_other(tmp_path: Path) -> None:
    page = page_of(tmp_path, [result("a.mp4")])
    policy = next(
        each.attributes["content"] for each in page.find("meta") if "http-equiv" in each.attributes
    )
    script = re.search(r"<script>(.*?)</script>", page.source, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "media-src 'self' file:" in policy
    assert "http:" not in page.source.replace("http-equiv", "")
    assert "https:" not in page.source


def test_truth_marks_right_and_wrong_seconds(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        [result("/v/a.mp4", "bBBb"), result("/v/b.mp4", "bC"), result("/v/c.mp4", "B")],
        reference={"/v/a.mp4": [("Bark", 0, 2)], "/v/b.mp4": []},
    )
    first, second, third = page.find("article")
    cells = page.find("button", "s", inside=first)
    assert ["wrong" in cell.classes for cell in cells] == [True, False, True, False]
    assert cells[0].attributes["aria-label"].endswith("annotated: Bark, wrong")
    assert cells[1].attributes["aria-label"].endswith("annotated: Bark, correct")
    assert [page.find("span", "share", inside=card) for card in (third,)] == [[]]
    assert page.find("span", "share", inside=first)[0].text == "50 % correct"
    # An empty list says: all background.
    assert page.find("span", "share", inside=second)[0].text == "50 % correct"
    assert [card.attributes["data-mistakes"] for card in (first, second, third)] == ["2", "1", "0"]
    assert page.find("p", "facts")[1].text.startswith("50.0 % of 6 annotated seconds correct")


def test_correct_seconds_follow_the_rule_of_the_metrics(tmp_path: Path) -> None:
    # A boundary between whole seconds goes to the nearer one, as in segment_labels.
    page = page_of(
        tmp_path, [result("/v/a.mp4", "bBb")], reference={"/v/a.mp4": [("Bark", 1.4, 2.4)]}
    )
    assert page.find("span", "share")[0].text == "100 % correct"


def test_annotations_of_other_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"match none of the videos.*'/v/b.mp4'.*'/v/a.mp4'"):
        page_of(tmp_path, [result("/v/a.mp4")], reference={"/v/b.mp4": []})


def test_seconds_that_were_not_decoded_are_shown_and_not_counted(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        [result("/v/a.mp4", "B?B??", status="partial", reason="It ends early.")],
        reference={"/v/a.mp4": [("Bark", 0, 5)]},
    )
    lost = ["lost" in cell.classes for cell in page.find("button", "s")]
    assert lost == [False, True, False, True, True]
    assert page.find("button", "s")[1].attributes["aria-label"].startswith("1–2 s: could not be")
    assert page.find("span", "share")[0].text == "100 % correct"
    assert page.find("p", "reason")[0].text == "It ends early."


def test_a_quarantined_file_has_its_reason_and_no_player(tmp_path: Path) -> None:
    page = page_of(tmp_path, [Result("/v/list.mp4", "quarantined", "It is a playlist.")])
    assert not page.find("video") and not page.find("button")
    assert page.find("p", "reason")[0].text == "It is a playlist."
    assert page.find("article")[0].attributes["data-status"] == "quarantined"


def test_classes_differ_in_hue_and_texture(tmp_path: Path) -> None:
    events = [Event(f"class {i}", float(i), i + 1.0, 0.5) for i in range(29)]
    seconds = [Segment(e.start, e.end, e.label, 0.5) for e in events]
    page = page_of(tmp_path, [result("a.mp4", events=events, seconds=seconds)])
    looks = [each.attributes["class"] for each in page.find("button", "s")]
    assert len(set(looks)) == 28
    options = [each for each in page.find("option") if each.attributes["value"].startswith("class")]
    numbers = page.find("article")[0].attributes["data-classes"].split()
    assert {f"class-{number}" for number in numbers} == {o.attributes["value"] for o in options}


def test_a_long_list_makes_a_page_of_its_first_videos(tmp_path: Path) -> None:
    names = [f"/v/{number}.mp4" for number in range(MOST_VIDEOS + 7)]
    page = page_of(tmp_path, [result(name, "B") for name in names])
    assert len(page.find("article")) == MOST_VIDEOS
    assert f"first {MOST_VIDEOS} videos" in page.find("p", "muted")[1].text
    assert page.find("p", "facts")[0].text.startswith(f"{MOST_VIDEOS + 7} ok")


def test_hours_of_video_show_events_and_not_seconds(tmp_path: Path) -> None:
    page = page_of(tmp_path, [result("long.mp4", "b" * 400 + "B" * 2)])
    assert not page.find("button", "s")
    assert len(page.find("button", "event")) == 2
    assert "402 seconds: too many" in page.find("p", "reason")[0].text


@pytest.mark.parametrize(
    "video",
    [
        result("a.mp4", "B", status="partial", reason="It ends.", duration=1e12),
        result("a.mp4", seconds=(Segment(1e15, 1e15 + 1, "Bark", 0.5),)),
        result("a.mp4", "", duration=None),
        result("a.mp4", "b", duration=0.0),
    ],
)
def test_absurd_lengths_do_no_harm(tmp_path: Path, video: Result) -> None:
    page = page_of(tmp_path, [video])
    assert len(page.find("article")) == 1 and len(page.source) < 200_000


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = [result("/v/a.mp4", "bBC"), result("/v/b.mp4", "CB")]
    first = page_of(tmp_path, results, reference={"/v/a.mp4": [("Clock", 0, 1)]}).source
    assert page_of(tmp_path, results, reference={"/v/a.mp4": [("Clock", 0, 1)]}).source == first


def test_no_results_at_all_and_no_file(tmp_path: Path) -> None:
    assert "There are no results" in page_of(tmp_path, []).source
    with pytest.raises(ValueError, match=r"has no results.jsonl.*avel infer"):
        write_results_report(tmp_path / "nowhere")


def test_the_page_needs_no_tensorflow() -> None:
    code = "import sys, avel_tf.reports.results_report, avel_tf.reports.training_report; " \
        "sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)


# Seconds with several labels


def several(*sets: str) -> Result:
    """Seconds that are named by letters as in `result`, each any number of them."""
    names = {"B": "Bark", "C": "Clock"}
    seconds = []
    for place, letters in enumerate(sets):
        labels = tuple(LabelScore(names[letter], 0.75) for letter in letters)
        first = labels[0].label if labels else "background"
        seconds.append(Segment(float(place), place + 1.0, first, 0.75, labels))
    events = (Event("Bark", 0.0, 2.0, 0.75), Event("Clock", 1.0, 3.0, 0.75))
    return Result("/v/a.mp4", "ok", duration=4.0, seconds=tuple(seconds), events=events)


def test_overlapping_events_are_in_parallel_lanes(tmp_path: Path) -> None:
    reference = {"/v/a.mp4": [("Bark", 0, 2), ("Clock", 1, 4)]}
    page = page_of(tmp_path, [several("B", "BC", "C", "")], reference=reference)
    cells = page.find("button", "s")
    assert [cell.attributes["aria-label"] for cell in cells] == [
        "0–1 s: Bark, score 0.75; annotated: Bark, correct",
        "1–2 s: Bark, score 0.75 and Clock, score 0.75; annotated: Bark and Clock, correct",
        "2–3 s: Clock, score 0.75; annotated: Clock, correct",
        "3–4 s: background, score 0.75; annotated: Clock, wrong",
    ]
    bands = [
        [span.text for span in page.find("span", inside=band)] for band in page.find("div", "band")
    ]
    assert bands == [["Bark"], ["Clock"], ["Bark"], ["Clock"]]  # found twice, then true twice


def test_lanes_hold_every_stretch_once_and_without_overlap() -> None:
    cells = [["a"], ["a", "b"], ["a", "b", "c"], ["c"], [], None, ["b"]]
    found = lanes(cells)
    for lane in found:
        assert all(one[2] <= other[1] for one, other in itertools.pairwise(lane))
    seen = {(name, place) for lane in found for name, a, b in lane for place in range(a, b)}
    expected = {(name, place) for place, cell in enumerate(cells) for name in cell or ()}
    assert seen == expected | {("background", 4)}
    assert len(found) == 3
