"""TF-Hub modules, wherever they lie, and the sentences for what is no module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avel_tf.embeddings import (
    AudioSettings,
    ModuleUnavailableError,
    VisualSettings,
    hub_module,
    load_audio,
    load_visual,
)
from avel_tf.embeddings.settings import RESNET_V2_152, VGGISH
from tests.embeddings import hub_modules

RATE = 16_000
KAGGLE_VGGISH = "https://www.kaggle.com/models/google/vggish/TensorFlow2/vggish/1"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty module cache, and no network behind it."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_module, "_download", hub_modules.no_network)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def vggish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module with VGGish's signature."""
    return hub_modules.save_audio(tmp_path_factory.mktemp("modules") / "vggish")


def sound(seconds: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.5, 0.5, seconds * RATE).astype("float32")


# Where modules lie


def test_the_default_modules_come_from_the_cache(cache):
    hub_modules.save_visual(hub_modules.cache_place(cache, RESNET_V2_152))
    hub_modules.save_audio(hub_modules.cache_place(cache, VGGISH))
    visual = load_visual(VisualSettings())
    audio = load_audio(AudioSettings())
    assert (visual.module_name, visual.width, visual.size) == (RESNET_V2_152, 2048, 224)
    assert (audio.module_name, audio.width, audio.activation) == (VGGISH, 128, "relu")
    assert visual(np.zeros((2, 90, 160, 3), np.uint8)).shape == (2, 2048)
    assert audio(sound(3)).shape == (3, 128)


def test_what_lies_under_the_kaggle_name_serves_the_old_name(cache):
    hub_modules.save_audio(hub_modules.cache_place(cache, KAGGLE_VGGISH))
    assert load_audio(VGGISH).module_name == VGGISH


def test_a_path_works_and_weighs_the_same_as_a_handle(cache, vggish):
    by_path = load_audio(str(vggish))
    place = hub_modules.cache_place(cache, VGGISH)
    place.parent.mkdir()
    place.symlink_to(vggish)
    by_handle = load_audio(VGGISH)
    assert by_path.sha256 == by_handle.sha256
    assert by_path.module is by_handle.module  # one copy of the weights in memory


def test_other_weights_have_another_hash(tmp_path):
    one = hub_modules.save_audio(tmp_path / "one", seed=1)
    other = hub_modules.save_audio(tmp_path / "other", seed=2)
    assert load_audio(str(one)).sha256 != load_audio(str(other)).sha256


def test_downloads_are_tried_by_handle_and_then_by_kaggle_name(cache, vggish, monkeypatch):
    asked = []

    def download(handle: str) -> Path:
        asked.append(handle)
        if handle == KAGGLE_VGGISH:
            return vggish
        raise OSError("HTTP Error 403: Forbidden")

    monkeypatch.setattr(hub_module, "_download", download)
    assert load_audio(VGGISH).width == 128
    assert asked == [VGGISH, KAGGLE_VGGISH]


def test_kaggle_handles_of_either_spelling_reach_kagglehub(monkeypatch, vggish):
    import kagglehub

    asked = []
    monkeypatch.setattr(kagglehub, "model_download", lambda name: asked.append(name) or str(vggish))
    for handle in (
        KAGGLE_VGGISH,
        "https://kaggle.com/models/google/vggish/frameworks/TensorFlow2/variations/vggish/versions/1",
    ):
        assert hub_module._download(handle) == vggish
    assert asked == ["google/vggish/TensorFlow2/vggish/1"] * 2


def test_a_refusal_by_kagglehub_is_one_of_the_places_tried(tmp_path, monkeypatch):
    """Its errors descend from plain Exception."""
    import kagglehub
    from kagglehub.exceptions import UnauthenticatedError

    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))

    def refuse(name: str) -> str:
        raise UnauthenticatedError("User is not authenticated")

    monkeypatch.setattr(kagglehub, "model_download", refuse)
    with pytest.raises(ModuleUnavailableError, match="User is not authenticated"):
        load_audio(KAGGLE_VGGISH)


@pytest.mark.parametrize(("load", "handle"), [(load_visual, RESNET_V2_152), (load_audio, VGGISH)])
def test_a_missing_module_says_what_was_tried_and_what_to_do(cache, load, handle):
    with pytest.raises(ModuleUnavailableError) as refused:
        load(handle)
    sentence = str(refused.value)
    assert handle in sentence
    assert str(hub_modules.cache_place(cache, handle)) in sentence
    assert "TFHUB_CACHE_DIR" in sentence and "pipelines/compact.yaml" in sentence
    assert sentence.count("Temporary failure") == 2  # the handle and its counterpart
    assert (Path(__file__).parents[2] / "pipelines" / "compact.yaml").is_file()


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(ModuleUnavailableError, match=r"no/where'.*saved_model.pb.*compact"):
        load_visual("no/where")
    with pytest.raises(ModuleUnavailableError, match="saved_model.pb"):
        load_audio(str(tmp_path))


