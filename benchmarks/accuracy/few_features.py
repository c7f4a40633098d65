"""Features of composed clips, from labelled images and sounds.

    python benchmarks/accuracy/few_features.py ../shared --out few.npz
    python benchmarks/accuracy/few_features.py ../shared --ave --out few_ave.npz
    python benchmarks/accuracy/few_features.py ../shared --ave --videos few_videos

A clip is one image and one recording: ten crops of the image, and ten seconds of the recording,
repeated if it is shorter. No image or recording is in two clips. As in AVE, 35.6 % of the clips
have background, about 17 % of all seconds, in which image, sound or both are of no class.

80 classes are drawn from those with enough images, with MobileNetV2 and YAMNet. Sounds of a class
have one label, and two or three classes share a label, since there are 38.

With `--ave`, image and sound of a clip are of the same class of AVE, the backbones are those that
need no hub, with class scores, and no image is of ImageNet, on which the image network was trained.
Crops are small and another recording is mixed in, so that such clips are about as hard as real
ones.

With `--videos`, the clips are written as a data set for `avel train`. With `--ave`, one clip of
each class is then for validation instead of for the test.
"""

import argparse
import csv
import io
import json
import zipfile
from collections import defaultdict
from pathlib import Path

import librosa
import numpy as np
import soundfile
from PIL import Image

from avel_tf.embeddings import load_audio, load_visual
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.events.labels import AVE_CLASSES
from avel_tf.synthesis.writer import write_video

CLASSES, SECONDS, RATE, FRAME_RATE = 80, 10, 16_000, 4
TRAIN, VALIDATION, TEST = 4, 1, 6
AVE_TRAIN, AVE_TEST = 3, 5
# As in AVE: 66 % of clips are one event from end to end, and 17.8 % of the seconds are background.
WITH_BACKGROUND = 0.356
FOREIGN_PICTURES, FOREIGN_SOUNDS = 600, 200
# Sides of crops, and decibels of a recording above another one; None for nothing mixed in.
CROPS, MIXED = (0.7, 1.0), None
AVE_CROPS, AVE_MIXED = (0.35, 0.6), (-3.0, 8.0)
OF_IMAGENET = ("seshuad/IMagenet", "EliSchwartz/imagenet-sample-images")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("shared", type=Path, help="the folder of the corpora and backbones")
parser.add_argument("--ave", action="store_true", help="classes of AVE, as above")
parser.add_argument("--train", type=int, default=AVE_TRAIN, help="training clips, with --ave")
parser.add_argument("--test", type=int, default=AVE_TEST, help="test clips, with --ave")
to = parser.add_mutually_exclusive_group(required=True)
to.add_argument("--out", type=Path, help="the .npz of features")
to.add_argument("--videos", type=Path, help="the folder of clips")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

generator = np.random.default_rng(options.seed)
if options.videos:  # images and sounds take the place of their embeddings
    visual, audio = np.asarray, lambda waveform: waveform.reshape(-1, RATE)
elif options.ave:
    visual, audio = (
        load_visual("efficientnet-lite2", scores=True),
        load_audio("audioset-distilled", scores=True),
    )
else:
    visual, audio = (
        load_visual(str(options.shared / "backbones/mobilenet_v2_100_224")),
        load_audio(str(options.shared / "backbones/yamnet")),
    )
side, sides, mixed = (260, AVE_CROPS, AVE_MIXED) if options.ave else (224, CROPS, MIXED)
train, validation, test = (
    (options.train, 0, options.test) if options.ave else (TRAIN, VALIDATION, TEST)
)
if options.videos and options.ave:
    validation, test = 1, test - 1
each = train + validation + test
images = zipfile.ZipFile(options.shared / "corpora/images.zip")
sounds = zipfile.ZipFile(options.shared / "corpora/audio.zip")


def content(name, archive):
    """Bytes of a file of the first corpus, which is in archives, or of the second."""
    folder = options.shared / "corpora2"
    return (folder / name).read_bytes() if (folder / name).is_file() else archive.read(name)


