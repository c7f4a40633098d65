"""Training examples from corrections, and the comparison of the present and the next model.

The features of the corrected videos are kept from their labelling, so only the head is trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.datasets.dataset import Annotation as Event
from avel_tf.datasets.segment_labels import segment_labels
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.datasets.splits import assign_splits
from avel_tf.events.labels import Labels
from avel_tf.serving.analysis import Analysis
from avel_tf.serving.annotations import NO_EVENT, Annotation

# Seconds around a correction that the person has seen, and that are trained on.
CONTEXT_SECONDS = 5.0
# Epochs unless the request gives another number: some minutes for hundreds of corrections.
EPOCHS = 30
# With fewer corrected stretches none is held out.
FEWEST_STRETCHES = 6
_HELD_OUT = 1 / 3
# Pairs of stretches drawn per stretch whose modalities are exchanged.
_EXCHANGES = 5
# T of the windows that the models label, as in training.
WINDOW_SECONDS = 10
# Score from which an unreviewed event of a class that is not taught is an example of background.
_CONFIDENT = 0.5


@dataclass(frozen=True)
class Request:
    """A request to train.

    Attributes:
        base: Folder of the exported model that is extended; the pretrained one when None.
        class_table: CSV file with further classes of the pretrained model.
        present: Folder of the model that is compared with; may be `base`.
        selected: Classes that the present model labels.
        folder: Folder of the versions of taught models.
        work: Temporary folder, removed at the end.
        epochs: Passes over the examples.
        corrected: For each corrected video: identifier, path of its analysis, annotations.
        others: The same of videos without corrections.
    """

    base: str | None
    class_table: str | None
    present: str
    selected: list[str]
    folder: str
    work: str
    epochs: int
    corrected: list[tuple[str, str, list[Annotation]]]
    others: list[tuple[str, str, list[Annotation]]]

    def save(self, path: Path) -> None:
        """Write the request."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Request:
        """Read a request."""
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("corrected", "others"):
            content[name] = [
                (video, analysis, [Annotation(**each) for each in rows])
                for video, analysis, rows in content[name]
            ]
        return cls(**content)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive seconds of a video with known labels.

    Attributes:
        name: Identifier of the video and first second.
        video: Identifier of the video.
        events: Events, in seconds from the start of the stretch.
        visual: float32 [T, Dv].
        audio: float32 [T, Da].
        valid: bool [T].
    """

    name: str
    video: str
    events: tuple[Event, ...]
    visual: np.ndarray
    audio: np.ndarray
    valid: np.ndarray


def taught_classes(rows: Sequence[Annotation]) -> list[str]:
    """Classes with at least one event that a person accepted, changed or added."""
    given = {each.label for each in rows if each.status in ("accepted", "changed", "added")}
    return sorted(given, key=str.casefold)


def seen_spans(rows: Sequence[Annotation], seconds: int) -> list[tuple[int, int]]:
    """Stretches of seconds around the corrections of a video, [start, end)."""
    spans: list[tuple[int, int]] = []
    for each in sorted(rows, key=lambda row: row.start):
        if each.status == "predicted":
            continue
        start = max(0, math.floor(each.start - CONTEXT_SECONDS))
        end = min(seconds, math.ceil(each.end + CONTEXT_SECONDS))
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        elif start < end:
            spans.append((start, end))
    return spans


def stretches_of(
    video: str, analysis: Analysis, rows: Sequence[Annotation], taught: Sequence[str]
) -> Iterator[Stretch]:
    """The corrected stretches of a video, labelled with the taught classes."""
    visual, audio, valid = (analysis.array(name) for name in ("visual", "audio", "valid"))
    events = [each for each in rows if each.status not in NO_EVENT and each.label in taught]
    for start, end in seen_spans(rows, len(valid)):
        part = slice(start, end)
        inside = tuple(
            Event(each.label, max(each.start - start, 0.0), min(each.end, end) - start)
            for each in events
            if each.start < end and each.end > start
        )
        yield Stretch(f"{video}#{start}", video, inside, visual[part], audio[part], valid[part])


def other_stretches(
    video: str, analysis: Analysis, rows: Sequence[Annotation], taught: Sequence[str]
) -> Iterator[Stretch]:
    """Confident events of other classes in a video without corrections, as background."""
    visual, audio, valid = (analysis.array(name) for name in ("visual", "audio", "valid"))
    for each in rows:
        if each.label in taught or (each.score or 0.0) < _CONFIDENT:
            continue
        start, end = math.floor(each.start), min(math.ceil(each.end), len(valid))
        part = slice(start, end)
        yield Stretch(f"{video}#{start}", video, (), visual[part], audio[part], valid[part])


def exchanged_stretches(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """The frames of one stretch with the audio of another, of other classes, as background.

    No event is both seen and heard in them. Without them a few corrections, which are mostly
    events, would teach that everything is one.
    """
    rng = np.random.default_rng(0)
    for number in range(len(stretches) * _EXCHANGES):
        first, second = (stretches[i] for i in rng.integers(len(stretches), size=2))
        classes = [{event.label for event in each.events} for each in (first, second)]
        if first is second or classes[0] & classes[1]:
            continue
        length = min(len(first.valid), len(second.valid))
        valid = first.valid[:length] & second.valid[:length]
        yield Stretch(
            f"exchanged#{number}", "", (), first.visual[:length], second.audio[:length], valid
        )


def held_out(stretches: Sequence[Stretch]) -> set[str]:
    """Names of the stretches that are held out to measure, of other videos where there are several.

    Returns:
        Names; empty if there are too few to spare any.
    """
    if len(stretches) < FEWEST_STRETCHES:
        return set()
    videos = {each.video for each in stretches}
    by_video = len(videos) >= FEWEST_STRETCHES

    def group(stretch: Stretch) -> str:
        return stretch.video if by_video else stretch.name

    labels: dict[str, set[str]] = {}
    for each in stretches:
        labels.setdefault(group(each), set()).update(event.label for event in each.events)
    settings = DatasetSettings(test_fraction=_HELD_OUT, validation_fraction=0.0)
    splits = assign_splits(labels, settings)
    return {each.name for each in stretches if splits[group(each)] == "test"}


def write_store(
    folder: Path, base: Any, taught: Sequence[str], stretches: Sequence[Stretch]
) -> None:
    """Write stretches as a feature store of training examples.

    Args:
        folder: Folder of the store.
        base: Model whose backbones made the features.
        taught: The classes.
        stretches: The examples.
    """
    from avel_tf.features.feature_store import FeatureStoreWriter
    from avel_tf.features.features import Features

    labels = Labels(taught)
    with FeatureStoreWriter(folder, recipe=base.recipe, labels=labels, layout="table") as writer:
        for split in ("train", "validation", "test"):
            chosen = stretches if split == "train" else ()
            records = (
                (
                    each.name,
                    Features(each.visual, each.audio, each.valid),
                    each.events,
                    segment_labels(each.events, labels, len(each.valid)),
                )
                for each in chosen
            )
            writer.write_split(split, records, expected=len(chosen))


def measure(
    stretches: Sequence[Stretch],
    run: Any,
    base: Any,
    present: Any,
    selected: Sequence[str],
    taught: Sequence[str],
) -> dict[str, Any]:
    """Accuracy per second of the present and the next model on held-out stretches.

    Args:
        stretches: Stretches that the run has not seen.
        run: The run.
        base: The model that the run extends.
        present: The model to compare with.
        selected: Classes that the present model labels.
        taught: Classes of the run.

    Returns:
        `held_out`, `present`, `next` and `difference` of the result of `teach`.
    """
    from avel_tf.engines.windows import predict_in_windows
    from avel_tf.evaluation.bootstrap import drawn_ratios, interval
    from avel_tf.evaluation.paired import DRAWS
    from avel_tf.events.class_selection import ClassSelection
    from avel_tf.export.extension import extend
    from avel_tf.inference.pipeline import select_classes
    from avel_tf.training.run import probabilities_of

    extension = extend(run, base)
    names = list(dict.fromkeys([*taught, *(n for n in selected if n in extension.labels.names)]))
    related = None
    if extension.columns:
        related = extension.columns.related([extension.labels.index(name) for name in names])
    graph = present.load_graphs().label
    models = {
        "present": (
            lambda *inputs: np.asarray(graph(*inputs)),
            select_classes(present, selected) or ClassSelection(present.labels, selected),
        ),
        "next": (
            probabilities_of(extension.head),
            ClassSelection(extension.labels, names, related),
        ),
    }
    clips = [(each.visual, each.audio, each.valid) for each in stretches]
    seconds = [int(each.valid.sum()) for each in stretches]
    right: dict[str, list[int]] = {}
    for model, (predict, selection) in models.items():
        probabilities = predict_in_windows(
            predict, clips, window_seconds=WINDOW_SECONDS, hop_seconds=WINDOW_SECONDS // 2
        )
        right[model] = [
            _right(each, _names(selection(rows).argmax(-1), selection.labels.names), taught)
            for each, rows in zip(stretches, probabilities, strict=True)
        ]
    drawn = drawn_ratios(
        {name: (counts, seconds) for name, counts in right.items()}, seed=0, draws=DRAWS
    )
    accuracy = {name: sum(counts) / max(sum(seconds), 1) for name, counts in right.items()}
    low, high = (None, None)
    if drawn["next"] is not None and drawn["present"] is not None:
        low, high = interval(drawn["next"] - drawn["present"])
    return {
        "held_out": {"stretches": len(stretches), "seconds": sum(seconds)},
        "present": {"accuracy": accuracy["present"]},
        "next": {"accuracy": accuracy["next"]},
        "difference": {
            "mean": accuracy["next"] - accuracy["present"],
            "low": low,
            "high": high,
        },
    }


def _right(stretch: Stretch, found: list[str], taught: Sequence[str]) -> int:
    """Number of valid seconds whose class was found."""
    classes = sorted({event.label for event in stretch.events})
    truth = _names(segment_labels(stretch.events, Labels(classes), len(found)), classes)
    # Nobody has judged the other classes that a model may find.
    judged = {*taught, *classes}
    shown = [name if name in judged else "" for name in found]
    agree = np.array([a == b for a, b in zip(shown, truth, strict=True)])
    return int((agree & stretch.valid).sum())


def _names(indices: np.ndarray, names: Sequence[str]) -> list[str]:
    """Names of classes by their index, empty for background."""
    return [*map([*names, ""].__getitem__, indices)]
