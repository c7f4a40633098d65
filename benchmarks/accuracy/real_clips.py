"""Accuracy on real clips with few training clips per class, in groups of similar labels.

    avel extract CLIPS --out real-features --config pipelines/offline.yaml
    python benchmarks/accuracy/real_clips.py real-features --per-class 3 --repeats 3

Similar labels form a group, groups of one clip are left out, and the rest is divided into four
folds so that each group has a clip in training; `--repeats` draws other folds. The regression gives
every segment the class of its clip's mean features. Rows without scores lack the class scores of
features that have them. `zero-shot` gives every segment the named class with the most evidence,
without training; in rows without names the classes are called by numbers. Networks without
clip evidence are as with `--set model.clip_evidence=false`. Dozens of clips are few: mind the
intervals.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from clips import (
    Clips,
    network_alone,
    pooled_classes,
    split_of,
    trained_probabilities,
    without_scores,
    write_store,
)
from intervals import percent, summary
from regression import fit_regression
from sklearn.model_selection import StratifiedKFold

from avel_tf.embeddings.class_columns import NamedClasses
from avel_tf.features.feature_store import FeatureStore

FOLDS = 4
# Settings of each row; whether it reads the class scores; whether it knows the classes' names.
ROWS: dict[str, tuple[tuple[str, ...], bool, bool]] = {
    "avel": ((), True, True),
    "avel, no names": ((), True, False),
    "avel, no scores": ((), False, True),
    "audio_only": (("model.name=audio_only",), True, True),
    "visual_only": (("model.name=visual_only",), True, True),
}
ALONE = ", no clip evidence"
REGRESSIONS = {"regression": True, "regression, no scores": False}
GROUPS = {
    "dog": ("dog", "dog barking", "Bark"),
    "baby": ("baby", "baby crying", "baby laughter"),
    "drum": ("drum", "playing bass drum", "playing bongo"),
    "fireworks": ("fireworks",),
    "gun": ("gun", "cap gun shooting", "machine gun shooting"),
    "hammer": ("hammer", "hammering"),
    "violin, cello, double bass": (
        "playing cello",
        "playing violin",
        "playing double bass",
        "Violin, fiddle",
    ),
    "guitar, ukulele, harp": ("Ukulele", "playing harp", "Acoustic guitar"),
    "trombone, trumpet": ("playing trombone", "playing trumpet"),
    "car, bus, chainsaw": ("Race car, auto racing", "car engine knocking", "Bus", "Chainsaw"),
    "bird": ("chicken crowing", "canary calling"),
    "toilet flush, waterfall": ("toilet flushing", "waterfall burbling"),
    "speech, cough, cheering": (
        *("Female speech, woman speaking", "Male speech, man speaking"),
        *("cough", "people cheering"),
    ),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("features", type=Path, help="what avel extract wrote")
parser.add_argument("--per-class", type=int, help="most training clips per class; default: all")
parser.add_argument("--repeats", type=int, default=1, help="draws of folds, averaged per clip")
parser.add_argument("--rows", default=";".join(ROWS), help="networks to measure, with semicolons")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, help="a JSON file for the figures")
options = parser.parse_args()

store = FeatureStore(options.features)
has_scores = store.recipe.visual.score_width + store.recipe.audio.score_width > 0
rows = {name: ROWS[name] for name in options.rows.split(";") if has_scores or ROWS[name][1]}
regressions = {name: scores for name, scores in REGRESSIONS.items() if has_scores or scores}
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
classes = np.where(clips.targets < background, clips.targets, -1).max(axis=1)  # [N]
clips, classes = clips.pick(classes >= 0), classes[classes >= 0]
there = clips.targets >= 0  # [N, T]
# Clips and recipe with scores and without them.
versions = {True: (clips, store.recipe), False: without_scores(clips, store.recipe)}


def means(of: Clips) -> np.ndarray:
    """Mean features of the valid seconds, [N, Dv + Da]."""
    values = np.concatenate([of.visual, of.audio], axis=-1) * there[..., None]
    return values.sum(axis=1) / there.sum(axis=1, keepdims=True)


def zero_shot_classes(of: Clips) -> np.ndarray | None:
    """Class with the most zero-shot evidence over the clip, [N]; None without scores or names."""
    named = NamedClasses.of(store.recipe, names)
    if named is None:
        return None
    vectors = means(of)
    seen, heard = named.columns.evidence(*np.split(vectors, [of.visual.shape[-1]], axis=-1))
    return np.array(named.classes)[(seen * heard).argmax(axis=-1)]


def segments_right(said: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Share of the valid segments [n, T] that are right, [n]."""
    right = (said == clips.targets[test]) & there[test]
    return right.sum(axis=1) / there[test].sum(axis=1)


