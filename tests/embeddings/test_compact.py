"""The compact backbones through `load_visual` and `load_audio`."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tensorflow as tf

from avel_tf.embeddings import (
    AudioEmbedding,
    VisualEmbedding,
    VisualSettings,
    built_in_weights,
    load_audio,
    load_visual,
)
from avel_tf.synthesis.dataset import SynthesisSettings, make_plan, make_scene

RATE = 16_000
# The hashes that features and models made with these backbones carry. A change here makes every
# feature store and every export of a user incompatible: raise it with intent or not at all.
VISUAL_SHA256 = "b3a1e46d3e98648d70fbfe7befb4b9c795c15118d895bf8b89594ca909945858"
AUDIO_SHA256 = "c61995a03e1ce5d018bec903673ee7534d22e62e3acdecd42ccfc5a2f1ce1d86"


@pytest.fixture(scope="module")
def visual() -> VisualEmbedding:
    return load_visual("compact")


@pytest.fixture(scope="module")
def audio() -> AudioEmbedding:
    return load_audio("compact")


def pictures(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours, uint8 [count, height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 6, 8, 3), np.uint8)
    return np.stack(
        [cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in coarse]
    )


def sound(seconds: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, seconds * RATE).astype("float32")


@pytest.mark.parametrize("size", [(160, 160), (90, 160), (360, 40), (1, 1)])
def test_pictures_of_any_size_become_vectors(visual, size):
    vectors = visual(pictures(3, *size)).numpy()
    assert vectors.shape == (3, visual.width) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_mean_and_maximum_of_a_map_are_the_vector(visual):
    """So whoever has maps has lost nothing, and the weights are the same."""
    maps = load_visual(VisualSettings(module="compact", maps=True))
    assert (maps.width, maps.places, maps.sha256) == (25 * 384, 25, visual.sha256)
    given = pictures(4, 90, 160)
    found = maps(given).numpy().reshape(4, 25, 384)
    np.testing.assert_allclose(
        np.concatenate([found.mean(axis=1), found.max(axis=1)], axis=-1),
        visual(given),
        atol=1e-5,
    )


def test_the_places_of_a_map_go_row_by_row(visual):
    """What changes in the upper right corner is seen in the upper right corner."""
    maps = load_visual(VisualSettings(module="compact", maps=True))
    plain = np.full((1, 160, 160, 3), 90, np.uint8)
    marked = plain.copy()
    marked[:, :20, 140:] = (250, 20, 20)
    moved = np.abs(maps(marked).numpy() - maps(plain).numpy()).reshape(5, 5, 384).sum(-1)
    assert np.unravel_index(moved.argmax(), moved.shape) == (0, 4)


def test_the_module_sees_the_whole_picture_at_its_own_size(visual):
    """What the embedding resizes itself equals what OpenCV's area filter would hand it."""
    large = pictures(2, 640, 320)
    small = np.stack([cv2.resize(p, (160, 160), interpolation=cv2.INTER_AREA) for p in large])
    np.testing.assert_allclose(visual(large), visual(small), atol=0.02)
    # It would not, were the picture cropped or squeezed the other way round.
    cropped = visual(np.ascontiguousarray(large[:, :320]))
    assert np.abs(visual(large).numpy() - cropped.numpy()).max() > 0.05


