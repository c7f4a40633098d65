"""Throughput of a feature store in training, in float32 and float16.

    python benchmarks/feature_store.py [--clips 3339] [--rounds 3] [--folder FOLDER]
    python benchmarks/feature_store.py --metrics FEATURES [--seeds 3] [--epochs 40]

The first form creates a store of clips of ten seconds with the widths of ResNet-152 and VGGish, by
default as many as AVE has for training, reads it, and trains `avel` from it, alternating with
`model.fit` on the same arrays in memory. Use processor time on shared machines. The second form
trains on a given store and on its float16 copy. Expect at least 90 % of the steps
of arrays in memory, see docs/design/performance.md and docs/design/embeddings.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from measuring import processor_seconds, timed

from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.evaluation.on_features import evaluate_features
from avel_tf.events.labels import Labels
from avel_tf.features.examples import Examples, load_examples
from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features
from avel_tf.models import ModelSettings, build
from avel_tf.training.fit import compile_model, fit
from avel_tf.training.run import probabilities_of
from avel_tf.training.settings import TrainingSettings

SECONDS = 10
RECIPE = Recipe(
    VisualRecipe("resnet", "none", frames_per_second=1, size=224, width=2048),
    AudioRecipe("vggish", "none", sample_rate=16_000, activation="relu", width=128),
)
LABELS = Labels([f"class {number}" for number in range(28)])
DTYPES = ("float32", "float16")
EPOCHS = 3


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=3_339)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; one in /tmp when left out")
    parser.add_argument("--metrics", type=Path, metavar="FEATURES")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.metrics:
            compare_metrics(FeatureStore(options.metrics), Path(name), options)
            return
        stores = {dtype: make_store(Path(name) / dtype, options.clips, dtype) for dtype in DTYPES}
        compare_reading(stores, Path(name), options.rounds)
        compare_training(stores, Path(name), options.rounds)


def make_store(folder: Path, clips: int, dtype: str) -> FeatureStore:
    """A store of random features, as sparse as after a ReLU; measures writing."""
    rng = np.random.default_rng(0)

    def records():
        for clip in range(clips):
            visual, audio = (
                np.maximum(rng.normal(size=(SECONDS, width)), 0).astype("float32")  # [T, D]
                for width in (RECIPE.visual.width, RECIPE.audio.width)
            )
            valid = np.ones(SECONDS, bool)
            yield str(clip), Features(visual, audio, valid), (), rng.integers(0, 29, SECONDS)

    with FeatureStoreWriter(
        folder, recipe=RECIPE, labels=LABELS, layout="ave", dtype=dtype
    ) as writer:
        writer.write_split("train", records(), expected=clips)
    return FeatureStore(folder)


def compare_reading(stores: dict[str, FeatureStore], scratch: Path, rounds: int) -> None:
    """One row for each way through a store, without a model."""
    batch_size = TrainingSettings().batch_size

    def parse(store: FeatureStore) -> None:
        for _ in store.dataset("train"):
            pass

    def load(store: FeatureStore, memory: float) -> Examples:
        return load_examples(store, "train", seconds=SECONDS, memory_bytes=memory, scratch=scratch)

    def epochs(examples: Examples) -> None:
        for _ in examples.batches(batch_size, seed=0, first_epoch=0, epochs=EPOCHS):
            pass

    work: dict[tuple[str, str], Callable[[], object]] = {}
    for dtype, store in stores.items():
        inside, outside = load(store, np.inf), load(store, 0)
        work[dtype, "parse"] = lambda store=store: parse(store)
        work[dtype, "unpack to memory"] = lambda store=store: load(store, np.inf)
        work[dtype, "unpack to the disk"] = lambda store=store: load(store, 0)
        work[dtype, f"{EPOCHS} epochs' batches from memory"] = lambda given=inside: epochs(given)
        work[dtype, f"{EPOCHS} epochs' batches from the disk"] = lambda given=outside: epochs(given)
    found = in_turn(work, rounds)
    clips = stores["float32"].count("train")
    print("| store | MB | reading | clips/s | processor ms per clip |\n|---|---|---|---|---|")
    for (dtype, what), times in found.items():
        size = sum(path.stat().st_size for path in stores[dtype].folder.iterdir()) / 1e6
        wall, work_ = (statistics.median(column) for column in zip(*times, strict=True))
        read = clips * (EPOCHS if "epochs" in what else 1)
        print(
            f"| {dtype} | {size:.0f} | {what} | {read / wall:,.0f} | {1e3 * work_ / read:.3f} |",
            flush=True,
        )


def in_turn(
    work: dict[tuple[str, str], Callable[[], object]], rounds: int
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Times of each task, alternating, after a warm-up round."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in work}
    for number in range(rounds + 1):
        for key, one in work.items():
            times = timed(one)
            if number:
                found[key].append(times)
    return found


def compare_training(stores: dict[str, FeatureStore], scratch: Path, rounds: int) -> None:
    """One row per source of batches: the first epoch with reading, and a later one."""
    settings = TrainingSettings()
    arrays = load_examples(stores["float32"], "train", seconds=SECONDS)
    steps = -(-len(arrays) // settings.batch_size)
    model = build(ModelSettings(), visual_width=2048, audio_width=128, classes=len(LABELS), seed=0)
    trained = compile_model(model, settings, steps)

    def fit(given: Examples | None) -> list[tuple[float, float]]:
        """Times of each epoch; the first begins with the call."""
        marks = [(time.perf_counter(), processor_seconds())]
        mark = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: marks.append(
                (time.perf_counter(), processor_seconds())
            )
        )
        if given is None:
            trained.fit(
                {"visual": arrays.visual, "audio": arrays.audio, "valid": arrays.valid},
                arrays.targets,
                sample_weight=arrays.valid.astype("float32"),
                batch_size=settings.batch_size,
                epochs=EPOCHS,
                callbacks=[mark],
                verbose=0,
            )
        else:
            trained.fit(
                given.batches(settings.batch_size, seed=0, first_epoch=0, epochs=EPOCHS),
                shuffle=False,
                steps_per_epoch=steps,
                epochs=EPOCHS,
                callbacks=[mark],
                verbose=0,
            )
        return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(marks, marks[1:], strict=False)]

    sources: dict[str, Callable[[], Examples | None]] = {
        "arrays in memory, `model.fit`": lambda: None
    }
    for dtype, store in stores.items():
        for place, memory in (("memory", np.inf), ("the disk", 0.0)):
            sources[f"{dtype} store, from {place}"] = lambda store=store, memory=memory: (
                load_examples(store, "train", seconds=SECONDS, memory_bytes=memory, scratch=scratch)
            )
    first: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    later: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    fit(None)  # the graph is built once
    for _ in range(rounds):
        for name, read in sources.items():
            held: list[Examples | None] = []
            reading = timed(lambda read=read, held=held: held.append(read()))
            times, *others = fit(held[0])
            first[name].append((reading[0] + times[0], reading[1] + times[1]))
            later[name].append(tuple(np.mean(others, axis=0)))
    peer = next(iter(sources))
    header = (
        "batches from",
        "first epoch, reading included, steps/s",
        "later, steps/s",
        "of the arrays'",
        "processor ms per step",
        "of the arrays'",
    )
    print(f"\n| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for name in sources:
        speed, _ = (steps / statistics.median(each) for each in zip(*first[name], strict=True))
        wall, work = (statistics.median(each) for each in zip(*later[name], strict=True))
        shares = [
            statistics.median(
                theirs[column] / ours[column]
                for theirs, ours in zip(later[peer], later[name], strict=True)
            )
            for column in range(2)
        ]
        print(
            f"| {name} | {speed:.1f} | {steps / wall:.1f} | {shares[0]:.0%} "
            f"| {1e3 * work / steps:.1f} | {shares[1]:.0%} |",
            flush=True,
        )


def compare_metrics(store: FeatureStore, folder: Path, options: argparse.Namespace) -> None:
    """One row per data type of training and test features."""
    half = copy_as_float16(store, folder / "half")
    measured: dict[tuple[str, str], list[dict[str, float]]] = {}
    changed = []
    for seed in range(options.seeds):
        settings = TrainingSettings(epochs=options.epochs, seed=seed)
        for dtype, learned in (("float32", store), ("float16", half)):
            keras.backend.clear_session()
            run = folder / f"{dtype}-{seed}"
            predict = probabilities_of(fit(learned, run, training=settings))
            labels: dict[str, dict[str, np.ndarray]] = {}
            for other, test in (("float32", store), ("float16", half)):
                kept = labels.setdefault(other, {})
                metrics = evaluate_features(
                    predict, test, "test", keep=lambda name, p, kept=kept: kept.update({name: p})
                )
                measured.setdefault((dtype, other), []).append(metrics)
            changed += [
                np.abs(labels["float32"][name] - labels["float16"][name]).max()
                for name in labels["float32"]
            ]
    print("| learned from | measured on | segment accuracy | event F1 | background recall |")
    print("|---|---|---|---|---|")
    for (learned_from, on), found in measured.items():
        cells = []
        for key in ("segment_accuracy", "event_f1", "background_recall"):
            values = [each[key] for each in found]
            cells.append(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
        print(f"| {learned_from} | {on} | {' | '.join(cells)} |")
    print(f"\nLargest change of a probability, same weights: {max(changed):.1e}")


def copy_as_float16(store: FeatureStore, folder: Path) -> FeatureStore:
    """The same records in float16."""

    def records(split: str):
        for record in store.dataset(split).as_numpy_iterator():
            features = Features(record["visual"], record["audio"], record["valid"])
            yield os.fsdecode(record["id"]), features, (), record["targets"]

    with FeatureStoreWriter(
        folder, recipe=store.recipe, labels=store.labels, layout=store.layout, dtype="float16"
    ) as writer:
        for split in ("train", "validation", "test"):
            writer.write_split(split, records(split), expected=store.count(split))
    return FeatureStore(folder)


if __name__ == "__main__":
    main()
