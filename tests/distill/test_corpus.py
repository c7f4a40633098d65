"""What may be trained on, read from an archive and its table."""

from __future__ import annotations

import zipfile

import pytest

from pipelines.distill.corpus import (
    HELD_OUT_CLASSES,
    HELD_OUT_CLIPS,
    read_bytes,
    read_manifest,
    training_clips,
)

FILES = {
    "images/tiny_imagenet/a.jpg": ("goldfish", "train"),
    "images/tiny_imagenet/b.jpg": (HELD_OUT_CLASSES["tiny_imagenet"][0], "train"),
    "images/pacs_photo/c.jpg": ("dog", "train"),
    "images/imagenet_samples/d.jpg": ("tench", "eval"),
    "audio/animals/e.ogg": ("dog", "train"),
}


@pytest.fixture
def corpora(tmp_path):
    lines = ["file\tsource_repo\tlicence\tlabel\tave_class\tsplit\tsize"]
    lines += [f"{file}\tx\tx\t{label}\t\t{split}\t1" for file, (label, split) in FILES.items()]
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in FILES:
            archive.writestr(file, file.encode())
    return tmp_path


def test_held_out_by_class_by_source_and_by_split(corpora):
    members = read_manifest(corpora, "images")
    assert [member.held_out for member in members] == [False, True, True, True]


def test_members_are_read_in_the_order_asked_for(corpora):
    members = read_manifest(corpora, "images")[::-1]
    assert list(read_bytes(corpora / "images.zip", members)) == [m.file.encode() for m in members]


def test_missing_manifest_says_what_it_holds(tmp_path):
    with pytest.raises(FileNotFoundError, match="ave_class"):
        read_manifest(tmp_path, "images")


def test_held_out_classes_and_clips_are_there(shared):
    members = read_manifest(shared / "corpora", "images")
    there = {(member.source, member.label) for member in members}
    for source, labels in HELD_OUT_CLASSES.items():
        assert {(source, label) for label in labels} <= there
    assert not any(member.held_out and member.ave_class for member in members
                   if member.source in HELD_OUT_CLASSES)  # fmt: skip
    clips = shared / "clips"
    assert all((clips / name).is_file() for name in HELD_OUT_CLIPS)
    seen = training_clips(clips)
    assert seen and not {str(path.relative_to(clips)) for path in seen} & set(HELD_OUT_CLIPS)
