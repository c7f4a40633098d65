"""Each format is opened by the tool that owns it, or by its reference library."""

from __future__ import annotations

import csv
import html
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from avel_tf.events.event import Event
from avel_tf.events.formats import FORMATS, write_formats
from avel_tf.events.formats.chapters import chapter_title
from avel_tf.events.formats.text import label_text
from avel_tf.events.result import Result, Segment
from avel_tf.utils.text import printable, valid_unicode
from tests.events.formats.samples import HOSTILE_NAMES, hostile_results

Spans = list[tuple[float, float, str]]

HOSTILE_LABELS = [
    *("-->", "a --> b", "<b>", "</i> &amp; &", "two\n\nlines", "\t", "tab\tbed", '"', 'say "woof"'),
    *("=1+1", ";#comment", "a=b;c\\d#e", "[CHAPTER]", "\u202edrow", "שלום", "🐕‍🦺", "x" * 1000),
    *("Fixed-wing aircraft, airplane", "\r", "\0nul", "* COMMENT", "\\", "'", "Bark (2)", "\udcff"),
]


def is_word(label: str) -> bool:
    """False for what dcase_util converts: the label 01 becomes the integer 1, and None none."""
    if label.strip() == "None":
        return False
    try:
        float(label)
    except ValueError:
        return True
    return False


labels = st.one_of(
    st.sampled_from(HOSTILE_LABELS), st.text(min_size=1, max_size=30).filter(is_word)
)
events = st.builds(
    lambda label, start, length, score: Event(label, start / 1000, (start + length) / 1000, score),
    labels,
    st.integers(0, 7_200_000),
    st.integers(1, 100_000),
    st.floats(0, 1),
)
# The examples of a format, and the most events of each; the writers of all formats see the same
# kind of events. Slow: 1,000 events.
SIZES = [(40, 6), pytest.param((40, 25), marks=pytest.mark.slow)]
# Shrinking takes minutes, as every example writes a file.
PHASES = [Phase.explicit, Phase.generate]


def sorted_result(found: list[Event]) -> Result:
    return Result("a.mp4", "ok", None, 9000.0, (), sorted(found, key=lambda e: (e.start, e.end)))


def read_eaf(path: Path) -> Spans:
    from pympi import Elan

    document = Elan.Eaf(str(path))
    return [
        (start / 1000, end / 1000, text)
        for tier in document.get_tier_names()
        for start, end, text in document.get_annotation_data_for_tier(tier)
    ]


def read_textgrid(path: Path) -> Spans:
    from praatio import textgrid

    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    # The library keeps the doubled quotes of the file.
    return [
        (start, end, text.replace('""', '"'))
        for tier in grid.tiers
        for start, end, text in tier.entries
    ]


def read_vtt(path: Path) -> Spans:
    import webvtt

    return [
        (start.in_seconds() + start.milliseconds / 1000, end.in_seconds() + end.milliseconds / 1000,
         html.unescape(cue.raw_text).rpartition(" (")[0])
        for cue in webvtt.read(str(path))
        for start, end in [(cue.start_time, cue.end_time)]
    ]  # fmt: skip


def read_srt(path: Path) -> Spans:
    import srt

    return [
        (each.start.total_seconds(), each.end.total_seconds(), each.content.rpartition(" (")[0])
        for each in srt.parse(path.read_text("utf-8"))
    ]


def read_otio(path: Path) -> Spans:
    import opentimelineio

    (clip,) = opentimelineio.adapters.read_from_file(str(path)).find_clips()
    return [
        (span.start_time.to_seconds(), span.end_time_exclusive().to_seconds(), marker.name)
        for marker in clip.markers
        for span in [marker.marked_range]
    ]


def read_edl(path: Path) -> Spans:
    import opentimelineio

    timeline = opentimelineio.adapters.read_from_file(str(path), "cmx_3600", rate=25)
    return [
        (span.start_time.to_seconds(), span.end_time_exclusive().to_seconds(), clip.name)
        for clip in timeline.find_clips()
        for span in [clip.source_range]
    ]


