"""Accuracy by the number of training clips per class: the default recipe and two regressions.

    python benchmarks/accuracy/learning_curve.py ../shared/audioset_vggish/bal_train_ave28.npz
    python benchmarks/accuracy/learning_curve.py few.npz --per-class 3
    python benchmarks/accuracy/learning_curve.py few_ave.npz --per-class 3 [--no-scores]

Reads real AudioSet clips (`embedding`, `label`, `classes`: audio only, the class of the clip in
every second) or the composed clips of `few_features.py`. Each draw takes test clips and, of the
others, K training clips per class. `clip regression` reads the mean features of the clip and gives
its class to every second; `second regression` reads single seconds, with background as a class.
There is no validation split, so the last epoch is used. `network alone` is the same network without
its clip evidence (`--set model.clip_evidence=false`). Prints Markdown tables.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from clips import (
    Clips,
    clip_classes,
    network_alone,
    pooled_classes,
    trained_probabilities,
    without_scores,
    write_store,
)
from intervals import percent, summary
from regression import fit_regression

from avel_tf.embeddings.recipe import Recipe

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data", type=Path, help="an .npz as above")
parser.add_argument("--per-class", default="3,5,10,20", help="numbers of training clips")
parser.add_argument("--draws", type=int, default=3, help="draws of training and test clips")
parser.add_argument("--test", type=int, default=15, help="most test clips per class")
parser.add_argument("--no-scores", action="store_true", help="leave class scores out")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, help="a JSON file for the figures")
options = parser.parse_args()


def load(path: Path) -> tuple[Clips, list[str], Recipe | None]:
    """Clips, class names and recipe of a file."""
    data = np.load(path)
    if "embedding" not in data:
        clips = Clips(*(data[key] for key in ("visual", "audio", "targets")))
        names = [str(name) for name in data["names"]]
        recipe = Recipe.from_dict(json.loads(str(data["recipe"]))) if "recipe" in data else None
        if recipe and options.no_scores:
            clips, recipe = without_scores(clips, recipe)
        return clips, names, recipe
    # Google's 8-bit quantisation: 0 to 255 is -2 to 2.
    audio = (data["embedding"] / 255 * 4 - 2).astype("float32")  # [N, T, 128]
    targets = np.repeat(data["label"][:, None], audio.shape[1], axis=1)  # [N, T]
    no_picture = np.zeros((*audio.shape[:2], 1), "float32")  # [N, T, 1]
    return Clips(no_picture, audio, targets), [str(name) for name in data["classes"]], None


def drawn(classes: np.ndarray, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of training and test clips."""
    generator = np.random.default_rng(seed)
    training, test = [], []
    for event in range(classes.max() + 1):
        rows = generator.permutation(np.flatnonzero(classes == event))
        held_out = min(options.test, len(rows) // 2)
        test.extend(rows[:held_out])
        training.extend(rows[held_out : held_out + per_class])
    return np.array(training), np.array(test)


def seconds_of(clips: Clips) -> np.ndarray:
    """Features of both modalities, float32 [N, T, Dv + Da]."""
    return np.concatenate([clips.visual, clips.audio], axis=-1)


every, names, recipe = load(options.data)
audio_only = not every.visual.any()
overrides = [*(["model.name=audio_only"] if audio_only else []), *options.set]
classes = clip_classes(every.targets, len(names))  # [N]
results = {}
for per_class in map(int, options.per_class.split(",")):
    right = defaultdict(list)
    for draw in range(options.draws):
        training, test = drawn(classes, per_class, draw)
        train, measured = every.pick(training), every.pick(test)
        vectors, unseen = seconds_of(train), seconds_of(measured)  # [N, T, D] each

        regression = fit_regression(vectors.mean(axis=1), classes[training])
        said = regression.predict(unseen.mean(axis=1))  # [n]
        right["clip regression, clips"].append(said == classes[test])
        right["clip regression"].append((said[:, None] == measured.targets).mean(axis=1))

        regression = fit_regression(
            vectors.reshape(-1, vectors.shape[-1]),
            train.targets.ravel(),
            strengths=(regression[-1].C / 10,),  # ten times as many rows
        )
        said = regression.predict(unseen.reshape(-1, unseen.shape[-1])).reshape(len(test), -1)
        right["second regression"].append((said == measured.targets).mean(axis=1))

        with tempfile.TemporaryDirectory() as folder:
            store = write_store(Path(folder) / "features", names, {"train": train}, recipe)
            probabilities, _ = trained_probabilities(
                store, measured, Path(folder) / "run", seed=draw, overrides=overrides
            )
            network = network_alone(Path(folder) / "run")
        alone = network(measured.visual, measured.audio, measured.targets >= 0)
        for name, each in (("network", probabilities), ("network alone", alone)):
            right[f"{name}, clips"].append(pooled_classes(each) == classes[test])
            right[name].append((each.argmax(-1) == measured.targets).mean(axis=1))
            background = measured.targets == len(names)  # [n, T]
            if background.any():
                found = (each.argmax(-1) == len(names))[background].mean()
                print(f"draw {draw}, {name}: background recall {found:.2f}", flush=True)
    values = {name: np.concatenate(parts).astype(float) for name, parts in right.items()}
    values["difference, clips"] = values["network, clips"] - values["clip regression, clips"]
    values["difference"] = values["network"] - values["clip regression"]
    results[per_class] = {name: summary(each) for name, each in values.items()}
    so_far = {name: round(figure["mean"], 3) for name, figure in results[per_class].items()}
    print(f"{per_class} clips per class: {so_far}", flush=True)

rows = ("clip regression", "second regression", "network alone", "network", "difference")
for unit, ending in (("segments", ""), ("clips", ", clips")):
    print(f"\n| {unit} right, %; {options.draws} draws | {' | '.join(map(str, results))} |")
    print("|---" * (len(results) + 1) + "|")
    for name in rows:
        if unit == "clips" and name == "second regression":
            continue
        cells = [
            percent(figures[name + ending], sign=name == "difference")
            for figures in results.values()
        ]
        print(f"| {name} | {' | '.join(cells)} |")
if options.out:
    options.out.write_text(json.dumps({"settings": overrides, **results}, indent=2) + "\n")
