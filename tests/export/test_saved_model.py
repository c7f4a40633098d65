"""The exported model: one folder that plain TensorFlow loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avel_tf.embeddings.hub_module import sha256_of_folder
from avel_tf.export import saved_model
from avel_tf.export.saved_model import export_saved_model
from avel_tf.models import ModelSettings, build
from avel_tf.training.run import Run, probabilities_of
from tests.conftest import FRAMES_PER_SECOND

# A process of its own with TensorFlow and numpy, in which everything else fails to import.
PLAIN = """
import sys
import numpy as np
for name in ("avel_tf", "keras", "tensorflow_io", "tensorflow_hub", "cv2", "av", "librosa"):
    sys.modules[name] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
outputs = {}
for name in ("serving_default", "embed"):
    found = model.signatures[name](
        frames=tf.constant(given["frames"]), waveform=tf.constant(given["waveform"]))
    outputs.update({f"{name}/{key}": value.numpy() for key, value in found.items()})
found = model.signatures["from_features"](
    visual=tf.constant(outputs["embed/visual"]), audio=tf.constant(outputs["embed/audio"]))
outputs.update({f"from_features/{key}": value.numpy() for key, value in found.items()})
np.savez(sys.argv[3], **outputs)
"""


def given_clips(batch: int, seconds: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (batch, seconds, FRAMES_PER_SECOND, height, width, 3)
    return {
        "frames": rng.integers(0, 256, shape).astype("uint8"),
        "waveform": rng.uniform(-0.5, 0.5, (batch, seconds * 16_000)).astype("float32"),
    }


@pytest.fixture(scope="module")
def model(exported):
    return tf.saved_model.load(str(exported))


@pytest.mark.slow
def test_plain_tensorflow_gives_the_same_numbers(exported, run_folder, extractor, tmp_path):
    clips = given_clips(2, 3, 160, 160)
    np.savez(tmp_path / "given.npz", **clips)
    paths = [str(exported), str(tmp_path / "given.npz"), str(tmp_path / "found.npz")]
    # Isolated mode (-I): the project's folder is not on the path.
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, *paths], capture_output=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = np.load(tmp_path / "found.npz")

    visual, audio = (each.numpy() for each in extractor(clips["frames"], clips["waveform"]))
    np.testing.assert_allclose(found["embed/visual"], visual, atol=1e-5)
    np.testing.assert_allclose(found["embed/audio"], audio, atol=1e-5)
    run = Run(run_folder)
    assert run.postprocessing.fitted_on == "validation" and run.postprocessing.temperature != 1.0
    predict = probabilities_of(run.model(), run.postprocessing.temperature)
    expected = predict(visual, audio, np.ones((2, 3), bool))
    for signature in ("serving_default", "from_features"):
        probabilities = found[f"{signature}/probabilities"]
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(found[f"{signature}/label_index"], probabilities.argmax(-1))
        np.testing.assert_array_equal(found[f"{signature}/score"], probabilities.max(-1))


@pytest.mark.slow
def test_a_run_and_its_export_treat_zero_segments_as_invalid(model, run_folder):
    rng = np.random.default_rng(0)
    specs = model.signatures["from_features"].structured_input_signature[1]
    visual, audio = (
        rng.random((1, 5, specs[name].shape[-1]), "float32") for name in ("visual", "audio")
    )
    with_sound = audio.copy()
    visual[:, 2], audio[:, 2] = 0.0, 0.0
    run = Run(run_folder)
    predict = probabilities_of(run.model(), run.postprocessing.temperature)
    # In the second pair the second has its sound, and counts.
    for heard in (audio, with_sound):
        found = model.signatures["from_features"](
            visual=tf.constant(visual), audio=tf.constant(heard)
        )
        expected = predict(visual, heard, np.ones((1, 5), bool))
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    there = np.array([[1, 1, 0, 1, 1]], bool)
    found = model.signatures["from_features_with_valid"](
        visual=tf.constant(visual), audio=tf.constant(with_sound), valid=tf.constant(there)
    )
    np.testing.assert_allclose(
        found["probabilities"], predict(visual, with_sound, there), atol=1e-5
    )
    np.testing.assert_allclose(
        predict(visual, audio, there), predict(visual, audio, np.ones((1, 5), bool)), atol=1e-6
    )


def test_names_shapes_and_types_of_the_signatures(model, store):
    """As design and TensorFlow Serving know them."""
    recipe, classes = store.recipe, len(store.labels) + 1
    visual, audio = recipe.visual.width, recipe.audio.width
    frames = ((None, None, FRAMES_PER_SECOND, None, None, 3), tf.uint8)
    waveform = ((None, None), tf.float32)
    labels = {
        "probabilities": ((None, None, classes), tf.float32),
        "label_index": ((None, None), tf.int64),
        "score": ((None, None), tf.float32),
        "valid": ((None, None), tf.bool),
    }
    features = {
        "visual": ((None, None, visual), tf.float32),
        "audio": ((None, None, audio), tf.float32),
    }
    valid = {"valid": ((None, None), tf.bool)}
    expected = {
        "serving_default": ({"frames": frames, "waveform": waveform}, labels),
        "embed": ({"frames": frames, "waveform": waveform}, features | valid),
        "from_features": (features, labels),
    }
    expected |= {
        f"{name}_with_valid": (inputs | valid, outputs)
        for name, (inputs, outputs) in expected.items()
    }
    expected |= {
        "embed_frames": (
            {"frames": ((None, None, None, 3), tf.uint8)},
            {"visual": ((None, visual), tf.float32)},
        ),
        "embed_audio": (
            {"waveform": ((None, 16_000), tf.float32)},
            {"audio": ((None, audio), tf.float32)},
        ),
    }
    assert set(model.signatures) == set(expected)
    for name, (inputs, outputs) in expected.items():
        signature = model.signatures[name]
        _, taken = signature.structured_input_signature
        assert {k: (tuple(v.shape), v.dtype) for k, v in taken.items()} == inputs
        assert set(signature.structured_outputs) == set(outputs)
        for key, (shape, dtype) in outputs.items():
            spec = signature.structured_outputs[key]
            assert spec.dtype == dtype
            assert spec.shape.is_compatible_with(shape) and spec.shape.rank == len(shape)
            assert shape[-1] is None or spec.shape[-1] == shape[-1]


@pytest.mark.parametrize(
    ("batch", "seconds", "height", "width"), [(1, 1, 160, 160), (2, 5, 90, 160), (1, 2, 33, 17)]
)
def test_pictures_of_any_size(model, store, batch, seconds, height, width):
    clips = given_clips(batch, seconds, height, width)
    found = model.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in clips.items()}
    )
    assert found["probabilities"].shape == (batch, seconds, len(store.labels) + 1)
    assert found["label_index"].shape == found["score"].shape == (batch, seconds)
    np.testing.assert_allclose(tf.reduce_sum(found["probabilities"], -1), 1.0, atol=1e-5)


def test_each_weight_is_stored_once(exported, extractor, run_folder):
    weights = [*extractor.visual.module.get_weights(), *extractor.audio.module.get_weights()]
    weights += Run(run_folder).model().get_weights()
    expected = sum(weight.nbytes for weight in weights)
    stored = sum(path.stat().st_size for path in (exported / "variables").iterdir())
    assert expected <= stored < 1.1 * expected + 50_000


def test_what_travels_with_it(exported, run_folder, store):
    assets = exported / "assets"
    assert {path.name for path in assets.iterdir()} == {
        "labels.txt",
        "config.yaml",
        "decoder.json",
        "manifest.json",
    }
    for name in ("labels.txt", "config.yaml", "decoder.json"):
        assert (assets / name).read_bytes() == (run_folder / name).read_bytes()
    manifest = json.loads((assets / "manifest.json").read_text())
    assert manifest["schema"] == 1 and manifest["model"] == "avel"
    assert manifest["labels"] == list(store.labels.names)
    assert manifest["recipe"]["fingerprint"] == store.recipe.fingerprint
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert manifest["metrics"]["segment_accuracy"] == metrics["segment_accuracy"]
    assert manifest["metrics"]["split"] == "test"


def test_the_manifest_knows_the_hash_of_graph_and_weights(exported, tmp_path):
    manifest = json.loads((exported / "assets" / "manifest.json").read_text())
    assert manifest["sha256"] == sha256_of_folder(exported)
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    data = next((copy / "variables").glob("*.data-*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert manifest["sha256"] != sha256_of_folder(copy)


def test_the_assets_are_known_to_the_graph(model):
    """TensorFlow copies an asset when a model is saved again; others would be lost."""
    names = {Path(each.asset_path.numpy().decode()).name for each in model.asset_files}
    assert names == {"labels.txt", "config.yaml", "decoder.json", "manifest.json"}


def test_the_warm_up_request_is_one_that_the_model_takes(exported, model):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    (raw,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    request = prediction_log_pb2.PredictionLog.FromString(raw).predict_log.request
    assert request.model_spec.name == "tiny"
    assert request.model_spec.signature_name == "serving_default"
    inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    assert inputs["frames"].shape == (1, 1, FRAMES_PER_SECOND, 160, 160, 3)
    assert inputs["frames"].dtype == np.uint8
    assert inputs["waveform"].shape == (1, 16_000) and inputs["waveform"].dtype == np.float32
    found = model.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in inputs.items()}
    )
    assert found["label_index"].shape == (1, 1)


def test_without_the_extra_serving_the_user_is_warned(tmp_path, monkeypatch, caplog):
    from avel_tf.export.warmup import write_warmup_request

    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    write_warmup_request(tmp_path, name="tiny", recipe=None)
    assert "avel-tf[serving]" in caplog.text and not list(tmp_path.iterdir())


def test_the_first_version_is_one(exported):
    assert exported.name == "1"
    assert [path.name for path in exported.parent.iterdir()] == ["1"]


@pytest.mark.slow
def test_versions_count_up_and_a_failed_one_leaves_nothing(
    run_folder, extractor, tmp_path, monkeypatch
):
    run = Run(run_folder)
    head = build(
        ModelSettings("audio_only", width=8, heads=2),
        visual_width=extractor.recipe.visual.width,
        audio_width=extractor.recipe.audio.width,
        classes=len(run.labels),
    )
    present = {"1", "9", "10", "notes", ".11.x.partial"}
    for name in present:
        (tmp_path / name).mkdir()

    def export() -> Path:
        return export_saved_model(
            head, extractor, tmp_path, labels=run.labels, config_yaml=run.config_yaml
        )

    def fail(folder: Path, **_: object) -> None:
        assert (folder / "saved_model.pb").is_file()
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saved_model, "write_warmup_request", fail)
        with pytest.raises(OSError, match="no space"):
            export()
    assert {path.name for path in tmp_path.iterdir()} == present
    target = export()
    assert target == tmp_path / "11"
    assert json.loads((target / "assets" / "manifest.json").read_text())["metrics"] is None
    assert target.stat().st_mode & 0o777 == 0o755