def read_chapters(path: Path) -> Spans:
    with av.open(str(path), format="ffmetadata") as container:
        return [
            (
                float(each["start"] * Fraction(each["time_base"])),
                float(each["end"] * Fraction(each["time_base"])),
                each["metadata"].get("title", ""),
            )
            for each in container.chapters()
        ]


def read_parquet(path: Path) -> Spans:
    from pyarrow import parquet

    rows = parquet.read_table(path).to_pylist()
    return [(row["start"], row["end"], row["label"]) for row in rows if row["label"] is not None]


def read_dcase(path: Path) -> Spans:
    import sed_eval

    # dcase_util refuses letters that are not ASCII in a .tsv file.
    path = path.rename(path.with_suffix(".csv"))
    return [
        (each.onset, each.offset, each.event_label)
        for each in sed_eval.io.load_event_list(str(path))
    ]


def read_audacity(path: Path) -> Spans:
    rows = [line.split("\t") for line in path.read_text("utf-8").split("\n") if line]
    return [(float(start), float(end), label) for start, end, label in rows]


def read_raven(path: Path) -> Spans:
    pandas = pytest.importorskip("pandas", reason="the test extra is not installed")
    table = pandas.read_csv(
        path, sep="\t", keep_default_na=False, encoding="utf-8", dtype={"Annotation": str}
    )
    length = table["End Time (s)"] - table["Begin Time (s)"]
    offset = table["File Offset (s)"]
    return list(zip(offset, offset + length, table["Annotation"], strict=True))


def read_json_events(path: Path) -> Spans:
    """The JSON formats, by their published schemas."""
    content = json.loads(path.read_text("ascii"))
    if isinstance(content, list):
        regions = [each for task in content for each in task["predictions"][0]["result"]]
        return [(r["start"], r["end"], *r["labels"]) for r in (each["value"] for each in regions)]
    found = content.get("results") or content["labels"]
    return [
        (*(each.get("segment") or each["timestamps"]), each["label"])
        for listed in found.values()
        for each in listed or ()
    ]


def exact(label: str) -> str:
    return label


# Format: reader, the form of a label in the file, and the resolution of times in seconds. Start
# and end are each rounded to the nearest frame in an EDL, of which a cut has at least one.
READERS: dict[str, tuple[Callable[[Path], Spans], Callable[[str], str], float]] = {
    "eaf": (read_eaf, label_text, 0),
    "textgrid": (read_textgrid, label_text, 0),
    "otio": (read_otio, label_text, 0),
    "edl": (read_edl, label_text, 0.06),
    "chapters": (read_chapters, chapter_title, 0),
    "parquet": (read_parquet, valid_unicode, 0),
    "audacity": (read_audacity, label_text, 0),
    "raven": (read_raven, label_text, 0),
    "dcase": (read_dcase, label_text, 0),
    "activitynet": (read_json_events, exact, 0),
    "fiftyone": (read_json_events, exact, 0),
    "labelstudio": (read_json_events, exact, 0),
}


def written(result: Result, name: str, folder: Path) -> Path:
    path = write_formats([name], [result], folder)[name]
    return path if path.is_file() else next(each for each in path.rglob("*") if each.is_file())


def drawn_events(size: tuple[int, int]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Hypothesis' decorators for (examples, events of each); short lists are drawn as well."""
    examples, most = size
    drawn = given(st.lists(events, min_size=1 if most < 10 else most, max_size=most))
    rules = settings(
        max_examples=examples,
        phases=PHASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.large_base_example, HealthCheck.data_too_large],
    )
    return lambda check: rules(drawn(check))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", READERS)
