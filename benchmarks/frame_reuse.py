"""Reuse of frames at several thresholds: share of reused frames, features, labels and time.

    python benchmarks/frame_reuse.py FOLDER... [--model SAVED_MODEL] [--still N] [--rate F]

Every clip below a folder is embedded once, frame by frame, by TensorFlow in float32; for each
threshold a frame gets the vector of the frame that is embedded in its place. Prints a table for
each folder, and with --still for N films of each kind of `still_films`: the share of reused frames,
the cosine of visual features to those without reuse (mean, and the lowest 1 %), the number of
segments whose label changes, and of those whose highest visual class score becomes another one. The
latter is stricter: the pretrained model labels most clips with one event. If the folder has an
`annotations.csv`, also the accuracy over the segments of clips whose class the model knows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avel_tf.datasets import load_dataset, segment_labels
from avel_tf.embeddings.settings import NEAR_THRESHOLD
from avel_tf.engines.reuse import FrameReuse, means
from avel_tf.engines.windows import predict_in_windows
from avel_tf.events.labels import Labels
from avel_tf.export.exported_model import ExportedModel
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.pretrained import find_pretrained
from avel_tf.utils.lazy_imports import load_tensorflow
from avel_tf.video.decode_request import BLOCK_SECONDS
from avel_tf.video.segment_loader import SegmentLoader
from benchmarks.still_films import write_still_films

THRESHOLDS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0, 20.0)
IMAGES = 10


class Block(NamedTuple):
    """Up to ten seconds of a clip.

    Attributes:
        places: For each threshold, the image of each frame, int [n, F].
        vectors: Embeddings of all frames, float32 [n*F, Dv].
        audio: float32 [n, Da].
    """

    places: list[np.ndarray]
    vectors: np.ndarray
    audio: np.ndarray


def blocks_of(path: Path, recipe: Any, backbones: Any) -> Iterator[Block]:
    """Decode and embed a clip."""
    reuses = [FrameReuse(), *map(FrameReuse, THRESHOLDS)]
    loader = SegmentLoader([recipe.visual.decode_request(str(path))], workers=1)
    for batch in loader.batches(BLOCK_SECONDS):
        images = batch.frames.reshape(-1, *batch.frames.shape[2:])
        vectors = [
            backbones.frames(images[start : start + IMAGES]).numpy()
            for start in range(0, len(images), IMAGES)
        ]
        places = []
        for reuse in reuses:
            selected = reuse.select(batch.frames)
            if selected is None:
                places.append(np.arange(len(images)).reshape(batch.frames.shape[:2]))
                continue
            place = selected[1]  # index among the selected images
            flat = place.ravel()
            first = np.searchsorted(flat, np.arange(flat[-1] + 1))  # index among all images
            places.append(first[place])
        yield Block(places, np.concatenate(vectors), backbones.audio(batch.waveform).numpy())


def truths(folder: Path, paths: list[Path], labels: Labels, words: Any) -> dict[Path, Any]:
    """Labels [T] of the clips of an `annotations.csv` whose class the model knows."""
    if not (folder / "annotations.csv").is_file():
        return {}
    known = {word.lower(): name for name in labels.names for word in [name, *words.get(name, [])]}
    found = {}
    for video in load_dataset(folder).videos:
        names = {known.get(each.label.lower()) for each in video.annotations}
        if names and None not in names:
            annotations = [
                replace(each, label=known[each.label.lower()]) for each in video.annotations
            ]
            found[Path(video.path)] = lambda seconds, given=annotations: segment_labels(
                given, labels, seconds
            )
    return found


def report(name: str, paths: list[Path], pipeline: InferencePipeline, truth: dict) -> None:
    """Print the table of some clips."""
    graphs, recipe = pipeline.model.graphs("none"), pipeline.model.recipe
    label = graphs.loaded.label
    rows = len(THRESHOLDS) + 1
    frames, embedded = 0, np.zeros(rows)
    cosines: list[list[float]] = [[] for _ in range(rows)]
    # Label and class of the highest visual score; the last row is without reuse.
    labels: list[list[np.ndarray]] = [[] for _ in range(rows + 1)]
    wanted: list[np.ndarray] = []

    def labels_of(visual: np.ndarray, audio: np.ndarray) -> np.ndarray:
        clip = (visual, audio, np.ones(len(visual), bool))
        (probabilities,) = predict_in_windows(
            lambda *columns: label(*columns).numpy(),
            [clip],
            window_seconds=pipeline.inference.window_seconds,
            hop_seconds=pipeline.inference.hop_seconds,
            batch_size=1,
        )
        label_index = pipeline.scores(probabilities).label_index(pipeline.labels.background)
        scores = visual[:, -recipe.visual.score_width :]
        return np.stack([label_index, scores.argmax(-1)])  # [2, T]

    for path in paths:
        blocks = list(blocks_of(path, recipe, graphs.backbones))
        if not blocks:
            continue
        audio = np.concatenate([block.audio for block in blocks])
        count = recipe.visual.frames_per_second
        every = [np.arange(len(block.vectors)).reshape(-1, count) for block in blocks]
        exact = np.concatenate(
            [means(block.vectors, each) for block, each in zip(blocks, every, strict=True)]
        )
        labels[rows].append(labels_of(exact, audio))
        frames += sum(len(block.vectors) for block in blocks)
        for row in range(rows):
            visual = np.concatenate([means(block.vectors, block.places[row]) for block in blocks])
            embedded[row] += sum(len(np.unique(block.places[row])) for block in blocks)
            lengths = np.linalg.norm(visual, axis=1) * np.linalg.norm(exact, axis=1)
            cosines[row] += list((visual * exact).sum(1) / np.maximum(lengths, 1e-9))
            labels[row].append(labels_of(visual, audio))
        known = truth.get(path)
        wanted.append(known(len(audio)) if known else np.full(len(audio), -1))
    right = np.concatenate(wanted)
    without = np.concatenate(labels[rows], axis=1)  # [2, T]
    events = int((without[0] != pipeline.labels.background).sum())

    def accuracy(found: np.ndarray) -> str:
        measured = right >= 0
        return f"{(found[0] == right)[measured].mean():.4f}" if measured.any() else ""

    print(
        f"\n{name}: {len(wanted)} clips, {len(right)} segments ({events} events), {frames} frames"
    )
    print("| threshold | reused | cosine, mean | lowest 1 % | labels | classes | accuracy |")
    print("|---|---|---|---|---|---|---|")
    print(f"| none | 0 % | 1 | 1 | 0 | 0 | {accuracy(without)} |")
    for row, threshold in enumerate(("exact", *THRESHOLDS)):
        found = np.concatenate(labels[row], axis=1)
        label_changes, class_changes = (found != without).sum(1)
        print(
            f"| {threshold} | {1 - embedded[row] / frames:.1%} | {np.mean(cosines[row]):.5f} "
            f"| {np.quantile(cosines[row], 0.01):.5f} | {label_changes} | {class_changes} "
            f"| {accuracy(found)} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--still", type=int, default=0, help="films of each kind")
    options = parser.parse_args()
    load_tensorflow()
    model = ExportedModel(options.model or find_pretrained())
    print(f"{model.name}; the setting `near` is {NEAR_THRESHOLD}")
    # All classes, because more labels can change.
    pipeline = InferencePipeline(model, classes=list(model.labels.names))
    for folder in options.folders:
        paths = sorted(folder.rglob("*.mp4"))
        truth = truths(folder, paths, pipeline.labels, model.class_words)
        report(str(folder), paths, pipeline, truth)
    if options.still:
        with tempfile.TemporaryDirectory() as folder:
            for kind, paths in write_still_films(Path(folder), options.still).items():
                report(kind, paths, pipeline, {})


if __name__ == "__main__":
    main()
