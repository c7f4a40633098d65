"""Visual vectors against visual maps with audio-guided spatial attention.

    avel extract hard --out hard-vectors --config pipelines/compact.yaml \\
        --set data.feature_dtype=float16
    avel extract hard --out hard-maps --config pipelines/compact.yaml \\
        --set data.feature_dtype=float16 --set embeddings.visual.maps=true
    python benchmarks/accuracy/maps.py hard-vectors hard-maps --set training.epochs=40 \\
        --out maps.json

Both stores have the same clips (benchmarks/accuracy/hard_set.py). Each row is trained on the
training split, keeps the epoch that is best on validation, and is evaluated once on test. Finished
runs are stored in the JSON file and not repeated. Prints a Markdown table: segment accuracy with an
interval over clips of the mean over seeds, the paired difference to vectors, the processor time of
a training, and the size of the features.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ablation import DEFAULT, accuracy, measure
from clips import split_of
from intervals import percent, summary

from avel_tf.features.feature_store import FeatureStore

# Row: which of the two stores, and settings after --set.
ROWS = {
    "vectors": ("vectors", []),
    "maps, places averaged": ("maps", []),
    "maps, sound picks places": ("maps", ["model.spatial_attention=true"]),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("vectors", type=Path, help="features of one vector per second")
parser.add_argument("maps", type=Path, help="features that are maps")
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--on", choices=("validation", "test"), default="test", help="measure there")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
parser.add_argument("--out", type=Path, required=True, help="a JSON file for the figures")


def megabytes(store):
    """Size of a store's shards, in 10^6 bytes."""
    return sum(path.stat().st_size for path in store.folder.glob("*.tfrecord")) / 1e6


def main():
    options = parser.parse_args()
    stores = {"vectors": FeatureStore(options.vectors), "maps": FeatureStore(options.maps)}
    clips = {name: split_of(store, options.on) for name, store in stores.items()}
    found = json.loads(options.out.read_text()) if options.out.is_file() else {}
    for seed in range(options.seeds):
        for row in ROWS:
            runs = found.setdefault(row, {})
            if str(seed) not in runs:
                name, settings = ROWS[row]
                overrides = [*options.set, *settings]
                runs[str(seed)] = measure(stores[name], clips[name], DEFAULT, seed, overrides)
                options.out.write_text(json.dumps(found) + "\n")
                right = np.sum(runs[str(seed)]["right"]) / np.sum(runs[str(seed)]["seconds"])
                cost = runs[str(seed)]["cpu_s"]
                print(f"{row}, seed {seed}: {right:.4f}, {cost:.0f} s", flush=True)
    print(
        f"\n| {len(clips['maps'])} clips, {options.seeds} seeds | right seconds, % | over seeds | "
        "against vectors | processor time, s | features, MB |"
    )
    print("|---|---|---|---|---|---|")
    by_row = {row: [found[row][str(seed)] for seed in range(options.seeds)] for row in ROWS}
    for row, runs in by_row.items():
        by_seed = [np.sum(run["right"]) / np.sum(run["seconds"]) for run in runs]
        difference = accuracy(runs) - accuracy(by_row["vectors"])
        cells = [
            percent(summary(accuracy(runs))),
            f"± {100 * np.std(by_seed, ddof=1) if len(runs) > 1 else 0:.1f}",
            percent(summary(difference), sign=True) if difference.any() else "",
            f"{np.mean([run['cpu_s'] for run in runs]):.0f}",
            f"{megabytes(stores[ROWS[row][0]]):.0f}",
        ]
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