def test_its_own_tool_reads_every_event_with_its_times(name: str, size: tuple[int, int]) -> None:
    read, form, resolution = READERS[name]

    @drawn_events(size)
    def check(found: list[Event]) -> None:
        result = sorted_result(found)
        with tempfile.TemporaryDirectory() as folder:
            spans = read(written(result, name, Path(folder)))
        expected = [(each.start, each.end, form(each.label)) for each in result.events]
        spans, expected = sorted(spans), sorted(expected)
        if name == "edl":  # rounding may reorder events
            key = lambda span: span[2]  # noqa: E731
            assert Counter(map(key, spans)) == Counter(map(key, expected))
            spans = sorted(spans, key=lambda span: (span[2], span[0], span[1]))
            expected = sorted(expected, key=lambda span: (span[2], span[0], span[1]))
        for span, wanted in zip(spans, expected, strict=True):
            assert span[2] == wanted[2]
            assert math.isclose(span[0], wanted[0], abs_tol=resolution + 1e-6)
            assert math.isclose(span[1], wanted[1], abs_tol=resolution + 1e-6)

    check()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "read"), [("vtt", read_vtt), ("srt", read_srt)])
def test_caption_libraries_read_every_event(
    name: str, read: Callable[[Path], Spans], size: tuple[int, int]
) -> None:
    @drawn_events(size)
    def check(found: list[Event]) -> None:
        result = sorted_result(found)
        with tempfile.TemporaryDirectory() as folder:
            spans = read(written(result, name, Path(folder)))
        times = [time for each in result.events for time in (each.start, each.end)]
        assert [time for span in spans for time in span[:2]] == pytest.approx(times, abs=1e-6)

    check()


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_needs_an_event_or_a_length(tmp_path: Path, name: str) -> None:
    path = written(Result("a.mp4", "quarantined", "The file is empty."), name, tmp_path)
    if name in READERS and name not in ("dcase",):
        spans = READERS[name][0](path) if path.stat().st_size else []
        assert [span for span in spans if span[2]] == []


def test_raven_counts_videos_without_events(tmp_path: Path) -> None:
    results = [
        Result("a.mp4", "ok", None, 10.0, (), (Event("Bark", 1, 2, 0.5),)),
        Result("silent.mp4", "ok", None, 7.5),
        Result("b.mp4", "ok", None, 4.0, (), (Event("Bark", 0.5, 3, 0.5),)),
    ]
    path = write_formats(["raven"], results, tmp_path)["raven"]
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines(), dialect="excel-tab"))
    assert [row["Selection"] for row in rows] == ["1", "2"]
    assert [row["Begin File"] for row in rows] == ["a.mp4", "b.mp4"]
    assert [float(row["Begin Time (s)"]) for row in rows] == [1.0, 18.0]
    assert [float(row["End Time (s)"]) for row in rows] == [2.0, 20.5]
    assert [float(row["File Offset (s)"]) for row in rows] == [1.0, 0.5]


def test_combined_files_list_every_hostile_video(tmp_path: Path) -> None:
    from pyarrow import parquet

    paths = write_formats(FORMATS, hostile_results(), tmp_path)
    names = [result.video for result in hostile_results()]
    table = parquet.read_table(paths["parquet"]).to_pylist()
    assert list(dict.fromkeys(row["video"] for row in table)) == list(
        dict.fromkeys(map(valid_unicode, names))
    )
    rows = csv.DictReader(paths["dcase"].open(newline=""), dialect="excel-tab")
    assert {row["filename"] for row in rows} == set(map(printable, names))
    activitynet = json.loads(paths["activitynet"].read_text())["results"]
    fiftyone = json.loads(paths["fiftyone"].read_text())["labels"]
    assert set(activitynet) == set(map(valid_unicode, names))
    # By FiftyOne's rules, some of these names are one.
    assert sum(map(len, filter(None, fiftyone.values()))) == sum(
        len(result.events) for result in hostile_results()
    )
    assert len(json.loads(paths["labelstudio"].read_text())) == len(names)


