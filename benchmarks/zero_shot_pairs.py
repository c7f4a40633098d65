"""Zero-shot recall on labelled sounds over labelled images, where no real clips are had.

    python benchmarks/zero_shot_pairs.py CORPUS [--visual MODULE] [--audio MODULE] [--split NAME]

CORPUS has `manifest.tsv` with the columns path, class, kind (sound or picture) and split. A pair is
a sound of at most ten seconds over one image. In matched pairs both have the class; in mismatched
ones the classes differ. The classes of AVE are offered and the rest of the table competes, as in
`avel infer`. A pair is easier than a clip: the image shows the thing, and nothing else is heard.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import cv2
import librosa
import numpy as np
from zero_shot import decisions, geometric, mean_of_three

from avel_tf.embeddings import load_audio, load_visual
from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.events.labels import AVE_CLASSES
from avel_tf.models.zero_shot import FLOOR, THRESHOLD
from avel_tf.vocabulary.class_table import ClassTable

SAMPLE_RATE, MOST_SECONDS = 16_000, 10
MATCHED, MISMATCHED = 400, 20_000


def read_audio(path: Path) -> np.ndarray:
    waveform, _ = librosa.load(path, sr=SAMPLE_RATE, mono=True, duration=MOST_SECONDS)
    seconds = max(1, len(waveform) // SAMPLE_RATE)
    return librosa.util.fix_length(waveform, size=seconds * SAMPLE_RATE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--visual", default="efficientnet-lite2", metavar="MODULE")
    parser.add_argument("--audio", default="audioset-distilled", metavar="MODULE")
    parser.add_argument("--split", help="such as held-out; all when not given")
    options = parser.parse_args()

    table = ClassTable.load()
    visual = load_visual(options.visual, scores=True)
    audio = load_audio(options.audio, scores=True)
    columns = ClassColumns.of(
        Recipe(
            VisualRecipe(options.visual, "", 1, 1, visual.width, vocabulary=visual.vocabulary),
            AudioRecipe(
                options.audio, "", 16_000, "none", audio.width, vocabulary=audio.vocabulary
            ),
        ),
        [table.indices(each, visual.vocabulary) for each in table],
        [table.indices(each, audio.vocabulary) for each in table],
    )
    offered = np.isin(table.names, AVE_CLASSES)
    competing = offered | ~columns.related(np.flatnonzero(offered).tolist())

    images: dict[str, list[np.ndarray]] = {}  # evidence [C]
    sounds: dict[str, list[np.ndarray]] = {}  # evidence [T, C]
    blank_image = np.zeros((1, visual.width), np.float32)
    blank_second = np.zeros((1, audio.width), np.float32)
    with open(options.corpus / "manifest.tsv", newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file, delimiter="\t")
            if options.split in (None, row["split"]) and row["class"] in AVE_CLASSES
        ]
    for row in rows:
        path = options.corpus / row["path"]
        if row["kind"] == "picture":
            frame = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            if frame is None:
                raise ValueError(f"{path} is no image that OpenCV can read.")
            evidence, _ = columns.evidence(np.asarray(visual(frame[None])), blank_second)
            images.setdefault(row["class"], []).append(evidence[0] * competing)
        elif row["kind"] == "sound":
            _, evidence = columns.evidence(blank_image, np.asarray(audio(read_audio(path))))
            sounds.setdefault(row["class"], []).append(mean_of_three(evidence) * competing)

    rng = np.random.default_rng(0)

    def label(sound_of: str, image_of: str) -> np.ndarray:
        heard = sounds[sound_of][rng.integers(len(sounds[sound_of]))]
        seen = images[image_of][rng.integers(len(images[image_of]))]
        found = decisions(geometric(np.broadcast_to(seen, heard.shape), heard, FLOOR), THRESHOLD)
        return np.where(np.isin(found, np.flatnonzero(offered)), found, -1)

    both = [name for name in AVE_CLASSES if name in images and name in sounds]
    print("| class | sounds | images | recall | labelled as another |\n|---|---|---|---|---|")
    for name in both:
        found = np.concatenate([label(name, name) for _ in range(MATCHED)])
        right = found == table.names.index(name)
        others = (found >= 0) & ~right
        print(
            f"| {name} | {len(sounds[name])} | {len(images[name])} | {right.mean():.2f} "
            f"| {others.mean():.2f} |"
        )
    wrong: Counter[tuple[str, str, str]] = Counter()
    seconds = 0
    for _ in range(MISMATCHED):
        heard, seen = rng.choice(both, 2, replace=False)
        found = label(heard, seen)
        seconds += len(found)
        wrong.update((str(heard), str(seen), table.names[index]) for index in found[found >= 0])
    print(f"mismatched pairs: {wrong.total()} of {seconds} seconds labelled")
    for (heard, seen, name), count in wrong.most_common(10):
        print(f"  {count} {name} (sound of {heard}, image of {seen})")


if __name__ == "__main__":
    main()
