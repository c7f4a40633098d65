"""Audio alone on real AudioSet clips: the network against a logistic regression, in five folds.

    python benchmarks/accuracy/audioset.py ../shared/audioset_vggish/bal_train_ave28.npz

Every second of a clip has the clip's class; there is no background. The regression is trained on
the mean features of clips and predicts single seconds as well. Both are trained on the same
four folds; the network has no validation split, so its last epoch is used. Prints a Markdown table.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from clips import Clips, pooled_classes, trained_probabilities, write_store
from intervals import compared
from regression import fit_regression, strength
from sklearn.model_selection import StratifiedKFold

FOLDS = 5

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data", type=Path, help="an .npz of `embedding`, `label` and `classes`")
parser.add_argument("--seeds", type=int, default=3, help="runs per fold, averaged")
parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five to measure")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, help="a JSON file for the figures")
options = parser.parse_args()

data = np.load(options.data)
# Google's 8-bit quantisation: 0 to 255 is -2 to 2.
audio = (data["embedding"] / 255 * 4 - 2).astype("float32")  # [N, T, 128]
classes, names = data["label"], [str(name) for name in data["classes"]]
targets = np.repeat(classes[:, None], audio.shape[1], axis=1)  # [N, T]
no_picture = np.zeros((*audio.shape[:2], 1), "float32")  # [N, T, 1]
clips = Clips(no_picture, audio, targets)

columns = ("regression_clip", "regression_second", "network_clip", "network_second")
right = {name: np.zeros(len(clips)) for name in columns}  # [N] each, shares
measured, strengths, cost = [], [], 0.0
folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(classes, classes)
for number, (training, test) in zip(range(options.folds), folds, strict=False):
    measured.append(test)
    regression = fit_regression(audio[training].mean(axis=1), classes[training])
    strengths.append(strength(regression))
    right["regression_clip"][test] = regression.predict(audio[test].mean(axis=1)) == classes[test]
    seconds = regression.predict(audio[test].reshape(-1, audio.shape[-1]))  # [n * T]
    right["regression_second"][test] = (seconds.reshape(len(test), -1) == targets[test]).mean(1)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "features", names, {"train": clips.pick(training)})
        for seed in range(options.seeds):
            probabilities, spent = trained_probabilities(
                store,
                clips.pick(test),
                Path(folder) / f"run-{seed}",
                seed=seed,
                overrides=["model.name=audio_only", *options.set],
            )
            cost += spent
            named = pooled_classes(probabilities) == classes[test]  # [n]
            right["network_clip"][test] += named / options.seeds
            by_second = (probabilities.argmax(-1) == targets[test]).mean(axis=1)  # [n]
            right["network_second"][test] += by_second / options.seeds
    so_far = {name: round(float(values[test].mean()), 4) for name, values in right.items()}
    print(f"fold {number}: {so_far}", flush=True)

rows = np.concatenate(measured)
measured_right = {name: values[rows] for name, values in right.items()}
figures = compared(measured_right, f"{len(rows)} clips, {options.seeds} seeds")
print(f"\nC of the regression: {strengths}; processor time of training: {cost:.0f} s")
if options.out:
    content = {"settings": options.set, "seeds": options.seeds, "cpu_s": cost, **figures}
    options.out.write_text(json.dumps(content, indent=2) + "\n")
