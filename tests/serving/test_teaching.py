"""Teaching: corrections in, the next model out; review, thresholds and search by example."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import avel_tf
from avel_tf.serving.annotations import Annotation
from avel_tf.serving.review import fit_precision, judgements, review_order
from avel_tf.serving.teaching import held_out, seen_spans, taught_classes
from tests.conftest import FLOAT32
from tests.serving.running import Running, label_all, real_options, running, videos_of


@pytest.fixture
def real(exported: Path, clips: Path, tmp_path: Path) -> Iterator[Running]:
    """A server whose videos have no corrections."""
    with running(real_options(exported, clips, tmp_path / "state")) as server:
        yield server


@pytest.mark.slow
def test_corrections_teach_a_class_that_is_then_found(real: Running, exported: Path) -> None:
    known = label_all(real)
    assert real.wait(train(real))["error"].startswith("No video has corrections yet")
    for video in known[:7]:
        path = f"/api/v1/videos/{video['id']}/annotations"
        body = {"label": "Siren", "start": 1, "end": 3, "author": "me"}
        assert real.client.post(path, json=body).status_code == 201
    job = real.wait(train(real))
    assert job["state"] == "done", job["error"]
    result = job["result"]
    assert (result["model"], result["classes"]) == ("taught/1", ["Siren"])
    assert result["corrections"] == 7 and job["done"] == job["total"] == 2 * 3
    assert result["held_out"]["stretches"] >= 2
    difference = result["difference"]
    assert difference["mean"] == pytest.approx(
        result["next"]["accuracy"] - result["present"]["accuracy"]
    )
    assert difference["low"] <= difference["mean"] <= difference["high"]
    # The present model lacks the class, so at least two of four seconds are wrong.
    assert result["present"]["accuracy"] <= 0.5
    assert not list(real.server.folder.glob("teach-*"))

    models = real.get("/api/v1/models")["models"]
    assert [(each["name"], each["active"]) for each in models] == [
        ("taught/1", False),
        (avel_tf.load(exported).name, True),
    ]
    assert models[0]["labels"][0] == "Siren" and "7 corrections" in models[0]["note"]

    answer = real.client.post("/api/v1/models/active", json={"name": "taught/1"})
    assert answer.status_code == 202, answer.text
    jobs = [real.wait(each) for each in answer.json()["jobs"]]
    # Those with corrections are left as they are.
    assert len(jobs) == len(known) - 7 and {each["state"] for each in jobs} == {"done"}
    info = real.get("/api/v1/info")
    assert info["model"] == "taught/1" and "Siren" in info["labels"]
    again = [video for video in videos_of(real) if not video["corrected"]]
    assert {video["model"] for video in again} == {"taught/1"}
    taught = avel_tf.load(real.server.folder / "models" / "taught" / "1", engine=FLOAT32)
    expected = taught.localize(real.server.data / again[0]["name"])
    answer = real.client.get(f"/api/v1/videos/{again[0]['id']}/results").text
    result = avel_tf.Result.from_json(answer)
    assert [second.label for second in result.seconds] == [
        second.label for second in expected.seconds
    ]
    assert (result.status, result.duration) == (expected.status, expected.duration)

    back = real.client.post("/api/v1/models/active", json={"name": models[1]["name"]})
    assert back.status_code == 202 and real.get("/api/v1/info")["model"] == models[1]["name"]
    assert real.client.post("/api/v1/models/active", json={"name": "taught/9"}).status_code == 404


def train(real: Running) -> str:
    answer = real.client.post("/api/v1/train", json={"epochs": 3})
    assert answer.status_code == 202, answer.text
    return answer.json()["job"]


@pytest.mark.slow
def test_the_active_model_is_used_after_a_restart(
    exported: Path, clips: Path, tmp_path: Path
) -> None:
    import shutil

    options = real_options(exported, clips, tmp_path / "state")
    shutil.copytree(exported, tmp_path / "state" / "models" / "taught" / "1")
    with running(options) as server:
        assert server.get("/api/v1/info")["model"] == avel_tf.load(exported).name
        choice = {"name": "taught/1"}
        assert server.client.post("/api/v1/models/active", json=choice).status_code == 202
    with running(options) as server:
        assert server.get("/api/v1/info")["model"] == "taught/1"


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=5, max_size=40))
def test_the_curve_is_finite_and_rises_to_its_threshold(rows: list) -> None:
    curve = fit_precision(*zip(*rows, strict=True))
    assert curve is not None
    scores = np.linspace(0, 1, 101)
    precision, low, high = curve.at(scores)
    assert ((low <= precision) & (precision <= high) & (low >= 0) & (high <= 1)).all()
    threshold = curve.threshold(0.8)
    if threshold is not None:
        above = curve.at(np.linspace(threshold, 0.999, 50))[0]
        assert (above >= 0.8 - 1e-9).all()


def test_the_curve_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    scores = rng.uniform(0.05, 0.95, 400)
    right = rng.uniform(size=400) < scores
    curve = fit_precision(scores, right)
    odds = np.log(scores / (1 - scores))[:, None]
    # C is the variance of the prior of the slope; scikit-learn does not penalise the intercept.
    expected = LogisticRegression(C=9.0).fit(odds, right)
    found = curve.at(scores)[0]
    np.testing.assert_allclose(found, expected.predict_proba(odds)[:, 1], atol=2e-3)
    assert curve.threshold(0.8) == pytest.approx(0.8, abs=0.1)


def rows(*values: tuple) -> list[Annotation]:
    names = ("id", "label", "start", "end", "score", "status", "predicted")
    return [Annotation(**dict(zip(names, each, strict=True))) for each in values]


ROWS = rows(
    ("e0", "Bark", 0.0, 2.0, 0.9, "accepted", "Bark"),
    ("e1", "Cat", 30.0, 32.0, 0.6, "changed", "Bark"),
    ("e2", "Bark", 40.0, 41.0, 0.7, "rejected", "Bark"),
    ("e3", "Bark", 60.0, 61.0, 0.4, "predicted", "Bark"),
    ("x", "Siren", 34.0, 35.5, None, "added", None),
)


def test_judgements_are_of_what_the_model_gave() -> None:
    assert judgements(ROWS, "Bark") == ([0.9, 0.6, 0.7], [True, False, False])
    assert judgements(ROWS, "Cat") == judgements(ROWS, "Siren") == ([], [])


def test_only_what_a_person_has_seen_is_trained_on() -> None:
    assert taught_classes(ROWS) == ["Bark", "Cat", "Siren"]
    assert seen_spans(ROWS, 43) == [(0, 7), (25, 43)]
    assert seen_spans(ROWS[3:4], 100) == []


def test_random_order_stays_when_events_are_reviewed() -> None:
    queue = [("v", each) for each in ROWS]
    order = [each.id for _, each in review_order(queue, "random")]
    rest = [each.id for _, each in review_order([q for q in queue if q[1].id != "e1"], "random")]
    assert [each for each in order if each != "e1"] == rest
    assert [each.id for _, each in review_order(queue, "uncertain")][0] in ("e1", "e3")


def test_nothing_is_held_out_of_a_few_stretches() -> None:
    from avel_tf.serving.teaching import Stretch

    empty = np.zeros((1, 1), np.float32)
    few = [Stretch(f"v#{n}", "v", (), empty, empty, np.ones(1, bool)) for n in range(5)]
    assert held_out(few) == set()
    many = [Stretch(f"v{n}#0", f"v{n}", (), empty, empty, np.ones(1, bool)) for n in range(9)]
    assert len(held_out(many)) == 3
