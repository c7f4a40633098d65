"""Protocols of other programs: TensorFlow Serving, KServe v2, Label Studio."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import avel_tf
from avel_tf.datasets.load import load_dataset
from tests.conftest import FRAMES_PER_SECOND
from tests.serving.running import Running

CONFIG = """<View><Labels name="kind" toName="sound"><Label value="Bark"/></Labels>
<Audio name="sound" value="$film"/><Video name="video" value="$film" sync="sound"/></View>"""


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (2, 3, FRAMES_PER_SECOND, 128, 128, 3)
    return {
        "frames": rng.integers(0, 256, shape).astype("uint8"),
        "waveform": rng.uniform(-0.5, 0.5, (2, 3 * 16_000)).astype("float32"),
    }


@pytest.fixture(scope="module")
def features(given: dict, exported: Path) -> dict[str, np.ndarray]:
    found = signature(exported, "embed")(**tensors(given))
    return {name: found[name].numpy() for name in ("visual", "audio")}


@functools.cache
def signatures(exported: Path):
    return tf.saved_model.load(str(exported)).signatures


def signature(exported: Path, name: str):
    return signatures(exported)[name]


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in arrays.items()}


def lists(arrays: dict[str, np.ndarray]) -> dict[str, list]:
    return {name: array.tolist() for name, array in arrays.items()}


def test_tensorflow_serving_columns(real: Running, features: dict, exported: Path) -> None:
    body = {"signature_name": "from_features", "inputs": lists(features)}
    answer = real.client.post("/v1/models/tiny:predict", json=body)
    assert answer.status_code == 200, answer.text
    outputs = answer.json()["outputs"]
    expected = signature(exported, "from_features")(**tensors(features))
    assert outputs.keys() == {"probabilities", "label_index", "score", "valid"}
    for name, values in outputs.items():
        np.testing.assert_allclose(values, expected[name].numpy(), atol=1e-5)
    versioned = real.client.post("/v1/models/tiny/versions/1:predict", json=body)
    assert versioned.json() == answer.json()


def test_tensorflow_serving_rows_of_clips(real: Running, given: dict, exported: Path) -> None:
    rows = [lists({name: array[n] for name, array in given.items()}) for n in range(2)]
    answer = real.client.post("/v1/models/tiny:predict", json={"instances": rows})
    assert answer.status_code == 200, answer.text
    expected = signature(exported, "serving_default")(**tensors(given))
    for n, row in enumerate(answer.json()["predictions"]):
        wanted = expected["probabilities"].numpy()[n]
        np.testing.assert_allclose(row["probabilities"], wanted, atol=1e-3)


def test_tensorflow_serving_says_what_it_has(real: Running) -> None:
    assert real.get("/v1/models/tiny")["model_version_status"][0]["state"] == "AVAILABLE"
    found = real.get("/v1/models/tiny/metadata")["metadata"]["signature_def"]["signature_def"]
    frames = found["serving_default"]["inputs"]["frames"]
    sizes = [each["size"] for each in frames["tensor_shape"]["dim"]]
    assert frames["dtype"] == "DT_UINT8"
    assert sizes == ["-1", "-1", str(FRAMES_PER_SECOND), "-1", "-1", "3"]
    assert "has 'tiny'" in real.get("/v1/models/other", 404)["error"]["message"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "either 'instances'"),
        ({"instances": []}, "is empty"),
        ({"inputs": {}}, "Received: none"),
        ({"inputs": {"frames": [1]}}, "Received: 'frames'"),
        ({"inputs": {"visual": [[1]], "audio": [[1]]}}, "must have the shape [B, T, 768]"),
        ({"inputs": {"visual": [[1], [1, 2]], "audio": [[1]]}}, "not a float32 array"),
        ({"inputs": {"frames": [[[300]]], "waveform": [[0]]}}, "from 0 to 255"),
        ({"instances": [{"visual": 1}, {"audio": 1}]}, "must have the same inputs"),
    ],
)
def test_wrong_predictions_get_a_sentence(real: Running, body: dict, sentence: str) -> None:
    answer = real.client.post("/v1/models/tiny:predict", json=body)
    assert answer.status_code == 400 and sentence in answer.json()["error"]["message"]


def test_kserve_by_its_own_client(
    real: Running, features: dict, given: dict, exported: Path
) -> None:
    client_of = pytest.importorskip("tritonclient.http")
    from tritonclient.utils import InferenceServerException

    client = client_of.InferenceServerClient(real.url.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny")
    assert client.get_server_metadata()["name"] == "avel-tf"
    metadata = client.get_model_metadata("tiny")
    assert {each["name"] for each in metadata["inputs"]} == {
        *("frames", "waveform", "visual", "audio", "valid")
    }
    types = {"uint8": "UINT8", "float32": "FP32", "bool": "BOOL"}

    def infer(arrays: dict, binary: bool, **options):
        inputs = []
        for name, array in arrays.items():
            each = client_of.InferInput(name, array.shape, types[array.dtype.name])
            each.set_data_from_numpy(array, binary_data=binary)
            inputs.append(each)
        return client.infer("tiny", inputs, **options)

    valid = np.ones((2, 3), bool)
    valid[1, 2] = False
    features = {**features, "valid": valid}
    expected = signature(exported, "from_features_with_valid")(**tensors(features))
    for binary in (True, False):
        answer = infer(features, binary)
        for name in ("probabilities", "label_index", "score", "valid"):
            found = answer.as_numpy(name)
            assert found.dtype == expected[name].numpy().dtype
            np.testing.assert_allclose(found, expected[name].numpy(), atol=1e-5)
    one = client_of.InferRequestedOutput("score", binary_data=False)
    answer = infer(given, True, outputs=[one], request_id="7", model_version="1")
    assert answer.get_response()["id"] == "7" and answer.as_numpy("probabilities") is None
    assert answer.as_numpy("score").shape == (2, 3)
    with pytest.raises(InferenceServerException):
        infer({"visual": features["visual"]}, True)
    with pytest.raises(InferenceServerException):
        client.infer("other", [])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"no json"),
        ({}, b"{}"),
        ({}, b'{"inputs": [{"name": "visual"}]}'),
        ({}, b'{"inputs": [{"name": "v", "datatype": "X", "shape": [1], "data": [1]}]}'),
        ({}, b'{"inputs": [{"name": "v", "datatype": "FP32", "shape": [-1], "data": [1]}]}'),
        ({"Inference-Header-Content-Length": "999"}, b"{}"),
        ({"Inference-Header-Content-Length": "x"}, b"{}"),
        ({"Inference-Header-Content-Length": "2"}, b"{}rest"),
    ],
)
def test_damaged_kserve_requests(real: Running, headers: dict, body: bytes) -> None:
    answer = real.client.post("/v2/models/tiny/infer", content=body, headers=headers)
    assert answer.status_code == 400
    assert "does not follow the protocol" in answer.json()["error"]["message"]


def test_label_studio_predictions(real: Running, clips: Path, localizer: avel_tf.Localizer) -> None:
    assert real.get("/health")["status"] == "UP"
    body = {"project": "1.1700000", "schema": CONFIG, "hostname": "http://ls", "access_token": "x"}
    version = real.client.post("/setup", json=body).json()["model_version"]
    assert version == localizer.name
    name = real.get("/api/v1/folder")["files"][0]["path"]
    expected = localizer.localize(clips / name)
    for value in (name, f"/data/local-files/?d={name}"):
        body = {
            "tasks": [{"id": 1, "data": {"film": value}}],
            "project": "1.1700000",
            "label_config": CONFIG,
            "model_version": version,
            "params": {"login": None, "password": None, "context": None},
        }
        answer = real.client.post("/predict", json=body)
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["results"]
        assert result["model_version"] == version
        assert [each["value"] for each in result["result"]] == [
            {"start": each.start, "end": each.end, "labels": [each.label]}
            for each in expected.events
        ]
        assert {(r["from_name"], r["to_name"], r["type"]) for r in result["result"]} <= {
            ("kind", "sound", "labels")
        }


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("http://169.254.169.254/x.mp4", 422),
        ("../secret.mp4", 403),
        ("/etc/passwd", 404),
        ("/data/local-files/?d=../../x", 403),
        ("/data/local-files/", 404),
        (7, 422),
    ],
)
def test_label_studio_reads_only_the_folder(real: Running, value: object, status: int) -> None:
    body = {"tasks": [{"id": 1, "data": {"video": value}}]}
    assert real.client.post("/predict", json=body).status_code == status


def test_label_studio_annotations_become_corrections(real: Running, clips: Path) -> None:
    name = real.get("/api/v1/folder")["files"][-1]["path"]
    region = {
        "from_name": "label",
        "to_name": "audio",
        "type": "labels",
        "value": {"start": 0.5, "end": 2.0, "labels": ["Doorbell"]},
    }
    body = {
        "action": "ANNOTATION_CREATED",
        "project": {"id": 1, "label_config": CONFIG},
        "task": {"id": 1, "data": {"film": name}},
        "annotation": {"id": 3, "completed_by": 5, "result": [region]},
    }
    answer = real.client.post("/webhook", json=body)
    assert (answer.status_code, answer.json()["kept"]) == (201, 1)
    file = real.server.folder / "annotations.csv"

    def row_of_the_video() -> dict[str, str]:
        """Other tests correct other videos."""
        (row,) = (row for row in csv.DictReader(file.open()) if row["video"].endswith(name))
        return row

    row = row_of_the_video()
    assert (row["label"], row["start"], row["end"]) == ("Doorbell", "0.5", "2.0")
    assert (row["author"], row["status"]) == ("5", "added")
    # The file is one that avel train reads.
    path = (clips / name).resolve()
    (video,) = (each for each in load_dataset(file).videos if each.path.resolve() == path)
    assert [(each.label, each.start) for each in video.annotations] == [("Doorbell", 0.5)]
    body["action"], body["annotation"] = "ANNOTATION_UPDATED", {"id": 3, "result": []}
    assert real.client.post("/webhook", json=body).json()["kept"] == 0
    row = row_of_the_video()
    assert (row["label"], row["status"]) == ("", "background")
    video = next(v for v in real.get("/api/v1/videos")["videos"] if v["name"] == name)
    assert real.wait(video["job"])["state"] == "done"
    assert real.client.post("/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 200
    assert real.client.post("/webhook", json={"action": "START_TRAINING"}).status_code == 201
