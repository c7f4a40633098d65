"""The table layout, `annotations.csv`."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.datasets import SPLITS, Annotation, DatasetError, DatasetSettings, load_dataset

HEADER = "video,label,start,end,split\n"


def write(folder: Path, content: str | bytes) -> Path:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    path = folder / "annotations.csv"
    path.write_bytes(raw)
    return path


def test_rows_of_one_video_are_its_events(tmp_path) -> None:
    dataset = load_dataset(
        write(
            tmp_path,
            HEADER + 'a.mp4,"Violin, fiddle",4,6.5,train\nb/c.mp4,dog,0,1,test\n'
            "a.mp4,dog,1,2,train\nd.mp4,,,,validation\ne.mp4,,0,10,validation\n",
        )
    )
    assert dataset.layout == "table" and dataset.root == tmp_path
    assert dataset.labels.names == ("dog", "Violin, fiddle")
    first, second, *silent = dataset.videos
    assert first.annotations == (Annotation("dog", 1, 2), Annotation("Violin, fiddle", 4, 6.5))
    assert (second.id, second.path) == ("b/c.mp4", tmp_path / "b" / "c.mp4")
    assert [video.annotations for video in silent] == [(), ()]
    assert [video.split for video in dataset.videos] == ["train", "test", *["validation"] * 2]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffvideo,label,start,end\na.mp4,dog,1,2\n",
        'End,START,notes,video,Label\r\n2,1,"a\nb",a.mp4,dog\r\n',
        '"video","label","start","end"\n\n"a.mp4","dog","1","2"\n\n',
        "video, label, start, end\n a.mp4 , dog , 1 , 2.0 ,,\n",
        "video,label,start,end,split,source\na.mp4,dog,1,2\n",
        "video,label,start,end\n./x/../a.mp4,dog,1,2\n",
        "video,label,start,end\na.mp4,dog,1,2\n".encode("utf-16"),
    ],
)
def test_tables_that_were_saved_differently_read_alike(tmp_path, content) -> None:
    (video,) = load_dataset(write(tmp_path, content)).videos
    assert (video.id, video.path) == ("a.mp4", tmp_path / "a.mp4")
    assert video.annotations == (Annotation("dog", 1.0, 2.0),)


def test_absolute_and_relative_paths_are_one_video(tmp_path) -> None:
    outside = tmp_path.parent / "z.mp4"
    rows = f"a.mp4,dog,0,1\n{tmp_path}/a.mp4,dog,1,2\n{outside},dog,1,2\n../y.mp4,dog,0,1\n"
    videos = load_dataset(write(tmp_path, "video,label,start,end\n" + rows)).videos
    assert [video.id for video in videos] == ["a.mp4", outside.as_posix(), "../y.mp4"]
    assert videos[2].path == tmp_path.parent / "y.mp4"


def test_other_spellings_of_a_file_are_one_video(tmp_path) -> None:
    (tmp_path / "é").mkdir()
    (tmp_path / "é" / "ü.MP4").write_bytes(b"x")
    spelt = ("é/ü.MP4", "e\u0301/u\u0308.mp4", "é\\ü", "C:\\data\\é\\ü.mp4")
    rows = "".join(f"{name},dog,{second},{second + 1}\n" for second, name in enumerate(spelt))
    (video,) = load_dataset(write(tmp_path, "video,label,start,end\n" + rows)).videos
    assert (video.id, video.path) == ("é/ü.MP4", tmp_path / "é" / "ü.MP4")
    assert len(video.annotations) == len(spelt)


def test_a_name_of_two_files_is_refused_with_its_line(tmp_path) -> None:
    for name in ("a.mp4", "a.mkv"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"line 2: 'a' matches 'a.mkv' and 'a.mp4'"):
        load_dataset(write(tmp_path, "video,label,start,end\na,dog,0,1\n"))


def test_a_file_name_of_any_bytes(tmp_path) -> None:
    name = b"caf\xe9 \xff.mp4"
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    raw = b"video,label,start,end\n" + name + b",dog,0,1\n"
    (video,) = load_dataset(write(tmp_path, raw)).videos
    assert video.path.read_bytes() == b"x"


def test_strange_times_are_left_to_the_audit(tmp_path) -> None:
    rows = "a.mp4,dog,-1,2\na.mp4,dog,5,3\na.mp4,dog,0,1e6\n"
    (video,) = load_dataset(write(tmp_path, "video,label,start,end\n" + rows)).videos
    assert [(event.start, event.end) for event in video.annotations] == [
        (-1, 2),
        (0, 1e6),
        (5, 3),
    ]


def test_without_split_the_videos_are_split_by_a_seed(tmp_path) -> None:
    rows = [f"v{n}.mp4,{'dog' if n % 2 else 'cat'},{k},9\n" for n in range(40) for k in (0, 1)]
    path = write(tmp_path, "video,label,start,end\n" + "".join(rows))
    dataset = load_dataset(path)
    assert [len(dataset.split(name)) for name in SPLITS] == [28, 6, 6]
    assert {e.label for v in dataset.split("test") for e in v.annotations} == {"cat", "dog"}
    write(tmp_path, "video,label,start,end\n" + "".join(reversed(rows)))
    again = load_dataset(path)
    assert sorted(map(repr, again.videos)) == sorted(map(repr, dataset.videos))
    other = load_dataset(path, DatasetSettings(split_seed=1, test_fraction=0.5))
    assert len(other.split("test")) == 20


def test_an_empty_split_column_is_no_split_column(tmp_path) -> None:
    rows = "".join(f"v{n}.mp4,dog,0,9,\n" for n in range(10))
    dataset = load_dataset(write(tmp_path, HEADER + rows))
    assert all(dataset.split(name) for name in SPLITS)


FIELD = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(
    st.lists(
        st.tuples(FIELD, FIELD, st.floats(-9, 99), st.floats(-9, 99), st.sampled_from(SPLITS)),
        min_size=1,
        max_size=10,
        unique_by=lambda row: os.path.normpath(row[0]),
    )
)
def test_what_the_csv_module_writes_reads_back(tmp_path_factory, rows) -> None:
    rows = [row for row in rows if row[1].casefold() != "background" and row[0][0] != "/"]
    if not rows:
        return
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([HEADER.strip().split(","), *rows])
    folder = tmp_path_factory.mktemp("table")
    dataset = load_dataset(write(folder, buffer.getvalue()))
    read = [
        (video.path, event.label, event.start, event.end, video.split)
        for video in dataset.videos
        for event in video.annotations
    ]
    assert read == [(Path(os.path.normpath(folder / r[0])), *r[1:]) for r in rows]
    names = dataset.labels.names
    assert list(names) == sorted({row[1] for row in rows}, key=lambda n: (n.casefold(), n))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"annotations\.csv is empty; expected a header with video,label,start,end"),
        ("video,label,start,end\n", "has no rows"),
        ("video,sound,start,end\n", "the header lacks label; expected video,label,.*received"),
        ("video,labels,start,end\n", "a column 'labels'. Did you mean 'label'"),
        ("video|label|start|end\n", "the header lacks video, label, start, end"),
        ("video,label,class,start,end\na.mp4,dog,1,2\n", "only 4 of 5 fields"),
        ("filename,path,label,start,end\n", "column 'video' more than once: filename, path"),
        ("video,label,start,offset\n", "the header lacks end"),
        ("video,video,label,start,end\n", "the column 'video' more than once"),
        (HEADER + "a.mp4,dog\n", r"line 2: only 2 of 5 fields; received \['a.mp4', 'dog'\]"),
        (HEADER + "a.mp4,Violin, fiddle,0,10,train\n", "line 2: 6 fields.*holds a comma in quotes"),
        (HEADER + "a.mp4,dog,x,10,train\n", "line 2: the start 'x' is not a number"),
        (HEADER + '"a.mp4",dog,"1,500",10,train\n', "'1,500' is ambiguous"),
        (HEADER + 'a.mp4,dog,"1,5",10.5,train\n', "'10.5' has a point, but .* decimal comma"),
        (HEADER + "a.mp4,dog,0:61,1:30,train\n", "the start '0:61' .* below 60"),
        (HEADER + "a.mp4,dog,1:60:00,1:30,train\n", "'1:60:00' .* below 60"),
        (HEADER + "a.mp4,dog,5s,10,train\n", "the start '5s' is not a number; .* 2.5"),
        (HEADER + "a.mp4,dog,,10,train\n", "the start '' is not a number"),
        (HEADER + "a.mp4,dog,0,NaN,train\n", "the end 'NaN' is not a number"),
        (HEADER + "a.mp4,dog,0,1,dev\n", "the split 'dev' is unknown; expected one of train"),
        (HEADER + "a.mp4,dog,0,1,Tset\n", "'Tset' is unknown.*Did you mean 'test'"),
        (HEADER + "a.mp4,dog,0,1,train\n./a.mp4,dog,0,1,test\n", "line 3: .*'train' in line 2"),
        (HEADER + "a.mp4,dog,0,1,train\nb.mp4,dog,0,1,\n", "line 3: 'b.mp4' has no split"),
        (HEADER + ",dog,0,1,train\n", "line 2: the video '' is not a path"),
        (HEADER + "a\0.mp4,dog,0,1,train\n", "is not a path"),
        (HEADER + "a.mp4,Background,0,1,train\n", "leave the label empty"),
        (HEADER + "a.mp4,,,,train\n", "has no event"),
        (HEADER + 'a.mp4,"a\nb",0,1,train\n', r"annotations\.csv: The class name 'a\\nb'"),
        (HEADER + 'a.mp4,"dog,0,1,train\n', "not a CSV row"),
        ((HEADER + "a.mp4,ch\xe8vre,0,1,train\n").encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_errors_name_file_line_and_text(tmp_path, content, sentence: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DatasetError, match=sentence) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)
