"""Ablation of the default network, with added components and baselines, on one feature set.

    python benchmarks/accuracy/ablation.py FEATURES --seeds 5 --out ablation.json

Each row is trained on the training split, keeps the epoch that is best on validation (under weak
supervision by clip accuracy), and is evaluated once on test.
Finished runs are stored in the JSON file and not repeated. Prints a Markdown table: mean and
standard deviation over seeds, an interval over clips of the mean over seeds, and the paired
difference to the default.
"""

import argparse
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from clips import split_of, trained_probabilities
from intervals import percent, summary
from networks import NETWORKS

from avel_tf.features.feature_store import FeatureStore
from avel_tf.models import networks

DEFAULT = "avel"
# Row: settings after --set, and the network of `networks.py` that replaces the default.
ROWS = {
    DEFAULT: ([], None),
    "bi_avatt": (["model.name=bi_avatt"], None),
    "bi_vaatt": (["model.name=bi_vaatt"], None),
    "audio_only": (["model.name=audio_only"], None),
    "visual_only": (["model.name=visual_only"], None),
    "no self-attention": ([], "self_attention"),
    "no attention between the modalities": (["model.cross_modal=none"], None),
    "no product of the modalities": ([], "product"),
    "no LSTM": (["model.lstm_units=0"], None),
    "LSTM of 128": (["model.lstm_units=128"], None),
    "factorised head": (["model.head=factorised", "model.linear_path=false"], None),
    "factorised head with a linear path": (
        ["model.head=factorised", "model.linear_path=true"],
        None,
    ),
    "propagation between the modalities (PSP)": (["model.cross_modal=propagation"], None),
    "background gate (CMBS)": (["model.background_gate=true"], None),
    "class activation (CMBS)": (["model.class_activation=true"], None),
    "contrast (CACE-Net)": (["model.contrast=true"], None),
    "no label smoothing": (["training.label_smoothing=0.0"], None),
    "no dropout": (["model.dropout=0.0", "model.input_dropout=0.0"], None),
    "weight decay 0.01": (["training.weight_decay=0.01"], None),
    "weight averaging 0.99": (["training.weight_averaging=0.99"], None),
    "mixup 0.4": (["training.augmentation.mixup=0.4"], None),
    "mixup across modalities 0.2": (["training.augmentation.cross_modal_mixup=0.2"], None),
    "modality dropout 0.1": (["training.augmentation.modality_dropout=0.1"], None),
    "feature noise 0.3": (["training.augmentation.feature_noise=0.3"], None),
    "weak supervision": (["training.supervision=weak"], None),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("features", type=Path, help="what avel extract wrote")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--rows", help="names, with commas; all of them when left out")
parser.add_argument("--on", choices=("validation", "test"), default="test", help="measure there")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, required=True, help="a JSON file for the figures")


@contextmanager
def standing_in(name):
    """Replaces `avel` by a network of `networks.py`."""
    known = dict(networks.NETWORKS)
    if name:
        networks.NETWORKS["avel"] = NETWORKS[name]
    try:
        yield
    finally:
        networks.NETWORKS.update(known)


def measure(store, clips, row, seed, overrides):
    """Segment accuracy of each clip, [N], and the processor time of training."""
    own, network = ROWS[row]
    with tempfile.TemporaryDirectory() as folder, standing_in(network):
        probabilities, cost = trained_probabilities(
            store, clips, Path(folder), seed=seed, overrides=[*overrides, *own]
        )
    there = clips.targets >= 0  # [N, T]
    right = ((probabilities.argmax(axis=-1) == clips.targets) & there).sum(axis=1)  # [N]
    return {"right": right.tolist(), "seconds": there.sum(axis=1).tolist(), "cpu_s": cost}


def accuracy(runs):
    """Correct segments of each clip / mean length of a clip, averaged over seeds, [N].

    Its mean over clips is the segment accuracy.
    """
    right = np.mean([run["right"] for run in runs], axis=0)  # [N]
    return right / np.mean(runs[0]["seconds"])


def main():
    options = parser.parse_args()
    store = FeatureStore(options.features)
    clips = split_of(store, options.on)
    chosen = options.rows.split(",") if options.rows else list(ROWS)
    found = json.loads(options.out.read_text()) if options.out.is_file() else {}
    for seed in range(options.seeds):
        for row in chosen:
            runs = found.setdefault(row, {})
            if str(seed) not in runs:
                runs[str(seed)] = measure(store, clips, row, seed, options.set)
                options.out.write_text(json.dumps(found) + "\n")
                right = np.sum(runs[str(seed)]["right"]) / np.sum(runs[str(seed)]["seconds"])
                print(f"{row}, seed {seed}: {right:.4f}", flush=True)
    print(
        f"\n| {len(clips)} clips, {options.seeds} seeds | right seconds, % | over seeds | ", end=""
    )
    print("with the default against this | processor time, s |")
    print("|---|---|---|---|---|")
    for row in chosen:
        runs = [found[row][str(seed)] for seed in range(options.seeds)]
        by_seed = [np.sum(run["right"]) / np.sum(run["seconds"]) for run in runs]
        difference = ""
        if row != DEFAULT and len(found.get(DEFAULT, {})) >= options.seeds:
            default = [found[DEFAULT][str(seed)] for seed in range(options.seeds)]
            difference = percent(summary(accuracy(default) - accuracy(runs)), sign=True)
        cells = [
            percent(summary(accuracy(runs))),
            f"± {100 * np.std(by_seed, ddof=1) if len(runs) > 1 else 0:.1f}",
            difference,
            f"{np.mean([run['cpu_s'] for run in runs]):.0f}",
        ]
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
