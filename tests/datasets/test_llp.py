"""LLP: labels of whole clips for training, events by modality for measuring."""

from __future__ import annotations

import pytest

from avel_tf.datasets import Annotation, DatasetError, load_dataset

TABLES = {
    "AVVP_train.csv": "filename\tevent_labels\n4YdbENYcIyE_23_33\tSpeech,Dog\na_b_0_10\tBlender\n",
    "AVVP_val_pd.csv": "filename\tevent_labels\n4O9rI-FpqLg_10_20\tCheering,Speech\n",
    "AVVP_test_pd.csv": "filename\tevent_labels\nMcVcuryKUp4_160_170\tMotorcycle,Speech\n",
    "AVVP_eval_audio.csv": "filename\tonset\toffset\tevent_labels\n"
    "McVcuryKUp4_160_170\t0\t7\tMotorcycle\nMcVcuryKUp4_160_170\t3\t5\tSpeech\n"
    "4O9rI-FpqLg_10_20\t0\t10\tSpeech\n",
    "AVVP_eval_visual.csv": "filename\tonset\toffset\tevent_labels\n"
    "McVcuryKUp4_160_170\t0\t2\tMotorcycle\nMcVcuryKUp4_160_170\t6\t8\tMotorcycle\n"
    "4O9rI-FpqLg_10_20\t0\t10\tCheering\n",
}


def write(folder, *names: str, **changed: str) -> None:
    for name in names or TABLES:
        (folder / name).write_text(changed.get(name.removesuffix(".csv"), TABLES[name]))


def test_an_event_is_heard_and_seen_at_once(tmp_path) -> None:
    write(tmp_path)
    (video,) = load_dataset(tmp_path).split("test")
    # Heard 0 to 7, seen 0 to 2 and 6 to 8; the speaker is never seen.
    assert video.annotations == (Annotation("Motorcycle", 0, 2), Annotation("Motorcycle", 6, 7))


def test_what_is_only_heard_or_only_seen_is_none(tmp_path) -> None:
    write(tmp_path)
    (video,) = load_dataset(tmp_path).split("validation")
    assert video.annotations == ()


def test_training_labels_span_the_clip_and_are_weak(tmp_path) -> None:
    write(tmp_path)
    dataset = load_dataset(tmp_path / "AVVP_train.csv")
    first, second = dataset.split("train")
    assert first.annotations == (Annotation("Dog", 0, 10), Annotation("Speech", 0, 10))
    assert (first.media_id, second.media_id) == ("4YdbENYcIyE", "a_b")
    assert dataset.layout == "llp" and dataset.weak_splits == {"train"}
    assert dataset.labels.names == ("Blender", "Cheering", "Dog", "Motorcycle", "Speech")


def test_without_events_every_split_is_weak(tmp_path) -> None:
    write(tmp_path, "AVVP_train.csv", "AVVP_val_pd.csv", "AVVP_test_pd.csv")
    dataset = load_dataset(tmp_path)
    assert dataset.weak_splits == {"train", "validation", "test"}


def test_one_modality_alone_is_refused(tmp_path) -> None:
    write(tmp_path, "AVVP_train.csv", "AVVP_eval_audio.csv")
    with pytest.raises(DatasetError, match="audible and visible"):
        load_dataset(tmp_path)


def test_a_clip_in_two_splits_is_refused(tmp_path) -> None:
    write(tmp_path, AVVP_test_pd=TABLES["AVVP_train.csv"])
    with pytest.raises(DatasetError, match="line 2: '4YdbENYcIyE_23_33' is already listed"):
        load_dataset(tmp_path)


def test_columns_apart_by_commas_are_refused(tmp_path) -> None:
    write(tmp_path, AVVP_train=TABLES["AVVP_train.csv"].replace("\t", ","))
    with pytest.raises(DatasetError, match="lacks filename, event_labels.*separated by tabs"):
        load_dataset(tmp_path)


def test_files_are_found_by_clip_or_by_id(tmp_path) -> None:
    write(tmp_path)
    (tmp_path / "LLP_dataset" / "video").mkdir(parents=True)
    (tmp_path / "videos").mkdir()
    by_id = tmp_path / "LLP_dataset" / "video" / "4YdbENYcIyE.mp4"
    by_clip = tmp_path / "videos" / "a_b_0_10.mp4"
    by_id.touch()
    by_clip.touch()
    assert [video.path for video in load_dataset(tmp_path).split("train")] == [by_id, by_clip]
