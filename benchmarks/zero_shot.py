"""Zero-shot localization of real clips: the rule of the pretrained localizer and simpler ones.

    python benchmarks/zero_shot.py FOLDER... [--visual MODULE] [--audio MODULE] [--classes NAMES]

FOLDER has `annotations.csv` (video, label, start, end), or a folder of clips for each class. Labels
are looked up in the class table; clips of other labels count for false alarms alone. Every label
of a class that shares backbone classes with the true one counts as correct, such as Drum and Drum
kit. Intervals are 95 % of a bootstrap over clips.

`--classes` gives the classes that are offered: names, `ave` for those of AVE, or all of the table.
As in `avel infer`, the others compete with them and become background, except related ones.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.extractor import load_extractor
from avel_tf.embeddings.settings import AudioSettings, EmbeddingSettings, VisualSettings
from avel_tf.events.labels import AVE_CLASSES
from avel_tf.models.zero_shot import FLOOR, THRESHOLD
from avel_tf.utils.text import split_names
from avel_tf.video.decode import clip_of
from avel_tf.vocabulary.class_table import ClassTable

# Labels of VGGSound, VAS and AVSync15 that are no name or word of the table.
ALIASES = {
    "baby": "Baby cry, infant cry",
    "baby crying": "Baby cry, infant cry",
    "canary calling": "Bird vocalization, bird call, bird song",
    "cap gun shooting": "Gunshot, gunfire",
    "chicken crowing": "Crowing, cock-a-doodle-doo",
    "dog": "Bark",
    "dog barking": "Bark",
    "drum": "Drum",
    "frog croaking": "Frog",
    "gun": "Gunshot, gunfire",
    "hammering": "Hammer",
    "lions roaring": "Roaring cats (lions, tigers)",
    "machine gun shooting": "Machine gun",
    "people cheering": "Applause",
    "playing bass drum": "Bass drum",
    "playing bongo": "Drum",
    "toilet flushing": "Toilet flush",
    "waterfall burbling": "Waterfall",
}
REPETITIONS = 1_000


@dataclass(frozen=True)
class Example:
    """Evidence of one clip.

    Args:
        path: The clip.
        label: Its label, as annotated.
        truth: Whether the event is annotated in each second, bool [T].
        visual, audio: Scores of each class of the table, float32 [T, C].
        thing: Index of the label in the table, -1 if it has none.
    """

    path: Path
    label: str
    truth: np.ndarray
    visual: np.ndarray
    audio: np.ndarray
    thing: int


def annotated(folder: Path) -> list[tuple[Path, str, float, float]]:
    """Clips of a folder with label, start and end."""
    table = folder / "annotations.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as file:
            return [
                (folder / row["video"], row["label"], float(row["start"]), float(row["end"]))
                for row in csv.DictReader(file)
            ]
    return [(path, path.parent.name, 0.0, np.inf) for path in sorted(folder.glob("*/*.mp4"))]


def look_up(table: ClassTable, label: str) -> int:
    name = ALIASES.get(label, re.sub("^playing ", "", label))
    try:
        return table.names.index(table.find(name).name)
    except ValueError:
        return -1


def read_examples(
    folders: list[Path], table: ClassTable, embeddings: EmbeddingSettings
) -> tuple[list[Example], ClassColumns]:
    extractor = load_extractor(embeddings)
    recipe = extractor.recipe
    columns = ClassColumns.of(
        recipe,
        [table.indices(each, recipe.visual.vocabulary) for each in table],
        [table.indices(each, recipe.audio.vocabulary) for each in table],
    )
    examples = []
    for folder in folders:
        for path, label, start, end in annotated(folder):
            clip = clip_of(recipe.visual.decode_request(path))
            visual, audio = extractor(clip.frames[None], clip.waveform[None])
            seconds = np.arange(len(clip.valid)) + 0.5
            truth = (seconds >= start) & (seconds < end) & clip.valid
            evidence = columns.evidence(visual.numpy()[0], audio.numpy()[0])
            examples.append(Example(path, label, truth, *evidence, look_up(table, label)))
    return examples, columns


def mean_of_three(scores: np.ndarray) -> np.ndarray:
    """Mean over a second and its neighbours, [T, C]."""
    counts = np.convolve(np.ones(len(scores)), np.ones(3), "same")
    return (
        np.stack([np.convolve(column, np.ones(3), "same") for column in scores.T], 1)
        / (counts[:, None])
    )


def geometric(visual: np.ndarray, audio: np.ndarray, floor: float = 0.0) -> np.ndarray:
    enough = (visual >= floor) & (audio >= floor)
    return np.where(enough, np.sqrt(visual * audio), 0.0)


RULES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "sound alone, mean of 3 s": lambda v, a: mean_of_three(a),
    "picture alone, mean of 3 s": lambda v, a: mean_of_three(v),
    "geometric mean a second": geometric,
    "geometric mean, means of 3 s": lambda v, a: geometric(mean_of_three(v), mean_of_three(a)),
    f"the same, each at least {FLOOR}": lambda v, a: geometric(
        mean_of_three(v), mean_of_three(a), FLOOR
    ),
}
# Those of one modality need a threshold of their own; it is set on the other half of the clips.
CROSSED = list(RULES)[:2]


def decisions(evidence: np.ndarray, threshold: float) -> np.ndarray:
    """Index of the class in each second, -1 for background, [T]."""
    best = evidence.argmax(1)
    return np.where(evidence.max(1) >= threshold, best, -1)


def counts_of(
    example: Example, found: np.ndarray, correct: np.ndarray, offered: np.ndarray
) -> np.ndarray:
    """Event seconds, hits, seconds labelled, hits of any label, other seconds, false alarms."""
    found = np.where(np.isin(found, np.flatnonzero(offered)), found, -1)
    known = example.thing >= 0 and bool((correct[example.thing] & offered).any())
    right = np.zeros(len(found), bool)
    if known:
        right = (found >= 0) & correct[example.thing][np.maximum(found, 0)]
    truth = example.truth if known else np.zeros(len(found), bool)
    if known:
        # The annotations say when the event is there; what else is there, nobody said.
        return np.array([truth.sum(), (right & truth).sum(), (found >= 0).sum(), right.sum(), 0, 0])
    alarms = (found >= 0).sum()
    return np.array([0, 0, alarms, 0, len(found), alarms])


def figures(counts: np.ndarray) -> tuple[float, float, float]:
    """Recall, precision and share of false alarms."""
    events, hits, labelled, right, others, alarms = counts.sum(0)
    return hits / max(events, 1), right / max(labelled, 1), alarms / max(others, 1)


def with_interval(counts: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    drawn = np.array(
        [figures(counts[rng.integers(len(counts), size=len(counts))]) for _ in range(REPETITIONS)]
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return " | ".join(
        f"{value:.3f} [{a:.2f}, {b:.2f}]"
        for value, a, b in zip(figures(counts), low, high, strict=True)
    )


def best_threshold(evidences: list[np.ndarray], measure: Callable[[float], np.ndarray]) -> float:
    """Threshold of the highest F1."""
    values = np.unique(np.concatenate([each.max(1) for each in evidences]).round(2))

    def f1(threshold: float) -> float:
        recall, precision, _ = figures(measure(threshold))
        return 2 * recall * precision / max(recall + precision, 1e-9)

    return max(values, key=f1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--visual", default="efficientnet-lite2", metavar="MODULE")
    parser.add_argument("--audio", default="audioset-distilled", metavar="MODULE")
    parser.add_argument("--frames-per-second", type=int, default=2)
    parser.add_argument("--classes", default="all")
    parser.add_argument("--details", action="store_true", help="every clip and class")
    options = parser.parse_args()

    table = ClassTable.load()
    embeddings = EmbeddingSettings(
        visual=VisualSettings(options.visual, frames_per_second=options.frames_per_second),
        audio=AudioSettings(options.audio, activation="none"),
        scores=True,
    )
    examples, columns = read_examples(options.folders, table, embeddings)
    names = {"all": table.names, "ave": AVE_CLASSES}.get(options.classes)
    offered = np.isin(table.names, names or split_names(options.classes, table.names))
    competing = offered | ~columns.related(np.flatnonzero(offered).tolist())
    examples = [
        replace(each, visual=each.visual * competing, audio=each.audio * competing)
        for each in examples
    ]
    correct = np.stack([columns.related([index]) for index in range(len(table))])
    known = [each for each in examples if each.thing >= 0 and offered[each.thing]]
    print(
        f"{len(examples)} clips, {len(known)} of offered classes "
        f"({sum(each.truth.sum() for each in known)} event seconds); {offered.sum()} classes"
    )
    print("| evidence | recall | precision | false alarms in other clips |\n|---|---|---|---|")

    def measure(evidences: list[np.ndarray], threshold: float, which: range) -> np.ndarray:
        return np.array(
            [
                counts_of(examples[i], decisions(evidences[i], threshold), correct, offered)
                for i in which
            ]
        )

    rows: dict[str, np.ndarray] = {}
    everything = range(len(examples))
    for name, rule in RULES.items():
        evidences = [rule(each.visual, each.audio) for each in examples]
        if name in CROSSED:
            halves = [everything[0::2], everything[1::2]]
            parts = []
            for fitted, asked in (halves, halves[::-1]):
                threshold = best_threshold(
                    [evidences[i] for i in fitted],
                    partial(measure, evidences, which=fitted),
                )
                parts.append(measure(evidences, threshold, asked))
            rows[name] = np.concatenate(parts)
        else:
            rows[name] = measure(evidences, THRESHOLD, everything)
        print(f"| {name} | {with_interval(rows[name])} |", flush=True)

    rule = RULES[list(RULES)[-1]]
    of = rows[list(RULES)[-1]].sum(0)[1]
    for what in ("pictures", "sound"):
        hits = 0
        for place, each in enumerate(examples):
            other = examples[(place + 7) % len(examples)]
            length = min(len(each.truth), len(other.truth))
            seen, heard = (other, each) if what == "pictures" else (each, other)
            evidence = rule(seen.visual[:length], heard.audio[:length])
            swapped = replace(each, truth=each.truth[:length])
            hits += counts_of(swapped, decisions(evidence, THRESHOLD), correct, offered)[1]
        print(f"hits left with another clip's {what}: {hits} of {of}")
    if options.details:
        print_details(
            examples,
            [decisions(rule(e.visual, e.audio), THRESHOLD) for e in examples],
            correct,
            offered,
            table.names,
        )


def spans(labels: Iterable[int], names: Sequence[str]) -> str:
    """Seconds of each label in words, such as `0-3 Bark; 5-6 Cat`."""
    texts, start = [], 0
    for index, group in groupby(labels):
        end = start + len(list(group))
        if index >= 0:
            texts.append(f"{start}-{end} {names[index]}")
        start = end
    return "; ".join(texts) or "-"


def print_details(
    examples: list[Example],
    found: list[np.ndarray],
    correct: np.ndarray,
    offered: np.ndarray,
    names: Sequence[str],
) -> None:
    """Print the labels of every clip, the figures of every class, and the most frequent errors."""
    wrong: Counter[str] = Counter()
    by_class: dict[str, list[np.ndarray]] = {}
    print("| clip | annotation | heard | seen | label |\n|---|---|---|---|---|")
    for each, labels in zip(examples, found, strict=True):
        kept = np.where(np.isin(labels, np.flatnonzero(offered)), labels, -1)
        senses = [decisions(mean_of_three(scores), FLOOR) for scores in (each.audio, each.visual)]
        cells = [spans(indices, names) for indices in (*senses, kept)]
        print(f"| {each.path.parent.name}/{each.path.stem} | {each.label} | {' | '.join(cells)} |")
        if each.thing >= 0 and offered[each.thing]:
            counts = counts_of(each, labels, correct, offered)
            by_class.setdefault(names[each.thing], []).append(counts)
        for index in kept[kept >= 0]:
            if each.thing < 0 or not correct[each.thing][index]:
                wrong[names[index]] += 1
    print("| class | clips | hits / event seconds | labelled otherwise |\n|---|---|---|---|")
    for name, rows in by_class.items():
        events, hits, labelled, right, *_ = np.sum(rows, axis=0)
        print(f"| {name} | {len(rows)} | {hits} / {events} | {labelled - right} |")
    print("wrong seconds:", wrong.most_common(15))


if __name__ == "__main__":
    main()
