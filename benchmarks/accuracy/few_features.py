"""Features of composed clips of 80 classes, from labelled images and sounds.

    python benchmarks/accuracy/few_features.py ../shared --out few.npz

A clip is one image and one recording: ten crops of the image, and ten seconds of the recording,
repeated if it is shorter. No image or recording is in two clips. 80 classes are drawn from those
with enough images. Sounds of a class have one label, and two or three classes share a label, since
there are 38. As in AVE, 35.6 % of the clips have background, about 17 % of all seconds, in which
image, sound or both are of no class.
"""

import argparse
import csv
import io
import zipfile
from collections import defaultdict
from pathlib import Path

import librosa
import numpy as np
import soundfile
from PIL import Image

from avel_tf.embeddings import load_audio, load_visual

CLASSES, SECONDS, RATE, SIDE = 80, 10, 16_000, 224
TRAIN, VALIDATION, TEST = 4, 1, 6
EACH = TRAIN + VALIDATION + TEST
# As in AVE: 66 % of clips are one event from end to end, and 17.8 % of the seconds are background.
WITH_BACKGROUND = 0.356
FOREIGN_PICTURES, FOREIGN_SOUNDS = 600, 200

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("shared", type=Path, help="the folder of corpora/ and backbones/")
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

generator = np.random.default_rng(options.seed)
visual = load_visual(str(options.shared / "backbones/mobilenet_v2_100_224"))
audio = load_audio(str(options.shared / "backbones/yamnet"))
images = zipfile.ZipFile(options.shared / "corpora/images.zip")
sounds = zipfile.ZipFile(options.shared / "corpora/audio.zip")


def crops(name, count):
    """uint8 [count, H, W, 3]: random crops (70 to 100 % of the sides), mirrored, brightened."""
    picture = np.asarray(Image.open(io.BytesIO(images.read(name))).convert("RGB"))
    found = []
    for _ in range(count):
        height, width = (int(side * generator.uniform(0.7, 1)) for side in picture.shape[:2])
        top = generator.integers(picture.shape[0] - height + 1)
        left = generator.integers(picture.shape[1] - width + 1)
        crop = picture[top : top + height, left : left + width]
        crop = crop[:, :: generator.choice([-1, 1])] * generator.uniform(0.7, 1.3)
        crop = Image.fromarray(np.clip(crop, 0, 255).astype("uint8"))
        found.append(np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
    return np.stack(found)


def recording(name, seconds):
    """float32 [seconds * RATE], repeated where it is shorter."""
    wave, rate = soundfile.read(io.BytesIO(sounds.read(name)), dtype="float32", always_2d=True)
    wave = librosa.resample(wave.mean(axis=1), orig_sr=rate, target_sr=RATE)
    return np.resize(wave, seconds * RATE)


pictures_of, sounds_of, noises = defaultdict(list), defaultdict(list), []
with open(options.shared / "corpora/manifest.tsv", newline="") as table:
    for row in csv.DictReader(table, delimiter="\t"):
        key = (row["source_repo"], row["label"].lower())
        if row["file"].startswith("audio/"):
            # Sound packs of a game: effects and weather, of no class here.
            effects = row["source_repo"] == "Fris0uman/CDDA-Soundpacks"
            # Recordings below one second repeat within a window of YAMNet.
            if effects or float(row["size"]) >= 1:
                (noises if effects else sounds_of[key]).append(row["file"])
        elif row["split"] == "train" and "BACKGROUND" not in row["label"]:
            pictures_of[key].append(row["file"])
pictures_of = {key: files for key, files in sorted(pictures_of.items()) if len(files) >= EACH}
sounds_of = {
    key: list(generator.permutation(files))
    for key, files in sorted(sounds_of.items())
    if len(files) >= 2 * EACH
}
order = [list(pictures_of)[place] for place in generator.permutation(len(pictures_of))]
chosen, others = order[:CLASSES], order[CLASSES:]
foreign_visual = np.concatenate(
    [
        visual(crops(generator.choice(pictures_of[others[generator.integers(len(others))]]), 1))
        for _ in range(FOREIGN_PICTURES)
    ]
)
foreign_audio = np.concatenate(
    [audio(recording(name, 2)) for name in generator.permutation(noises)[:FOREIGN_SOUNDS]]
)

columns = defaultdict(list)
for number, key in enumerate(chosen):
    # Labels with few recordings serve fewer classes; the largest is next.
    source = max(sounds_of, key=lambda label: len(sounds_of[label]))
    if number < len(sounds_of):
        source = list(sounds_of)[number]
    for place, name in enumerate(generator.permutation(pictures_of[key])[:EACH]):
        seen = np.array(visual(crops(name, SECONDS)))  # [T, Dv]
        heard = np.array(audio(recording(sounds_of[source].pop(), SECONDS)))  # [T, Da]
        event = np.ones(SECONDS, bool)
        if generator.random() < WITH_BACKGROUND:
            length = generator.integers(2, SECONDS)
            start = generator.integers(SECONDS - length + 1)
            event[:] = False
            event[start : start + length] = True
            kind = generator.choice(["neither", "seen only", "heard only"])
            for second in np.flatnonzero(~event):
                if kind != "seen only":
                    seen[second] = foreign_visual[generator.integers(len(foreign_visual))]
                if kind != "heard only":
                    heard[second] = foreign_audio[generator.integers(len(foreign_audio))]
        columns["visual"].append(seen)
        columns["audio"].append(heard)
        columns["targets"].append(np.where(event, number, CLASSES))
        split = "train" if place < TRAIN else "validation"
        columns["split"].append(split if place < TRAIN + VALIDATION else "test")
    columns["names"].append(f"{number} {key[1]} with {source[1]}")
np.savez(options.out, **columns)
background = np.mean(np.array(columns["targets"]) == CLASSES)
print(f"{CLASSES} classes, {len(columns['split'])} clips, {100 * background:.1f} % background")
