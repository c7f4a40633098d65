"""Zero-shot localization of real clips with the audio backbone and with its teachers: step 5.

    python -m pipelines.distill.audioset_clips FOLDER... --mapping ave_classes.csv
        --yamnet DIR --mn04 DIR [--weights FILE] [--models NAME...] [--out RESULTS.json]

FOLDER has `annotations.csv` (video, label, start, end), or a folder of clips for each class.
MAPPING gives for each AVE class its YAMNet and ImageNet indices. The picture's evidence is that of
EfficientNet-Lite2, the sound's that of one audio model after the other; nothing is trained.

A class needs both at 0.05, as means over three seconds, and a geometric mean of 0.15; the best one
is the label of the second. Clips of no AVE class can only give false alarms. Intervals are 95 % of
a bootstrap over clips; `ratio` is the student's figure over that with YAMNet, on the same draws.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avel_tf.video import SAMPLE_RATE, decode_clip
from pipelines.distill.audio_corpus import Teacher
from pipelines.distill.audioset_corpus import SecondTeacher, yamnet_columns
from pipelines.distill.audioset_export import Teachers
from pipelines.distill.corpus import HELD_OUT_CLIPS

# Labels of AVSync15, VAS and VGGSound that mean an AVE class.
ALIASES = {
    "baby": "Baby cry, infant cry",
    "baby crying": "Baby cry, infant cry",
    "dog": "Bark",
    "dog barking": "Bark",
    "playing violin": "Violin, fiddle",
    "toilet flushing": "Toilet flush",
}
FLOOR, THRESHOLD = 0.05, 0.15
FRAMES_PER_SECOND = 2
REPETITIONS = 2_000
STUDENT = "audioset-distilled"


@dataclass(frozen=True)
class Mapping:
    """Columns of each class in the scores of both backbones.

    Args:
        names: AVE classes, C.
        audio: columns among AudioSet's 527 classes, of each.
        visual: columns among ImageNet's 1,000 classes, of each.
    """

    names: list[str]
    audio: list[list[int]]
    visual: list[list[int]]

    @classmethod
    def read(cls, path: Path, columns: np.ndarray) -> Mapping:
        """The classes of a table that both backbones know.

        Args:
            path: Table with ave_class, status, yamnet_indices and imagenet_indices.
            columns: index in YAMNet's scores of each of the 527 classes, -1 where it has none.
        """
        place = {int(index): column for column, index in enumerate(columns) if index >= 0}
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["status"] != "none"]
        return cls(
            [row["ave_class"] for row in rows],
            [[place[int(index)] for index in row["yamnet_indices"].split()] for row in rows],
            [_ranges(row["imagenet_indices"]) for row in rows],
        )

    def of_audio(self, scores: np.ndarray) -> np.ndarray:
        """Highest score of a class: `[T, 527]` to `[T, C]`."""
        return np.stack([scores[:, columns].max(1) for columns in self.audio], 1)

    def of_picture(self, scores: np.ndarray) -> np.ndarray:
        """Sum of the scores of a class: `[T, 1000]` to `[T, C]`."""
        return np.stack([scores[:, columns].sum(1) for columns in self.visual], 1)


def _ranges(text: str) -> list[int]:
    """Numbers of "151-268 271"."""
    bounds = [part.split("-") for part in text.split()]
    return [each for part in bounds for each in range(int(part[0]), int(part[-1]) + 1)]


@dataclass(frozen=True)
class LabelledClip:
    """A clip with what is annotated.

    Args:
        path: The file.
        label: AVE class, or "" for any other sound.
        start, end: of the event, in seconds.
        unheard: The student never heard it.
    """

    path: Path
    label: str
    start: float
    end: float
    unheard: bool


def read_clips(folder: Path, classes: list[str]) -> list[LabelledClip]:
    """Clips of a folder with `annotations.csv`, or with a folder for each class."""
    table = folder / "annotations.csv"
    if not table.is_file():
        found = sorted(folder.glob("*/*.mp4"))
        rows = [(str(path.relative_to(folder)), path.parent.name, 0.0, np.inf) for path in found]
        trained = False
    else:
        with open(table, newline="", encoding="utf-8") as file:
            rows = [
                (row["video"], row["label"], float(row["start"]), float(row["end"]))
                for row in csv.DictReader(file)
            ]
        trained = True
    clips = []
    for name, label, start, end in rows:
        label = ALIASES.get(label, label)
        label = label if label in classes else ""
        unheard = not trained or name in HELD_OUT_CLIPS
        clips.append(LabelledClip(folder / name, label, start, end, unheard))
    return clips


def mean_of_three(scores: np.ndarray) -> np.ndarray:
    """Mean over a second and its neighbours, `[T, C]`."""
    padded = np.pad(scores, ((1, 1), (0, 0)))
    counts = np.convolve(np.ones(len(scores)), np.ones(3), "same")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / counts[:, None]


def decide(visual: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Class of each second `[T]`, -1 for background, from evidence `[T, C]`."""
    visual, audio = mean_of_three(visual), mean_of_three(audio)
    enough = (visual >= FLOOR) & (audio >= FLOOR)
    evidence = np.where(enough, np.sqrt(visual * audio), 0.0)
    return np.where(evidence.max(1) >= THRESHOLD, evidence.argmax(1), -1)


