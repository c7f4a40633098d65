"""Accuracy on real clips by visual, audio and both, in groups of similar labels.

    avel extract ../shared/clips --out real-features --config pipelines/YOURS.yaml
    python benchmarks/accuracy/real_clips.py real-features

Similar labels form a group, groups of one clip are left out, and the rest is divided into four
folds so that each group has a clip in training. Forty clips are few: mind the intervals.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from clips import Clips, pooled_classes, split_of, trained_probabilities, write_store
from intervals import percent, summary
from regression import fit_regression
from sklearn.model_selection import StratifiedKFold

from avel_tf.features.feature_store import FeatureStore

FOLDS = 4
MODELS = ("avel", "audio_only", "visual_only")
GROUPS = {
    "dog": ("dog", "dog barking", "Bark"),
    "baby": ("baby", "baby crying", "baby laughter"),
    "drum": ("drum", "playing bass drum", "playing bongo"),
    "fireworks": ("fireworks",),
    "gun": ("gun", "cap gun shooting", "machine gun shooting"),
    "hammer": ("hammer", "hammering"),
    "bowed strings": ("playing cello", "playing violin", "playing double bass", "Violin, fiddle"),
    "plucked strings": ("Ukulele", "playing harp", "Acoustic guitar"),
    "brass": ("playing trombone", "playing trumpet"),
    "engine": ("Race car, auto racing", "car engine knocking", "Bus", "Chainsaw"),
    "bird": ("chicken crowing", "canary calling"),
    "water": ("toilet flushing", "waterfall burbling"),
    "voice": (
        *("Female speech, woman speaking", "Male speech, man speaking"),
        *("cough", "people cheering"),
    ),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("features", type=Path, help="what avel extract wrote")
parser.add_argument("--seeds", type=int, default=1, help="runs per fold, averaged")
parser.add_argument("--models", default=",".join(MODELS), help="networks to measure")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, help="a JSON file for the figures")
options = parser.parse_args()
models = options.models.split(",")

store = FeatureStore(options.features)
parts = [split_of(store, split) for split in ("train", "validation", "test") if store.count(split)]
clips = Clips(
    *(
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("visual", "audio", "targets")
    )
)
names, background = list(GROUPS), len(GROUPS)
group_of = {label: number for number, labels in enumerate(GROUPS.values()) for label in labels}
# Label to group, background to background, ended clip unchanged.
numbers = [group_of.get(label, -2) for label in store.labels.names] + [background, -1]
targets = np.array(numbers)[clips.targets]  # [N, T]
kept = ~(targets == -2).any(axis=1)  # [N]
clips = Clips(clips.visual[kept], clips.audio[kept], targets[kept])
is_event = (clips.targets >= 0) & (clips.targets < background)  # [N, T]
classes = np.where(is_event, clips.targets, -1).max(axis=1)  # [N]
clips, is_event, classes = (
    each.pick(classes >= 0) if isinstance(each, Clips) else each[classes >= 0]
    for each in (clips, is_event, classes)
)


def means(stream):
    there = (clips.targets >= 0)[..., None]  # [N, T, 1]
    return (stream * there).sum(axis=1) / there.sum(axis=1)  # [N, D]


vectors = np.concatenate([means(clips.visual), means(clips.audio)], axis=-1)  # [N, Dv + Da]
right = {name: np.zeros(len(clips)) for name in (*models, "regression", "largest group")}
folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
for training, test in folds.split(classes, classes):
    regression = fit_regression(vectors[training], classes[training])
    right["regression"][test] = regression.predict(vectors[test]) == classes[test]
    right["largest group"][test] = np.bincount(classes[training]).argmax() == classes[test]
    with tempfile.TemporaryDirectory() as folder:
        learned = write_store(Path(folder) / "features", names, {"train": clips.pick(training)})
        for model in models:
            for seed in range(options.seeds):
                probabilities, _ = trained_probabilities(
                    learned,
                    clips.pick(test),
                    Path(folder) / f"{model}-{seed}",
                    seed=seed,
                    overrides=[f"model.name={model}", *options.set],
                )
                there = (clips.targets[test] >= 0)[..., None]  # [n, T, 1]
                said = pooled_classes(probabilities * there)  # [n]
                right[model][test] += (said == classes[test]) / options.seeds

figures = {name: summary(values) for name, values in right.items()}
print(f"| {len(clips)} clips, {len(names)} groups, {options.seeds} seeds | clips right, % |")
print("|---|---|")
for name, figure in figures.items():
    print(f"| {name} | {percent(figure)} |")
for name in (*models[1:], "regression"):
    figures[f"{models[0]} - {name}"] = summary(right[models[0]] - right[name])
    difference = percent(figures[f"{models[0]} - {name}"], sign=True)
    print(f"| `{models[0]}` minus {name} | {difference} |")
if options.out:
    options.out.write_text(json.dumps({"clips": len(clips), **figures}, indent=2) + "\n")
