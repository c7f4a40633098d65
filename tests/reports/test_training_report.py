from __future__ import annotations

import json
from pathlib import Path

import pytest

from avel_tf.events.labels import Labels
from avel_tf.reports.training_report import FILES, write_training_report
from tests.reports.pages import Page
from tests.reports.runs import LABELS, outcomes, write_run


def cells(page: Page, row: int) -> list[str]:
    table = page.find("table", "headline")[0]
    line = page.find("tr", inside=table)[row]
    return [each.text for each in page.find("td", inside=line)]


def test_the_table_has_model_and_baselines(tmp_path: Path) -> None:
    metrics = write_run(tmp_path)
    page = Page(write_training_report(tmp_path))
    low, high = metrics["segment_accuracy_ci95"]
    assert cells(page, 1)[0] == (
        f"{100 * metrics['segment_accuracy']:.1f} %{100 * low:.1f} % to {100 * high:.1f} %"
    )
    assert cells(page, 1)[2] == f"{100 * metrics['event_f1']:.1f} %"
    rows = [row.text for row in page.find("th") if row.attributes.get("scope") == "row"][:5]
    assert rows[0] == "model" and rows[1].startswith("plain postprocessing")
    assert rows[2].startswith("all background")
    # Without a training split there is no majority class.
    assert rows[3].startswith("majority class") and cells(page, 4) == ["–"] * 6
    told = metrics["baselines"]["right_class_everywhere"]["segment_accuracy"]
    assert cells(page, 5)[0] == f"{100 * told:.1f} %"


def test_the_page_shows_plain_and_fitted_postprocessing(tmp_path: Path) -> None:
    write_run(tmp_path / "theirs", seed=5)
    metrics = write_run(tmp_path / "ours")
    metrics["plain_events"] |= {"event_f1": 0.125, "onset_error_s": 3.25}
    (tmp_path / "ours" / "metrics.json").write_text(json.dumps(metrics))
    page = Page(write_training_report(tmp_path / "ours", beside=[tmp_path / "theirs"]))
    fitted, plain = cells(page, 1), cells(page, 2)
    assert (fitted[2], plain[2]) == (f"{100 * metrics['event_f1']:.1f} %", "12.5 %")
    assert plain[4].startswith("3.2") and not fitted[4].startswith("3.2")
    assert plain[3] == fitted[3]  # seconds are the same; events alone are decoded otherwise
    (row,) = (row for row in page.find("tr") if "this run" in row.text)
    assert page.find("td", inside=row)[2].text == f"{fitted[2]}plain 12.5 %"


@pytest.mark.parametrize(("accuracy", "said"), [(0.999, ", above the"), (0.0, ", not above the")])
def test_the_verdict_compares_with_the_best_baseline(
    tmp_path: Path, accuracy: float, said: str
) -> None:
    metrics = write_run(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics | {"segment_accuracy": accuracy}))
    assert said in Page(write_training_report(tmp_path)).find("p", "verdict")[0].text


def test_several_seeds_show_their_spread(tmp_path: Path) -> None:
    metrics = write_run(tmp_path, seeds=3)
    page = Page(write_training_report(tmp_path))
    assert "Mean of 3 seeds" in page.find("p", "muted")[0].text
    assert f"± {100 * metrics['standard_deviation']['segment_f1']:.1f} %" in cells(page, 1)[1]


def test_the_page_has_the_recipe(tmp_path: Path) -> None:
    write_run(tmp_path)
    page = Page(write_training_report(tmp_path))
    values = [each.text for each in page.find("dd")]
    assert values[:2] == ["compact", "ab" * 32]
    assert "https://tfhub.dev/google/vggish/1" in values and "cd" * 32 in values
    assert "2.21.0" in values


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    write_run(tmp_path)
    page = Page(write_training_report(tmp_path))
    assert not page.find("b") and not page.find("i") and not page.find("script")
    (row,) = (row for row in page.find("tr") if "It has no" in row.text)
    assert row.text == r"odd\xff\n.mp4It has no <i>pictures</i>."
    assert "</script><b>&" in page.find("svg")[1].text
    assert "</pre><b>" in page.find("pre")[0].text