# What is no module


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_damaged_graph(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModuleUnavailableError, match=f"{tmp_path.name} has no SavedModel"):
        load_visual(str(tmp_path))


@pytest.mark.parametrize("missing", ["variables.index", "variables.data-00000-of-00001"])
def test_lost_weights(tmp_path, missing):
    folder = hub_modules.save_audio(tmp_path / "module")
    (folder / "variables" / missing).unlink()
    with pytest.raises(ModuleUnavailableError, match="has no SavedModel that TensorFlow can"):
        load_audio(str(folder))


def test_weights_that_were_cut_off(tmp_path):
    folder = hub_modules.save_audio(tmp_path / "module")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(ModuleUnavailableError, match="has no SavedModel that TensorFlow can"):
        load_audio(str(folder))


def test_a_saved_model_that_cannot_be_called(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "mute"))
    with pytest.raises(ModuleUnavailableError, match="cannot be called. Expected a TF2 module"):
        load_visual(str(tmp_path / "mute"))


def flat(pictures: tf.Tensor) -> tf.Tensor:
    return tf.reshape(pictures, [-1, 224 * 224 * 3])[:, :8]


VISUAL_REFUSALS = {
    "rank": (lambda x: x, r"\[B, 224, 224, 3\].*shape=\(2, 224, 224, 3\)"),
    "one vector for all": (lambda x: tf.reduce_mean(x, [0, 1]), r"shape=\(224, 3\)"),
    "integers": (lambda x: tf.cast(flat(x), tf.int32), "dtype=int32"),
    "several": (lambda x: {"default": flat(x)}, "returned a"),
    "NaN": (lambda x: flat(x) / 0.0, "NaN or infinity"),
    "blind": (lambda x: flat(x) * 0.0, "ignores its input"),
}


@pytest.mark.parametrize("name", VISUAL_REFUSALS)
def test_a_visual_module_that_breaks_the_contract(tmp_path, name):
    function, sentence = VISUAL_REFUSALS[name]
    folder = hub_modules.save(tmp_path / "module", function, [None, 224, 224, 3])
    with pytest.raises(ValueError, match=sentence) as refused:
        load_visual(str(folder))
    assert str(folder) in str(refused.value)


AUDIO_REFUSALS = {
    "rank": (lambda x: x, r"float32 \[frames, D\].*returned: float32 \(16000,\)"),
    "integers": (lambda x: tf.ones([1, 4], tf.int32), r"returned: int32 \(1, 4\)"),
    "no frame": (lambda x: tf.signal.frame(x, 32_000, 32_000)[:, :8], r"returned: float32 \(0, 8"),
    "NaN": (lambda x: tf.reshape(x, [1, -1]) / 0.0, "NaN or infinity"),
    "deaf": (lambda x: tf.ones([1, 4]), "ignores its input"),
}


@pytest.mark.parametrize("name", AUDIO_REFUSALS)
def test_an_audio_module_that_breaks_the_contract(tmp_path, name):
    function, sentence = AUDIO_REFUSALS[name]
    folder = hub_modules.save(tmp_path / "module", function, [None])
    with pytest.raises(ValueError, match=sentence) as refused:
        load_audio(str(folder))
    assert str(folder) in str(refused.value)


def test_an_audio_module_in_the_place_of_a_visual_one(vggish, tmp_path):
    with pytest.raises(ValueError, match="could not be called on images. Expected a TF-Hub imag"):
        load_visual(str(vggish))
    looks = hub_modules.save_visual(tmp_path / "module", width=8)
    with pytest.raises(ValueError, match="could not be called on one second of audio. Expected"):
        load_audio(str(looks))


# The recipe


def test_a_size_fixed_by_the_signature_cannot_be_changed(tmp_path):
    folder = str(hub_modules.save_visual(tmp_path / "module", width=8, size=96))
    assert load_visual(folder).size == 96
    with pytest.raises(ValueError, match="takes 96 x 96 pixels.*size=128"):
        load_visual(VisualSettings(module=folder, size=128))


def test_a_size_that_the_signature_leaves_open_can_be_set(tmp_path):
    folder = str(hub_modules.save_visual(tmp_path / "module", width=8, size=None))
    assert load_visual(folder).size == 224
    assert load_visual(VisualSettings(module=folder, size=96)).size == 96