zero_shot = zero_shot_classes(clips)
baselines = (*regressions, *(["zero-shot"] if zero_shot is not None else []))
right = {
    unit: {
        name: np.zeros(len(clips))
        for name in (*baselines, *(name + ending for name in rows for ending in ("", ALONE)))
    }
    for unit in ("clips", "segments")
}
for repeat in range(options.repeats):
    generator = np.random.default_rng(repeat)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
    for training, test in folds.split(classes, classes):
        training = np.concatenate(
            [
                generator.permutation(training[classes[training] == each])[: options.per_class]
                for each in range(len(names))
            ]
        )
        said = {}
        for name, scores in regressions.items():
            vectors = means(versions[scores][0])
            found = fit_regression(vectors[training], classes[training]).predict(vectors[test])
            said[name] = (found, np.repeat(found[:, None], there.shape[1], axis=1))
        if zero_shot is not None:
            found = zero_shot[test]
            said["zero-shot"] = (found, np.repeat(found[:, None], there.shape[1], axis=1))
        for name, (settings, scores, named) in rows.items():
            source, recipe = versions[scores]
            with tempfile.TemporaryDirectory() as folder:
                learned = write_store(
                    Path(folder) / "features",
                    names if named else [f"class {number}" for number in range(len(names))],
                    {"train": source.pick(training)},
                    recipe,
                )
                probabilities, _ = trained_probabilities(
                    learned,
                    source.pick(test),
                    Path(folder) / "run",
                    seed=repeat,
                    overrides=[*settings, *options.set],
                )
                network = network_alone(Path(folder) / "run")
            part = source.pick(test)
            alone = network(part.visual, part.audio, there[test])
            for ending, each in (("", probabilities), (ALONE, alone)):
                pooled = pooled_classes(each * there[test][..., None])
                said[name + ending] = (pooled, each.argmax(axis=-1))
        print(f"repeat {repeat}: {len(test)} clips measured", file=sys.stderr, flush=True)
        for name, (clip_class, segments) in said.items():
            right["clips"][name][test] += (clip_class == classes[test]) / options.repeats
            right["segments"][name][test] += segments_right(segments, test) / options.repeats

figures = {
    unit: {name: summary(values) for name, values in of.items()} for unit, of in right.items()
}
print(f"| {len(clips)} clips, {len(names)} groups | clips right, % | segments right, % |")
print("|---|---|---|")
for name, figure in figures["clips"].items():
    print(f"| {name} | {percent(figure)} | {percent(figures['segments'][name])} |")
first = next(iter(rows))
for name in list(figures["clips"]):
    if name != first:
        for unit, of in right.items():
            figures[unit][f"{first} - {name}"] = summary(of[first] - of[name])
        cells = [percent(figures[unit][f"{first} - {name}"], sign=True) for unit in right]
        print(f"| `{first}` minus {name} | {' | '.join(cells)} |")
if options.out:
    content = {"clips": len(clips), "per_class": options.per_class, **figures}
    options.out.write_text(json.dumps(content, indent=2) + "\n")
