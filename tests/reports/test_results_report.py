from __future__ import annotations

import base64
import hashlib
import itertools
import json
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
from avel_tf.reports import results_data
from avel_tf.reports.results_report import write_results_report
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


def data_of(page: Page) -> dict:
    """The data of the list, as the script reads them."""
    (block,) = (e for e in page.find("script") if e.attributes.get("type") == "application/json")
    return json.loads("".join(block.parts))


def videos_of(page: Page) -> list[dict]:
    return data_of(page)["videos"]


def found_in(page: Page, cell: int | list[int]) -> list[tuple[str, int]] | None:
    """Classes and percents of a cell."""
    data = data_of(page)
    if cell == results_data.LOST:
        return None
    codes = [cell] if isinstance(cell, int) else cell
    pairs = [divmod(code, data["cell"]) for code in codes]
    return [(data["classes"][kind - 1]["name"], score) for kind, score in pairs if kind]


def table(page: Page, heading: str) -> list[list[str]]:
    """Rows of the table below a heading."""
    (region,) = (e for e in page.find("div", "tall") if e.attributes["aria-labelledby"] == heading)
    rows = page.find("tr", inside=region)
    return [
        [e.text for e in page.elements if e.tag in ("td", "th") and e.inside[-1] is row]
        for row in rows
    ]


def test_each_video_has_its_seconds_and_events(tmp_path: Path) -> None:
    page = page_of(tmp_path, [result("/v/a.mp4", "bBBb"), result("/v/b.mp4", "C")])
    first, second = videos_of(page)
    assert [first["name"], second["name"]] == ["a.mp4", "b.mp4"]
    assert data_of(page)["texts"][first["folder"]] == "/v"
    cells = [found_in(page, cell) for cell in first["tracks"][0]]
    assert cells == [[], [("Bark", 75)], [("Bark", 75)], []]
    names = [each["name"] for each in data_of(page)["classes"]]
    assert [[names[e[0] - 1], *e[1:]] for e in first["events"]] == [
        ["Bark", 1, 2, 0.75], ["Bark", 2, 3, 0.75]
    ]  # fmt: skip
    assert names[second["events"][0][0] - 1] == "Clock"


def test_the_heading_and_the_tables_count_everything(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        [result("a.mp4", "BC"), result("b.mp4", "B", status="partial", reason="It ends early.")]
        + [Result("c.mp4", "quarantined", "The file is empty.")],
    )
    facts = page.find("p", "facts")[0].text
    assert "1 ok, 1 partial, 1 quarantined" in facts
    assert "3 events in 3 seconds" in facts and "Model demo/1." in facts
    assert [h.text for h in page.find("h2")] == ["Classes", "Failures", "Videos"]
    assert table(page, "classes")[1:] == [
        ["Bark", "2", "2", "2", "66.7 %", "2,400.0"],
        ["Clock", "1", "1", "1", "33.3 %", "1,200.0"],
    ]


def test_failures_are_grouped_by_reason(tmp_path: Path) -> None:
    results = [
        Result(f"/v/{n}.mp4", "quarantined", f'Cannot read "/v/{n}.mp4": it has {n} bytes.')
        for n in range(1, 8)
    ]
    page = page_of(tmp_path, [*results, Result("x", "partial", "It ends early.", 2.0)])
    rows = table(page, "failures")[1:]
    assert rows[0][:3] == ["7", "quarantined", "it has 1 bytes."]
    assert rows[0][3] == "1.mp4, 2.mp4, 3.mp4, 4.mp4, 5.mp4, …"
    assert rows[1][:3] == ["1", "partial", "It ends early."]
    assert [video["failure"] for video in videos_of(page)] == [0] * 7 + [1]
    buttons = [e.attributes.get("data-failure") for e in page.find("button", "event")]
    assert buttons[:2] == ["0", "1"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_the_player_of_any_name_opens_exactly_that_file(tmp_path: Path, name: str) -> None:
    video = os.path.join(str(tmp_path / "my videos #1"), name.lstrip("/"))
    page = page_of(tmp_path / "out", [result(video)])
    (entry,) = videos_of(page)
    opened = linked_file(tmp_path / "out" / "index.html", entry["url"])
    assert opened == os.path.normpath(os.fsencode(video))
    assert not urlsplit(entry["url"]).scheme
    # Whatever the name tried, there are the data and the one script that is the page's own.
    assert len(page.find("script")) == 2 and "onerror" not in page.source


def test_relative_paths_start_here_or_else_at_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "here" / "a.mp4").touch()
    (tmp_path / "out" / "b.mp4").touch()
    monkeypatch.chdir(tmp_path / "here")
    page = page_of(tmp_path / "out", [result("a.mp4"), result("b.mp4")])
    assert [each["url"] for each in videos_of(page)] == ["../here/a.mp4", "b.mp4"]


def test_a_page_elsewhere_points_from_there(tmp_path: Path) -> None:
    write_formats(["jsonl"], [result(str(tmp_path / "v" / "a.mp4"))], tmp_path / "out")
    out = tmp_path / "deep" / "down" / "page.html"
    assert write_results_report(tmp_path / "out", out=out, title="A & B") == out
    page = Page(out)
    assert page.find("h1")[0].text == "A & B"
    assert videos_of(page)[0]["url"] == "../../v/a.mp4"


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    evil = '"></title></script><!--<script>alert(1)</script><b onclick="x">\u2028😀'
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
    shown = evil.replace("\u2028", "\\u2028")
    assert len(page.find("script")) == 2 and not page.find("b")
    assert page.find("h1")[0].text == shown
    assert table(page, "failures")[1][2] == shown
    data = data_of(page)
    assert data["classes"][0]["name"] == shown and shown in data["texts"]
    assert data["videos"][2]["name"] == r"\xff\u202egpm.mp4"
    block = re.search(r'id="data">(.*?)</script>', page.source, re.DOTALL)[1]
    assert not set(block) & set("<>&") and block.isascii()


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


