"""One table in the many ways that spreadsheets, DCASE, MMAction2 and people write it."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avel_tf.datasets import SPLITS, Annotation, DatasetError, load_dataset
from avel_tf.datasets.audit import audit

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
HEADERS = (
    ("video", "label", "start", "end", "split"),
    ("Video", "LABEL", "Start", "End", "Split"),
    ("filename", "event_label", "onset", "offset", "subset"),
    ("File Name", "Class", "start time", "end-time", "split"),
)
SPLIT_WORDS = {
    "train": ("train", "Train", "training"),
    "validation": ("validation", "val", "Valid"),
    "test": ("test", "TEST", "testing"),
}
# Characters that every dialect can carry: no comment mark, no space that is stripped.
NAME = st.text(
    st.characters(categories=("L", "N"), include_characters=",;'\""), min_size=1, max_size=6
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a.mp4", "b.mp4", "c/d.mp4"]),
        NAME.filter(lambda name: name.casefold() != "background"),
        st.integers(0, 8_000_000).map(lambda number: number / 1000),
        st.integers(0, 8_000_000).map(lambda number: number / 1000),
    ),
    min_size=1,
    max_size=6,
)


def decimal(value: float, mark: str = ".") -> str:
    return f"{value:.3f}".replace(".", mark)


def clock(value: float) -> str:
    """h:mm:ss.mmm from an hour, m:ss.mmm below."""
    whole, thousandths = divmod(round(value * 1000), 1000)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    hour = f"{hours}:{minutes:02}" if hours else str(minutes)
    return f"{hour}:{seconds:02}.{thousandths:03}"


def written(header, rows, separator: str = ",", **more) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, **more).writerows([header, *rows])
    return buffer.getvalue()


def write(folder: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "annotations.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, data=st.data())
def test_a_table_is_the_same_in_every_dialect(tmp_path, rows, data):
    names = list(dict.fromkeys(row[0] for row in rows))
    split_of = {name: data.draw(st.sampled_from(SPLITS)) for name in names}
    plain = [(v, n, repr(s), repr(e), split_of[v]) for v, n, s, e in rows]
    expected = load_dataset(write(tmp_path, written(HEADERS[0], plain)))
    assert not expected.notes

    separator = data.draw(st.sampled_from(",;\t"))
    spell = data.draw(
        st.sampled_from([decimal, clock, *[lambda value: decimal(value, ",")] * (separator == ";")])
    )
    spelt = [
        (v, n, spell(s), spell(e), data.draw(st.sampled_from(SPLIT_WORDS[split_of[v]])))
        for v, n, s, e in rows
    ]
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = written(
        data.draw(st.sampled_from(HEADERS)), spelt, separator, lineterminator=end, quoting=quoting
    )
    comment = f"# made by hand, {separator} who knows{end}" if data.draw(st.booleans()) else ""
    declared = f"sep={separator}{end}" if data.draw(st.booleans()) else ""
    encoding = data.draw(st.sampled_from(ENCODINGS))
    found = load_dataset(write(tmp_path, declared + comment + text + comment + end, encoding))
    assert (found.labels, found.videos) == (expected.labels, expected.videos)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:05", 5.0),
        ("1:05", 65.0),
        ("01:02:03", 3723.0),
        ("75:30", 4530.0),
        ("2:32.967", 152.967),
        ('"0:00:02,500"', 2.5),
        ('"1,5"', 1.5),
        ('"0,125"', 0.125),
        ("1e1", 10.0),
    ],
)
def test_times_of_one_reading(tmp_path, text, seconds):
    rows = f"video,label,start,end\na.mp4,dog,{text},9999\n"
    (video,) = load_dataset(write(tmp_path, rows)).videos
    assert video.annotations == (Annotation("dog", seconds, 9999.0),)


def test_a_decimal_comma_is_proven_by_other_rows(tmp_path):
    rows = 'video,label,start,end\na.mp4,dog,"1,500","2,5"\n'
    (video,) = load_dataset(write(tmp_path, rows)).videos
    assert video.annotations == (Annotation("dog", 1.5, 2.5),)


def test_an_error_names_the_line_of_the_file(tmp_path):
    rows = "sep=;\n# from a colleague\nvideo;label;start;end\n\na.mp4;dog;x;2\n"
    with pytest.raises(DatasetError, match=r"annotations.csv, line 5: the start 'x'"):
        load_dataset(write(tmp_path, rows))


def test_rows_are_commented_out_where_a_file_proves_it(tmp_path):
    for name in ("a.mp4", "#b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    rows = (
        "video,label,start,end\n#a.mp4,dog,0,1\n#b.mp4,dog,1,2\n#gone.mp4,dog,2,3\nc.mp4,cat,0,1\n"
    )
    dataset = load_dataset(write(tmp_path, rows))
    assert [video.id for video in dataset.videos] == ["#b.mp4", "#gone.mp4", "c.mp4"]


def test_columns_of_other_words_stay_further_columns(tmp_path):
    """Where a column has our name, no other word means it."""
    rows = "video,label,start,end,class,onset,filename\na.mp4,dog,1,2,x,9,y.mp4\n"
    dataset = load_dataset(write(tmp_path, rows))
    assert dataset.videos[0].annotations == (Annotation("dog", 1.0, 2.0),) and not dataset.notes


def test_names_of_a_mac_and_of_windows_find_their_files(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "Übung.mp4").touch()
    (tmp_path / "clips" / "b.MP4").touch()
    name = unicodedata.normalize("NFD", "Übung.mp4")
    rows = f"filename;event_label;onset;offset\nclips\\{name};dog;0;1\nclips/b;dog;0:01;1,5\n"
    dataset = load_dataset(write(tmp_path, rows))
    assert [video.path.name for video in dataset.videos] == ["Übung.mp4", "b.MP4"]
    assert all(video.path.is_file() for video in dataset.videos)


def test_the_audit_says_what_was_understood(tmp_path):
    rows = (
        "sep=;\n# by hand\nfilename;event_label;onset;offset;split\n"
        "a.mp4;dog;0:01;1,5;Train\nb.mp4;dog;0;1;val\n"
    )
    dataset = load_dataset(write(tmp_path, rows))
    report = audit(dataset, probe=_missing, decode=_missing).to_text()
    for said in (
        "separated by semicolons",
        "'filename' is read as video",
        "'offset' is read as end",
        "1 line of comments ignored",
        "'val' is read as validation",
        "1:05 are read as minutes and seconds",
        "2,5 are read as 2.5 seconds",
    ):
        assert any(said in note for note in dataset.notes)
    assert "were interpreted" in report and "separated by semicolons" in report


def _missing(path, **_):
    raise FileNotFoundError(path)
