"""Corpora that are as small as they can be: each class has its colour and its pitch."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

RATE = 16_000
# RGB, and Hz. What is no class is blue or green and hums or hisses.
COLOURS = {"dog": (220, 30, 30), "tabby": (220, 210, 40), "sky": (30, 40, 220)}
PITCHES = {"dog_bark": 2000.0, "meow": 3500.0, "siren": 900.0}
CLASSES = {"dog": "Bark", "dog_bark": "Bark", "tabby": "Cat", "meow": "Cat"}
OF_EACH = 12


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve files of each label to train on, and three that are kept for measuring."""
    folder = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    rows = []
    with (
        zipfile.ZipFile(folder / "images.zip", "w") as images,
        zipfile.ZipFile(folder / "audio.zip", "w") as audio,
    ):
        for split, count in (("train", OF_EACH), ("eval", 3)):
            for label, colour in COLOURS.items():
                for number in range(count):
                    name = f"images/tiny/{split}-{label}-{number}.jpg"
                    picture = np.clip(rng.normal(colour, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
                    coded = cv2.imencode(".jpg", picture[..., ::-1])[1]
                    images.writestr(name, coded.tobytes())
                    rows.append((name, label, CLASSES.get(label, ""), split))
            for label in (*PITCHES, "air_conditioner"):
                for number in range(count):
                    name = f"audio/field/{split}-{label}-{number}.ogg"
                    data = io.BytesIO()
                    soundfile.write(data, sound(rng, label), RATE, format="OGG", subtype="VORBIS")
                    audio.writestr(name, data.getvalue())
                    rows.append((name, label, CLASSES.get(label, ""), split))
    with open(folder / "manifest.tsv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["file", "label", "ave_class", "split"])
        table.writerows(rows)
    return folder


def sound(rng: np.random.Generator, label: str) -> np.ndarray:
    """Three bursts of a class's pitch with long pauses between them, or steady noise."""
    if label == "air_conditioner":
        return rng.normal(0, 0.05, 2 * RATE)
    time = np.arange(3 * RATE) / RATE
    burst = (time % 1) < 0.15  # so that most of every second is silent
    return 0.3 * burst * np.sin(2 * np.pi * PITCHES[label] * time)
