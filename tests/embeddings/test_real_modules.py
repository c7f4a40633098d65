"""Real weights on real clips, where they lie beside the project."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from avel_tf.embeddings import load_audio, load_visual
from avel_tf.video.decode import decode_clip

DOG_CLASSES = {"Animal", "Domestic animals, pets", "Dog", "Bark", "Yip", "Canidae, dogs, wolves"}


def needed(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path


@pytest.mark.slow
def test_yamnet_hears_the_dog(shared, caplog):
    folder = needed(shared / "backbones" / "yamnet")
    audio = load_audio(str(folder))
    assert audio.width == 1024  # the embeddings, not the 521 scores or the 64 bands
    # Whether seconds can be taken together is found out by trying; that is nobody's error.
    assert not any("pfor" in message for message in caplog.messages)
    dog = decode_clip(needed(shared / "clips" / "avsync" / "dog_barking.mp4"), size=(32, 32))
    features = audio(dog.waveform).numpy()
    assert features.shape == (dog.seconds, 1024)
    assert np.isfinite(features).all() and (features >= 0).all() and features.std() > 0.01

    with open(shared / "backbones" / "yamnet_class_map.csv", newline="") as table:
        names = [row["display_name"] for row in csv.DictReader(table)]
    scores = np.mean([audio.module.scores(s).numpy().mean(0) for s in seconds(dog)], axis=0)
    best = [names[index] for index in np.argsort(-scores)[:3]]
    assert "Dog" in best and set(best) <= DOG_CLASSES

    # The nearest clip by embedding is another dog's, not a cello's.
    cello = decode_clip(shared / "clips" / "avsync" / "playing_cello.mp4", size=(32, 32))
    other = decode_clip(sorted((shared / "clips" / "vas" / "dog").glob("*.mp4"))[0], size=(32, 32))
    mean = [audio(clip.waveform).numpy().mean(0) for clip in (dog, other, cello)]
    assert cosine(mean[0], mean[1]) > cosine(mean[0], mean[2])


@pytest.mark.slow
def test_mobilenet_sees_the_dog(shared):
    folder = needed(shared / "backbones" / "mobilenet_v2_100_224")
    visual = load_visual(str(folder))
    assert (visual.width, visual.size) == (1280, 224)
    clip = decode_clip(needed(shared / "clips" / "avsync" / "dog_barking.mp4"), size=(224, 224))
    frames = clip.frames[:, 0]  # [T, H, W, 3]
    vectors = visual(frames).numpy()
    assert vectors.shape == (clip.seconds, 1280) and np.isfinite(vectors).all()
    # The seconds of one clip are nearer to one another than to a picture turned upside down.
    turned = visual(frames[:, ::-1].copy()).numpy()
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], turned[1])
    logits = visual.module.logits(frames.astype("float32") / 255).numpy().mean(0)
    labels = (shared / "backbones" / "imagenet_labels.txt").read_text().splitlines()
    # ImageNet's dogs stand together: 151 to 268 of 1,000, one later behind a background class.
    assert 152 <= int(logits.argmax()) <= 276, labels[int(logits.argmax())]


def seconds(clip) -> np.ndarray:
    return clip.waveform.reshape(-1, 16_000)  # [T, 16000]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