def test_the_drawings_are_in_the_page(tmp_path: Path) -> None:
    write_run(tmp_path)
    page = Page(write_training_report(tmp_path))
    assert [each.attributes["aria-label"].split()[0] for each in page.find("svg")] == [
        "Loss", "Confusion", "F1,", "Boundary", "Reliability"
    ]  # fmt: skip
    assert "4 epochs; epoch 3 was kept" in page.find("figcaption")[0].text


def test_the_worst_clips_come_first_with_wrong_segments_marked(tmp_path: Path) -> None:
    write_run(tmp_path)
    page = Page(write_training_report(tmp_path))
    (table,) = page.find("table", "clips")
    rows = [
        [cell.text for cell in page.find("td", inside=row)]
        for row in page.find("tr", inside=table)[1:]
    ]
    clips = sorted(outcomes(), key=lambda clip: (clip.right, clip.video))
    assert [row[0] for row in rows] == [clip.video for clip in clips if clip.right < 10]
    assert rows[0][1] == f"{clips[0].right} of 10"
    # Wrong seconds are marked, all of them and no others.
    first = page.find("tr", inside=table)[1]
    wrong = [each.text for each in page.find("span", "wrong", inside=first)]
    names = [LABELS.name(index) for index in clips[0].predicted]
    marked = set()
    for text in wrong:
        span, name = text.split(" s ", 1)
        start, end = map(int, span.split("–"))
        assert set(names[start:end]) == {name}
        marked |= set(range(start, end))
    missed = {s for s in range(10) if clips[0].predicted[s] != clips[0].reference[s]}
    assert missed and missed <= marked


def test_a_run_without_predictions_names_the_command(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "predictions.jsonl").unlink()
    page = Page(write_training_report(tmp_path))
    assert not page.find("table", "clips")
    assert any("has no predictions.jsonl" in each.text for each in page.find("p", "muted"))


@pytest.mark.slow
def test_other_runs_are_compared_with_their_settings(tmp_path: Path) -> None:
    write_run(tmp_path / "ours")
    theirs = write_run(tmp_path / "theirs", seed=5)
    config = tmp_path / "theirs" / "config.yaml"
    config.write_text("model:\n  name: avel\ntraining:\n  seed: 5\n")
    page = Page(write_training_report(tmp_path / "ours", beside=[tmp_path / "theirs"]))
    (row,) = (row for row in page.find("tr") if row.text.startswith("theirs"))
    cells = [cell.text for cell in page.find("td", inside=row)]
    assert "model.name=avel" in row.text and "seed" not in row.text
    assert cells[0] == f"{100 * theirs['segment_accuracy']:.1f} %"
    right = [sum(clip.right for clip in outcomes(seed)) for seed in (0, 5)]
    assert cells[1].startswith(f"{100 * (right[1] - right[0]) / 60:.1f} %")
    # A run of other clips is shown, without a difference, and the page says why.
    path = tmp_path / "theirs" / "predictions.jsonl"
    path.write_text(path.read_text().replace("v0", "w0"))
    page = Page(write_training_report(tmp_path / "ours", beside=[tmp_path / "theirs"]))
    (row,) = (row for row in page.find("tr") if row.text.startswith("theirs"))
    assert "same clips" in row.text
    assert page.find("td", inside=row)[1].text == "–"
    with pytest.raises(ValueError, match="absent is not a finished training run"):
        write_training_report(tmp_path / "ours", beside=[tmp_path / "absent"])


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    write_run(tmp_path)
    first = write_training_report(tmp_path).read_bytes()
    assert write_training_report(tmp_path).read_bytes() == first


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_run(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=rf"Missing: {name}\. Start"):
        write_training_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.json", "{", "not valid JSON"),
        ("metrics.json", "[]", "JSON object"),
        ("metrics.json", '{"segments": 1}', "videos, skipped"),
        ("history.csv", "epoch,loss\n", "one row per epoch"),
        ("history.csv", "epoch,loss\n1,high\n", "cannot be read"),
        ("manifest.json", "{}", "no recipe"),
        ("manifest.json", '{"recipe": {"visual": {}}}', "'visual'"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    write_run(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said) as refused:
        write_training_report(tmp_path)
    assert str(tmp_path / name) in str(refused.value)


def test_metrics_of_other_classes_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    Labels(["Bark"]).save(tmp_path / "labels.txt")
    with pytest.raises(ValueError, match="3 classes.*has 1"):
        write_training_report(tmp_path)
