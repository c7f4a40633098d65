"""Which layout is it?"""

from __future__ import annotations

import sys

import pytest

from avel_tf.datasets import DatasetError, DatasetSettings, load_dataset

TABLE = "video,label,start,end\na.mp4,dog,0,1\n"


def test_nothing_there(tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere does not exist; expected a folder with"):
        load_dataset(tmp_path / "nowhere")


def test_no_annotations(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"expected Annotations\.txt.*found nothing"):
        load_dataset(tmp_path)
    for name in ("a.mp4", "b.mp4", "other.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(DatasetError, match=r"found a\.mp4, b\.mp4, other\.json"):
        load_dataset(tmp_path)


def test_the_folder_of_the_videos_instead_of_the_data_set(tmp_path) -> None:
    (tmp_path / "Annotations.txt").write_text("Bark&a&good&0&1\n")
    (tmp_path / "AVE").mkdir()
    with pytest.raises(DatasetError, match=f"parent folder has annotations: pass {tmp_path}"):
        load_dataset(tmp_path / "AVE")


def test_several_layouts(tmp_path) -> None:
    (tmp_path / "annotations.csv").write_text(TABLE)
    (tmp_path / "net.json").write_text('{"database": {}}')
    with pytest.raises(DatasetError, match=r"\(annotations\.csv, net\.json\); pass the"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path / "annotations.csv").layout == "table"


def test_a_file_of_another_kind(tmp_path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    with pytest.raises(DatasetError, match=r"a\.mp4 is not a file of annotations"):
        load_dataset(path)


def test_a_table_of_another_name_and_a_relative_path(tmp_path, monkeypatch) -> None:
    (tmp_path / "dogs.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset("dogs.csv")
    assert dataset.root == tmp_path and dataset.videos[0].path.is_absolute()


def test_deleaked_counts_what_it_leaves_out(tmp_path, caplog) -> None:
    for name, row in (("train", "a"), ("val", "b"), ("test", "a")):
        (tmp_path / f"{name}Set.txt").write_text(f"Bark&{row}&good&0&1\n")
    with caplog.at_level("INFO", "avel_tf"):
        dataset = load_dataset(tmp_path, DatasetSettings(deleaked=True))
    assert [video.split for video in dataset.videos] == ["validation", "test"]
    assert "1 of 3 examples removed" in caplog.text


def test_annotations_load_no_heavy_library() -> None:
    import subprocess

    code = (
        "import sys, avel_tf.datasets; "
        "print([m for m in ('tensorflow', 'av', 'cv2', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