# Any name a file can have on Linux: bytes without NUL.
file_names = st.one_of(
    st.sampled_from(HOSTILE_NAMES),
    st.binary(min_size=1, max_size=40).filter(lambda name: 0 not in name).map(os.fsdecode),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)


def read_names(name: str, path: Path) -> dict[str, str]:
    """The label of the one event of each video, by the name of the video in the file."""
    if name == "parquet":
        from pyarrow import parquet

        return {row["video"]: row["label"] for row in parquet.read_table(path).to_pylist()}
    if name in ("csv", "seconds", "dcase", "raven"):
        video = {"dcase": "filename", "raven": "Begin Path"}.get(name, "video")
        label = {"dcase": "event_label", "raven": "Annotation"}.get(name, "label")
        excel = "excel" if name in ("csv", "seconds") else "excel-tab"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, dialect=excel))
        # Cells that a spreadsheet would evaluate begin with an apostrophe.
        quoted = "'" if name in ("csv", "seconds") else ""
        return {row[video].removeprefix(quoted): row[label] for row in rows}
    content = json.loads(path.read_text("ascii"))
    if name == "labelstudio":
        return {
            task["data"]["video"]: task["predictions"][0]["result"][0]["value"]["labels"][0]
            for task in content
        }
    found = content.get("results") or content["labels"]
    return {video: events[0]["label"] for video, events in found.items()}


NAME_FORMS = dict.fromkeys(("dcase", "raven"), printable)


@pytest.mark.parametrize(
    "cases", [50, pytest.param(1000, marks=pytest.mark.slow)], ids=["50 names", "1000 names"]
)
@pytest.mark.parametrize(
    "name", ["csv", "seconds", "parquet", "dcase", "raven", "activitynet", "labelstudio"]
)
def test_each_event_stays_with_its_video(name: str, cases: int) -> None:
    form = NAME_FORMS.get(name, valid_unicode)

    @settings(max_examples=cases // 10, phases=PHASES, deadline=None, derandomize=True)
    @given(st.lists(file_names, min_size=10, max_size=10, unique_by=form))
    def check(names: list[str]) -> None:
        results = [
            Result(video, "ok", None, 2.0, (Segment(0, 1, f"of {number}", 0.5),),
                   (Event(f"of {number}", 0, 1, 0.5),))
            for number, video in enumerate(names)
        ]  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            path = write_formats([name], results, Path(folder))[name]
            found = read_names(name, path)
        expected = {form(video): f"of {number}" for number, video in enumerate(names)}
        assert found == expected

    check()


def test_fiftyone_keeps_videos_apart_that_differ_in_suffix(tmp_path: Path) -> None:
    names = ["a/dog.mp4", "/a/dog.mp4", "a/dog.mkv", "./a/cat.mp4", "a/dog.mp4"]
    results = [
        Result(video, "ok", None, 2.0, (), (Event(f"of {number}", 0, 1, 0.5),))
        for number, video in enumerate(names)
    ]
    path = write_formats(["fiftyone"], results, tmp_path)["fiftyone"]
    labels = json.loads(path.read_text("ascii"))["labels"]
    found = {video: [each["label"] for each in events] for video, events in labels.items()}
    assert found == {
        "a/dog": ["of 0", "of 4"], "/a/dog.mp4": ["of 1"], "a/dog.mkv": ["of 2"], "a/cat": ["of 3"],
    }  # fmt: skip


def test_ffmpeg_muxes_the_chapters_into_matroska(tmp_path: Path) -> None:
    result = sorted_result([Event("a=b;c", 0, 1.5, 0.5), Event("🐕 --> <b>", 2, 3, 0.9)])
    chapters = written(result, "chapters", tmp_path)
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container, av.open(str(chapters), format="ffmetadata") as read:
        container.set_chapters(read.chapters())
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(25 * 4):
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode())
    with av.open(str(film)) as container:
        found = [each["metadata"]["title"] for each in container.chapters()]
    assert found == ["a=b;c", "🐕 --> <b>"]
