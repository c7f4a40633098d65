"""Four training clips per class: the default recipe against a logistic regression on mean features.

    python benchmarks/accuracy/few_examples.py few.npz --seeds 3

`few_features.py` creates few.npz. The regression reads the mean of both modalities over a clip and
predicts one class for all its segments. With `--validation` the epoch is chosen on the validation
split; otherwise the last epoch is used. Prints a Markdown table.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from clips import Clips, clip_classes, pooled_classes, trained_probabilities, write_store
from intervals import compared
from regression import fit_regression, strength

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("features", type=Path, help="what few_features.py wrote")
parser.add_argument("--seeds", type=int, default=3, help="runs; their results are averaged")
parser.add_argument("--validation", action="store_true", help="choose the epoch on validation")
parser.add_argument("--on", choices=("validation", "test"), default="test", help="measure there")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, help="a JSON file for the figures")
options = parser.parse_args()

data = np.load(options.features)
names = [str(name) for name in data["names"]]
every = Clips(*(data[key] for key in ("visual", "audio", "targets")))
splits = {name: every.pick(data["split"] == name) for name in ("train", "validation", "test")}
measured = splits[options.on]
if not options.validation:
    del splits["validation"]


def means(clips):
    return np.concatenate([clips.visual.mean(axis=1), clips.audio.mean(axis=1)], axis=-1)  # [N, D]


train = splits["train"]
regression = fit_regression(means(train), clip_classes(train.targets, len(names)))
said = regression.predict(means(measured))  # [N]
classes = clip_classes(measured.targets, len(names))  # [N]
right = {
    "regression_clip": (said == classes).astype(float),  # [N]
    "regression_second": (said[:, None] == measured.targets).mean(axis=1),  # [N]
    "network_clip": np.zeros(len(measured)),
    "network_second": np.zeros(len(measured)),
}
cost, found_background = 0.0, 0.0
with tempfile.TemporaryDirectory() as folder:
    store = write_store(Path(folder) / "features", names, splits)
    for seed in range(options.seeds):
        probabilities, spent = trained_probabilities(
            store, measured, Path(folder) / f"run-{seed}", seed=seed, overrides=options.set
        )
        cost += spent
        right["network_clip"] += (pooled_classes(probabilities) == classes) / options.seeds
        named = probabilities.argmax(axis=-1)  # [N, T]
        right["network_second"] += (named == measured.targets).mean(axis=1) / options.seeds
        background = measured.targets == len(names)  # [N, T]
        found_background += (named == len(names))[background].mean() / options.seeds

figures = compared(right, f"{len(measured)} clips, {options.seeds} seeds")
print(
    f"\nC of the regression: {strength(regression)}; background found: {100 * found_background:.1f}"
    f" %; processor time of training: {cost:.0f} s"
)
if options.out:
    content = {
        "settings": options.set,
        "seeds": options.seeds,
        "cpu_s": cost,
        "background_recall": found_background,
        **figures,
    }
    options.out.write_text(json.dumps(content, indent=2) + "\n")