def test_pictures_reach_a_module_between_zero_and_one(tmp_path):
    folder = hub_modules.save(
        tmp_path / "module", lambda x: tf.reduce_max(x, axis=[1, 2]), [None, 64, 64, 3]
    )
    embed = load_visual(str(folder))
    assert embed(np.full((1, 64, 64, 3), 255, np.uint8)).numpy().tolist() == [[1.0, 1.0, 1.0]]
    assert embed(np.full((1, 9, 7, 3), 51, np.uint8)).numpy() == pytest.approx(0.2)


def test_each_second_goes_through_the_module_alone(vggish):
    """Run over the whole waveform, VGGish's 0.96 s hop would drift away from the seconds."""
    waveform = sound(4)
    waveform[RATE : 2 * RATE] *= 0.1
    together = load_audio(str(vggish))(waveform).numpy()
    raw = tf.saved_model.load(str(vggish))
    for second in range(4):
        one = np.maximum(raw(waveform[second * RATE : (second + 1) * RATE]).numpy(), 0.0)
        assert one.shape == (1, 128)
        np.testing.assert_allclose(together[second], one[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", [None, "relu", "none"])
def test_the_relu_comes_before_the_mean(tmp_path, activation):
    """With several frames in a second the two orders differ wherever signs change."""
    folder = str(
        hub_modules.save(
            tmp_path / "module", lambda x: 9 * tf.reshape(x, [4, 4000])[:, :32], [None]
        )
    )
    embed = load_audio(AudioSettings(module=folder, activation=activation))
    frames = 9 * sound(2).reshape(2, 4, 4000)[:, :, :32]  # [2, frames, 32]
    expected = frames.mean(1) if activation == "none" else np.maximum(frames, 0.0).mean(1)
    assert np.abs(expected - np.maximum(frames.mean(1), 0.0)).max() > 0.5
    np.testing.assert_allclose(embed(sound(2)), expected, rtol=1e-5, atol=1e-6)


def save_several(folder: Path) -> str:
    """Like YAMNet: scores [frames, 5], embeddings [frames, 12], spectrogram [96, 8]."""
    weights = hub_modules.mixture(3, 12, seed=4)

    def hear(waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        facts = hub_modules.hear(waveform)
        return tf.nn.softmax(facts @ weights[:, :5]), facts @ weights, tf.zeros([96, 8])

    return str(hub_modules.save(folder, hear, [None], weights))


def test_the_widest_of_several_outputs_is_the_embedding(tmp_path):
    folder = save_several(tmp_path / "module")
    embed = load_audio(folder)
    raw = tf.saved_model.load(folder)
    assert embed.width == 12
    expected = np.maximum(raw(sound(1))[1].numpy(), 0.0).mean(axis=0)
    np.testing.assert_allclose(embed(sound(1))[0], expected, rtol=1e-5)
    assert load_audio(AudioSettings(module=folder, output=0)).width == 5


def test_an_output_that_does_not_exist(tmp_path):
    folder = save_several(tmp_path / "module")
    with pytest.raises(ValueError, match=r"output=7, but the outputs .* \(1, 5\), .* \(1, 12\)"):
        load_audio(AudioSettings(module=folder, output=7))


def test_a_single_output_may_come_wrapped(tmp_path):
    weights = hub_modules.mixture(3, 6, seed=5)
    folder = hub_modules.save(
        tmp_path / "module",
        lambda sound: {"embedding": hub_modules.hear(sound) @ weights},
        [None],
        weights,
    )
    assert load_audio(str(folder))(sound(2)).shape == (2, 6)


@pytest.mark.slow
@pytest.mark.parametrize("depthwise", [False, True])
def test_each_second_is_heard_as_if_it_were_alone(tmp_path, depthwise):
    """Also by a module of which TensorFlow cannot make one that takes many seconds at once."""

    def listen(sound: tf.Tensor) -> tf.Tensor:
        frames = hub_modules.hear(sound)  # [frames, 3]
        if depthwise:
            picture = frames[:, None, None]  # [frames, 1, 1, 3]
            filters = tf.reshape(tf.constant([1.0, -2.0, 3.0]), [1, 1, 3, 1])
            frames = tf.nn.depthwise_conv2d(picture, filters, [1, 1, 1, 1], "SAME")[:, 0, 0]
        return frames

    module = hub_modules.save(tmp_path / "module", listen, [None])
    audio = load_audio(AudioSettings(str(module), activation="none"))
    seconds = np.random.default_rng(0).normal(size=(5, 16_000)).astype("float32")
    loaded = tf.saved_model.load(str(module))
    alone = [loaded(tf.constant(second)).numpy().mean(0) for second in seconds]
    np.testing.assert_allclose(audio(seconds.reshape(-1)), alone, atol=1e-5)