def crops(name, count):
    """uint8 [count, H, W, 3]: random crops, mirrored, brightened."""
    picture = np.asarray(Image.open(io.BytesIO(content(name, images))).convert("RGB"))
    found = []
    for _ in range(count):
        height, width = (int(length * generator.uniform(*sides)) for length in picture.shape[:2])
        top = generator.integers(picture.shape[0] - height + 1)
        left = generator.integers(picture.shape[1] - width + 1)
        crop = picture[top : top + height, left : left + width]
        crop = crop[:, :: generator.choice([-1, 1])] * generator.uniform(0.7, 1.3)
        crop = Image.fromarray(np.clip(crop, 0, 255).astype("uint8"))
        found.append(np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(found)


def recording(name, seconds):
    """float32 [seconds * RATE], repeated where it is shorter."""
    wave, rate = soundfile.read(io.BytesIO(content(name, sounds)), dtype="float32", always_2d=True)
    wave = librosa.resample(wave.mean(axis=1), orig_sr=rate, target_sr=RATE)
    return np.resize(wave, seconds * RATE)


def mixture(name, seconds):
    """A recording with another one, at equal or lower level, where `mixed` says so."""
    wave = recording(name, seconds)
    if mixed is None:
        return wave
    other = recording(generator.choice(everything), seconds)
    level, of_other = (np.sqrt(np.mean(each**2)) + 1e-6 for each in (wave, other))
    other = other * level / of_other * 10 ** (-generator.uniform(*mixed) / 20)
    return 0.5 * (wave + other)


pictures_of, sounds_of, noises = defaultdict(list), defaultdict(list), []
with open(options.shared / "corpora/manifest.tsv", newline="") as table:
    for row in csv.DictReader(table, delimiter="\t"):
        key = (row["source_repo"], row["label"].lower())
        if options.ave:
            key = ("AVE", row["ave_class"]) if row["ave_class"] in AVE_CLASSES else None
        if row["file"].startswith("audio/"):
            # Sound packs of a game: effects and weather, of no class here.
            effects = row["source_repo"] == "Fris0uman/CDDA-Soundpacks"
            if effects:
                noises.append(row["file"])
            # Recordings below one second repeat within a window of YAMNet.
            elif key and float(row["size"]) >= 1:
                sounds_of[key].append(row["file"])
        elif row["split"] == "train" and "BACKGROUND" not in row["label"]:
            if not options.ave:
                pictures_of[key].append(row["file"])
            elif row["source_repo"] not in OF_IMAGENET:
                pictures_of[key or ("other", row["label"])].append(row["file"])
if options.ave:
    with open(options.shared / "corpora2/manifest.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["kind"] in ("picture", "sound"):
                group = pictures_of if row["kind"] == "picture" else sounds_of
                group["AVE", row["class"]].append(row["path"])
pictures_of = {key: files for key, files in sorted(pictures_of.items()) if len(files) >= each}
sounds_of = {
    key: list(generator.permutation(files))
    for key, files in sorted(sounds_of.items())
    if len(files) >= (each if options.ave else 2 * each)
}
everything = [name for files in sounds_of.values() for name in files]
order = [list(pictures_of)[place] for place in generator.permutation(len(pictures_of))]
chosen, others = order[:CLASSES], order[CLASSES:]
if options.ave:
    chosen = [key for key in sounds_of if key in pictures_of]
    others = [key for key in pictures_of if key[0] != "AVE"]
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
    if options.ave:
        source = key
    elif number < len(sounds_of):
        source = list(sounds_of)[number]
    for place, name in enumerate(generator.permutation(pictures_of[key])[:each]):
        seen = np.array(visual(crops(name, SECONDS)))  # [T, Dv]
        heard = np.array(audio(mixture(sounds_of[source].pop(), SECONDS)))  # [T, Da]
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
        columns["targets"].append(np.where(event, number, len(chosen)))
        split = "train" if place < train else "validation"
        columns["split"].append(split if place < train + validation else "test")
    columns["names"].append(key[1] if options.ave else f"{number} {key[1]} with {source[1]}")
if options.videos:
    rows = []
    for number, split in enumerate(columns["split"]):
        name, targets = f"videos/{split}/{number:05d}.mp4", columns["targets"][number]
        (options.videos / name).parent.mkdir(parents=True, exist_ok=True)
        frames = np.repeat(columns["visual"][number], FRAME_RATE, axis=0)
        sound = columns["audio"][number].ravel()
        write_video(options.videos / name, frames, sound, frame_rate=FRAME_RATE, crf=18)
        heard_and_seen = np.flatnonzero(targets < len(chosen))
        label = columns["names"][targets.min()]
        rows.append((name, split, heard_and_seen[0], heard_and_seen[-1] + 1, label))
    with open(options.videos / "annotations.csv", "w", newline="") as file:
        csv.writer(file).writerows([("video", "split", "start", "end", "label"), *rows])
else:
    recipe = Recipe(
        VisualRecipe("visual", "", 1, side, visual.width, vocabulary=visual.vocabulary),
        AudioRecipe("audio", "", RATE, "none", audio.width, vocabulary=audio.vocabulary),
    )
    np.savez(options.out, recipe=json.dumps(recipe.to_dict()), **columns)
background = np.mean(np.array(columns["targets"]) == len(chosen))
print(f"{len(chosen)} classes, {len(columns['split'])} clips, {100 * background:.1f} % background")