def test_fine_patterns_are_averaged_and_not_skipped(visual):
    """Every pixel counts when a large picture is made small, as it does in the decoder."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 640, 640, 3), np.uint8)
    averaged = cv2.resize(noise[0], (160, 160), interpolation=cv2.INTER_AREA)[None]
    skipped = np.ascontiguousarray(noise[:, 2::4, 2::4])
    ours, right, wrong = (visual(each).numpy() for each in (noise, averaged, skipped))
    assert np.linalg.norm(ours - right) < 0.3 * np.linalg.norm(wrong - right)


def test_a_picture_does_not_depend_on_its_neighbours(visual):
    batch = pictures(5, 160, 160)
    alone = np.concatenate([visual(batch[i : i + 1]) for i in range(5)])
    # Rows round differently by their place in a batch on some processors.
    np.testing.assert_allclose(visual(batch), alone, rtol=1e-4, atol=1e-5)
    assert len({tuple(row) for row in alone.round(3)}) == 5


def test_colour_order_matters(visual):
    batch = pictures(1, 160, 160)
    swapped = np.ascontiguousarray(batch[..., ::-1])
    assert np.abs(visual(batch).numpy() - visual(swapped).numpy()).max() > 1e-2


def test_sound_becomes_a_vector_per_second(audio):
    vectors = audio(sound(7)).numpy()
    assert vectors.shape == (7, audio.width) and vectors.dtype == np.float32


@pytest.mark.parametrize("loudness", [0.0, 1e-6, 1.0])
def test_any_loudness_stays_finite(audio, loudness):
    assert np.isfinite(audio(sound(1) * loudness)).all()


def test_a_second_does_not_hear_its_neighbours(audio):
    """The last windows of a second end at its border; a loud second beside it changes nothing."""
    quiet = sound(3) * 1e-3
    loud = quiet.copy()
    loud[:RATE] = 1.0
    loud[2 * RATE :] = -1.0
    np.testing.assert_allclose(audio(loud)[1], audio(quiet)[1], atol=1e-5)
    assert np.abs(audio(loud).numpy()[0] - audio(quiet).numpy()[0]).max() > 0.1


def test_pitch_is_told_apart(audio):
    time = np.arange(RATE) / RATE
    low, same, high = (
        audio(np.sin(2 * np.pi * hertz * time).astype("float32")).numpy()[0]
        for hertz in (300.0, 300.5, 3000.0)
    )
    assert np.linalg.norm(low - high) > 5 * np.linalg.norm(low - same)


def test_weights_are_the_same_on_every_machine(visual, audio):
    assert visual.sha256 == VISUAL_SHA256
    assert audio.sha256 == AUDIO_SHA256


def test_the_seed_of_the_process_plays_no_part():
    tf.random.set_seed(99)
    np.random.seed(99)
    assert load_visual("compact").sha256 == VISUAL_SHA256
    assert load_audio("compact").sha256 == AUDIO_SHA256


def test_the_weights_are_small_enough_to_ship(visual, audio):
    """Issue: at most 4 and 3 million parameters, at most 12 MB together."""
    assert visual.module.count_params() <= 4_000_000 and audio.module.count_params() <= 3_000_000
    files = [built_in_weights.FOLDER / f"{modality}.npz" for modality in ("visual", "audio")]
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert (built_in_weights.FOLDER / "model_card.md").is_file()


@pytest.mark.slow
def test_what_was_learned_is_used(visual):
    """Pictures of one synthetic class lie closer together than those of different classes.

    The same network without its training has them in any order.
    """
    settings = SynthesisSettings(frame_rate=1.0, object_height=(0.4, 0.6))
    vectors, names = [], []
    for index in range(30):
        plan = make_plan(index, settings, seed=5)
        stage = make_scene(plan, index, settings, seed=5)
        second = next((s for s, name in enumerate(plan.visible) if name), None)
        if second is not None:
            picture = list(stage.frames())[second]
            vectors.append(visual(picture[None]).numpy()[0])
            names.append(plan.visible[second])
    vectors = np.stack(vectors) - np.mean(vectors, axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    same = np.equal.outer(names, names)
    np.fill_diagonal(cosine, np.nan)
    assert np.nanmean(cosine[same]) > np.nanmean(cosine[~same]) + 0.3


def test_the_compact_backbone_has_one_size():
    from avel_tf.embeddings import VisualSettings

    assert load_visual(VisualSettings(module="compact", size=160)).size == 160
    with pytest.raises(ValueError, match="160 x 160.*size=224"):
        load_visual(VisualSettings(module="compact", size=224))


@pytest.mark.parametrize("frames_per_second", [0, -1, 61])
def test_frames_per_second_has_limits(frames_per_second):
    from avel_tf.embeddings import VisualSettings

    with pytest.raises(ValueError, match=f"at most 60. Received: {frames_per_second}"):
        VisualSettings(frames_per_second=frames_per_second)


def test_the_activation_has_two_names():
    from avel_tf.embeddings import AudioSettings

    with pytest.raises(ValueError, match="relu, none or null. Received: 'tanh'"):
        AudioSettings(activation="tanh")
    assert AudioSettings().resolved_activation == "relu"
    assert AudioSettings(module="compact").resolved_activation == "none"
    assert AudioSettings(activation="none").resolved_activation == "none"
