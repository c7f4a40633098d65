"""avel evaluate --corrupt, as a user meets it."""

from __future__ import annotations

import json

import pytest

from avel_tf.cli.main import main


@pytest.fixture(scope="module")
def measured(run_folder, exported, clips, tmp_path_factory):
    """What a run and its export make of spoilt test clips."""
    out = tmp_path_factory.mktemp("robustness")
    words = ["evaluate", str(run_folder), str(clips), "--corrupt", "late_sound,black_picture"]
    assert main([*words, "--beside", str(exported), "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_clean_clips_measure_as_without_corrupt(measured, run_folder, exported, store, tmp_path):
    found = json.loads((measured / "robustness.json").read_text())
    assert found["split"] == "test" and found["videos"] == 4
    assert set(found["models"].values()) == {str(run_folder), str(exported)}
    assert main(["evaluate", str(run_folder), str(store.folder), "--out", str(tmp_path)]) == 0
    plain = json.loads((tmp_path / "metrics.json").read_text())
    clean = found["conditions"][0]
    assert clean["corruption"] is None
    for scores in clean["models"].values():
        assert scores["accuracy"] == plain["segment_accuracy"]
        assert scores["accuracy_ci95"] == plain["segment_accuracy_ci95"]
        assert scores["segments"] == plain["segments"]
    assert [(each["corruption"], each["severity"]) for each in found["conditions"][1:]] == [
        ("late_sound", 1),
        ("late_sound", 2),
        ("black_picture", 1),
    ]
    assert (measured / "robustness.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_so_many_clips_and_a_table(run_folder, clips, capsys):
    words = ["evaluate", str(run_folder), str(clips), "--corrupt", "muted", "--clips", "2"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("| muted | 100 % |")]
    assert main([*words[:-1], "0"]) == 1
    assert "(--clips) must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--corrupt", "white_nose"], "Did you mean 'white_noise'"),
        (["--split", "testing"], "split"),
    ],
)
def test_wrong_words_are_refused_in_words(run_folder, clips, change, said, capsys):
    words = ["evaluate", str(run_folder), str(clips), "--corrupt", "muted", *change]
    assert main(words) == 1
    assert said in capsys.readouterr().err


def test_features_cannot_be_spoilt(run_folder, store, capsys):
    assert main(["evaluate", str(run_folder), str(store.folder), "--corrupt", "all"]) == 1
    assert "Give the data set" in capsys.readouterr().err