def test_without_javascript_the_first_videos_are_text(tmp_path: Path) -> None:
    page = page_of(tmp_path, [result("a.mp4", "B"), Result("b.mp4", "quarantined", "It is empty.")])
    items = page.find("li", inside=page.find("noscript")[0])
    assert [item.text for item in items] == [
        "a.mp4: Bark 0–1 s (0.75)", "b.mp4: quarantined, It is empty. no event"
    ]  # fmt: skip


def test_annotations_count_right_and_wrong_seconds(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        [result("/v/a.mp4", "bBBb"), result("/v/b.mp4", "bC"), result("/v/c.mp4", "B")],
        reference={"/v/a.mp4": [("Bark", 0, 2)], "/v/b.mp4": []},
    )
    first, second, third = videos_of(page)
    truth = [found_in(page, cell) for cell in first["tracks"][1]]
    assert [bool(each) for each in truth] == [True, True, False, False]
    assert (first["mistakes"], first["compared"]) == (2, 4)
    # An empty list says: all background.
    assert (second["mistakes"], second["compared"]) == (1, 2)
    assert "mistakes" not in third and len(third["tracks"]) == 1
    assert page.find("p", "facts")[1].text.startswith("50.0 % of 6 annotated seconds correct")


def test_correct_seconds_follow_the_rule_of_the_metrics(tmp_path: Path) -> None:
    # A boundary between whole seconds goes to the nearer one, as in segment_labels.
    page = page_of(
        tmp_path, [result("/v/a.mp4", "bBb")], reference={"/v/a.mp4": [("Bark", 1.4, 2.4)]}
    )
    assert videos_of(page)[0]["mistakes"] == 0


def test_annotations_of_other_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"match none of the videos.*'/v/b.mp4'.*'/v/a.mp4'"):
        page_of(tmp_path, [result("/v/a.mp4")], reference={"/v/b.mp4": []})


def test_seconds_that_were_not_decoded_are_shown_and_not_counted(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        [result("/v/a.mp4", "B?B??", status="partial", reason="It ends early.")],
        reference={"/v/a.mp4": [("Bark", 0, 5)]},
    )
    (video,) = videos_of(page)
    assert [found_in(page, c) is None for c in video["tracks"][0]] == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert (video["mistakes"], video["compared"]) == (0, 2)
    assert data_of(page)["texts"][video["reason"][0]] == "It ends early."


def test_a_quarantined_file_has_its_reason_and_no_player(tmp_path: Path) -> None:
    page = page_of(tmp_path, [Result("/v/list.mp4", "quarantined", "It is a playlist.")])
    (video,) = videos_of(page)
    assert video["url"] is None and video["tracks"] == [] and video["status"] == [2]
    assert data_of(page)["texts"][video["reason"][0]] == "It is a playlist."


def test_classes_differ_in_hue_and_texture(tmp_path: Path) -> None:
    events = [Event(f"class {i}", float(i), i + 1.0, 0.5) for i in range(29)]
    seconds = [Segment(e.start, e.end, e.label, 0.5) for e in events]
    page = page_of(tmp_path, [result("a.mp4", events=events, seconds=seconds)])
    assert len({each["css"] for each in data_of(page)["classes"]}) == 28


def test_a_long_list_has_its_first_videos(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(results_data, "MOST_VIDEOS", 5)
    page = page_of(tmp_path, [result(f"/v/{number}.mp4", "B") for number in range(12)])
    assert len(videos_of(page)) == 5
    assert "The list has the first 5 videos" in page.find("p", "muted")[0].text
    assert page.find("p", "facts")[0].text.startswith("12 ok")


def test_hours_of_video_show_events_and_not_seconds(tmp_path: Path) -> None:
    page = page_of(tmp_path, [result("long.mp4", "b" * 400 + "B" * 2)])
    (video,) = videos_of(page)
    assert video["tracks"] == [] and len(video["events"]) == 2


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
    assert len(videos_of(page)) == 1 and len(page.source) < 200_000


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


def test_a_second_with_several_labels_has_all_of_them(tmp_path: Path) -> None:
    reference = {"/v/a.mp4": [("Bark", 0, 2), ("Clock", 1, 4)]}
    page = page_of(tmp_path, [several("B", "BC", "C", "")], reference=reference)
    found, truth = videos_of(page)[0]["tracks"]
    assert [found_in(page, cell) for cell in found] == [
        [("Bark", 75)], [("Bark", 75), ("Clock", 75)], [("Clock", 75)], []
    ]  # fmt: skip
    assert [[name for name, _ in found_in(page, cell)] for cell in truth] == [
        ["Bark"], ["Bark", "Clock"], ["Clock"], ["Clock"]
    ]  # fmt: skip
    assert videos_of(page)[0]["mistakes"] == 1


def test_lanes_hold_every_stretch_once_and_without_overlap() -> None:
    cells = [["a"], ["a", "b"], ["a", "b", "c"], ["c"], [], None, ["b"]]
    found = lanes(cells)
    for lane in found:
        assert all(one[2] <= other[1] for one, other in itertools.pairwise(lane))
    seen = {(name, place) for lane in found for name, a, b in lane for place in range(a, b)}
    expected = {(name, place) for place, cell in enumerate(cells) for name in cell or ()}
    assert seen == expected | {("background", 4)}
    assert len(found) == 3