def counts_of(clip: LabelledClip, found: np.ndarray, names: list[str]) -> np.ndarray:
    """Seconds of events, found, labelled, of other clips, and false alarms in other clips."""
    if not clip.label:
        alarms = int((found >= 0).sum())
        return np.array([0, 0, alarms, len(found), alarms])
    middle = np.arange(len(found)) + 0.5
    truth = (middle >= clip.start) & (middle < clip.end)
    hits = int((truth & (found == names.index(clip.label))).sum())
    return np.array([int(truth.sum()), hits, int((found >= 0).sum()), 0, 0])


def figures(counts: np.ndarray) -> np.ndarray:
    """Recall, precision and share of false-alarm seconds `[..., 3]` of counts `[..., 5]`."""
    events, hits, labelled, others, alarms = np.moveaxis(counts, -1, 0)
    parts = ((hits, events), (hits, labelled), (alarms, others))
    return np.stack([a / np.maximum(b, 1) for a, b in parts], -1)


def summary(counts: dict[str, np.ndarray]) -> dict[str, dict]:
    """Figures of each audio model, with intervals.

    Args:
        counts: of each model, `[clips, 5]`.
    """
    clips = len(next(iter(counts.values())))
    draws = np.random.default_rng(0).integers(clips, size=(REPETITIONS, clips))
    drawn = {name: figures(each[draws].sum(1)) for name, each in counts.items()}
    results: dict[str, dict] = {}
    for name, each in counts.items():
        values = figures(each.sum(0))
        low, high = np.percentile(drawn[name], [2.5, 97.5], axis=0)
        results[name] = {
            figure: [round(float(number), 3) for number in (values[k], low[k], high[k])]
            for k, figure in enumerate(("recall", "precision", "false_alarms"))
        } | {"seconds": dict(zip(("events", "hits", "labelled", "others", "alarms"),
                                 each.sum(0).tolist(), strict=True))}  # fmt: skip
    if {STUDENT, "YAMNet"} <= set(counts):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = drawn[STUDENT][:, :2] / drawn["YAMNet"][:, :2]
        low, high = np.nanpercentile(ratios, [2.5, 97.5], axis=0)
        value = figures(counts[STUDENT].sum(0))[:2] / figures(counts["YAMNet"].sum(0))[:2]
        results["ratio"] = {
            figure: [round(float(number), 3) for number in (value[k], low[k], high[k])]
            for k, figure in enumerate(("recall", "precision"))
        }
    return results


def audio_models(options: argparse.Namespace) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Models by name: seconds float32 `[T, 16000]` to scores `[T, 527]`."""
    from avel_tf.embeddings import audioset_distilled

    student = audioset_distilled.network()
    with np.load(options.weights or audioset_distilled.WEIGHTS) as arrays:
        student.set_weights([arrays[name].astype(np.float32) for name in sorted(arrays.files)])
    columns = columns_of(options)
    yamnet, mn04 = Teacher(options.yamnet), SecondTeacher(options.mn04)
    both = Teachers(options.yamnet, options.mn04)

    def of_yamnet(seconds: np.ndarray) -> np.ndarray:
        scores = yamnet(seconds)[1]
        return np.where(columns >= 0, scores[:, columns], 0.0)

    models = {
        "YAMNet": of_yamnet,
        "MN04-AS": lambda seconds: mn04(seconds)[1],
        "both": lambda seconds: 1 / (1 + np.exp(-both(seconds))),
        STUDENT: lambda seconds: np.asarray(student(seconds, training=False)["scores"]),
    }
    return {name: models[name] for name in options.models or models}


def columns_of(options: argparse.Namespace) -> np.ndarray:
    return yamnet_columns(
        options.yamnet.parent / "yamnet_class_map.csv", options.mn04 / "audioset_527.csv"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for name in ("mapping", "yamnet", "mn04"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="the packaged ones by default")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="all audio models by default")
    parser.add_argument("--out", type=Path, help="the figures, as JSON")
    options = parser.parse_args()

    from avel_tf.embeddings import efficientnet_lite2

    mapping = Mapping.read(options.mapping, columns_of(options))
    clips = [clip for folder in options.folders for clip in read_clips(folder, mapping.names)]
    lite2, models = efficientnet_lite2.pretrained(), audio_models(options)
    size = (efficientnet_lite2.SIZE, efficientnet_lite2.SIZE)
    counts: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for clip in clips:
        media = decode_clip(clip.path, size=size, frames_per_second=FRAMES_PER_SECOND)
        seen = np.stack(
            [
                np.asarray(lite2(frames / np.float32(255), training=False)["scores"]).mean(0)
                for frames in media.frames
            ]
        )  # [T, 1000]
        seconds = media.waveform.reshape(-1, SAMPLE_RATE)
        for name, model in models.items():
            found = decide(mapping.of_picture(seen), mapping.of_audio(model(seconds)))
            counts[name].append(counts_of(clip, found, mapping.names))
            print(clip.path.name, clip.label or "-", name, _line(found, mapping.names), flush=True)

    results = {}
    unheard = np.array([clip.unheard for clip in clips])
    for part, chosen in (("all clips", np.ones(len(clips), bool)), ("unheard clips", unheard)):
        results[part] = {
            "clips": int(chosen.sum()),
            **summary({name: np.stack(each)[chosen] for name, each in counts.items()}),
        }
    print(json.dumps(results, indent=1))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


def _line(found: np.ndarray, names: list[str]) -> str:
    return "; ".join(names[index] if index >= 0 else "." for index in found)


if __name__ == "__main__":
    main()
