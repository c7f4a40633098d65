"""Measure the audio backbone with AudioSet scores: step 4.

    python -m pipelines.distill.audioset_measure --corpora DIR --labelled DIR --yamnet DIR
        --mn04 DIR [--out RESULTS.json]

- Linear probes on held-out sounds, as of `audio_measure.py`, of the backbone, of `compact` and of
  both teachers.
- Average precision of each labelled class on the held-out sounds of LABELLED, and how often the
  highest score of the classes there is the label, from the mean score of a sound's seconds.
  (These sounds were chosen with the teachers' scores, which flatters all.)
- Agreement of the scores with the mean of the teachers on the same seconds.

`benchmarks/zero_shot.py` measures it on real clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from pipelines.distill import sounds
from pipelines.distill.audio_corpus import Teacher
from pipelines.distill.audio_measure import PARTS, HeldOut, in_batches, measure
from pipelines.distill.audioset_corpus import SecondTeacher, log_odds
from pipelines.distill.audioset_export import Teachers, held_out_seconds


def by_label(scores: list[np.ndarray], labels: list[str], names: list[str]) -> dict[str, float]:
    """Mean average precision over the labels, and share of sounds whose label scores highest.

    Args:
        scores: of each sound's seconds, `[T, 527]`.
        labels: of each sound.
        names: of the 527 classes.
    """
    classes = sorted({label for label in labels if label in names})
    known = [place for place, label in enumerate(labels) if label in classes]
    columns = [names.index(name) for name in classes]
    means = np.stack([scores[place].mean(0)[columns] for place in known])  # [sounds, classes]
    truth = np.array([classes.index(labels[place]) for place in known])
    precisions = [average_precision_score(truth == k, means[:, k]) for k in range(len(classes))]
    return {
        "classes": len(classes),
        "sounds": len(known),
        "mean_average_precision": float(np.mean(precisions)),
        "top1": float((means.argmax(1) == truth).mean()),
    }


def agreement(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Agreement of log-odds `[N, 527]`: correlation within a second, first class, first five."""
    centred = [each - each.mean(1, keepdims=True) for each in (found, wanted)]
    norms = [np.linalg.norm(each, axis=1) for each in centred]
    best, wanted_best = found.argsort(1)[:, -5:], wanted.argmax(1)
    return {
        "correlation": float(np.mean((centred[0] * centred[1]).sum(1) / (norms[0] * norms[1]))),
        "top1": float((best[:, -1] == wanted_best).mean()),
        "top5": float((best == wanted_best[:, None]).any(1).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("corpora", "labelled", "yamnet", "mn04"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="the figures, as JSON")
    options = parser.parse_args()

    from avel_tf.embeddings import audioset_distilled, compact
    from avel_tf.vocabulary.class_table import audioset

    names = list(audioset())
    student, small = audioset_distilled.pretrained(), compact.audio_backbone()
    yamnet, mn04 = Teacher(options.yamnet), SecondTeacher(options.mn04)
    results: dict[str, dict] = {}

    def add(group: str, name: str, found: dict) -> None:
        results.setdefault(group, {})[name] = found
        print(group, name, found, flush=True)

    recordings = sounds.read_corpus(options.corpora, PARTS)
    embeddings = {
        "audioset-distilled": lambda seconds: student(seconds, training=False)["features"],
        "compact": lambda seconds: small(seconds, training=False),
        "YAMNet": lambda seconds: yamnet(seconds)[0],
        "MN04-AS": lambda seconds: mn04(seconds)[0],
    }
    for part in PARTS:
        held = HeldOut.of(recordings, part)
        for name, embed in embeddings.items():
            add(f"probe {part}", name, measure(in_batches(embed, held.seconds), held))

    labelled = sounds.read_labelled(options.labelled, "held-out")
    cut = [sounds.whole_seconds(each.waveform) for each in labelled]
    labels = [each.label for each in labelled]
    teachers = Teachers(options.yamnet, options.mn04)
    scores = {
        "audioset-distilled": lambda seconds: np.asarray(student(seconds)["scores"]),
        "MN04-AS": lambda seconds: mn04(seconds)[1],
        "both teachers": lambda seconds: 1 / (1 + np.exp(-teachers(seconds))),
    }
    for name, score in scores.items():
        add("labelled", name, by_label([score(each) for each in cut], labels, names))

    seconds = held_out_seconds(options.corpora, options.labelled, 1_500)
    found = log_odds(in_batches(scores["audioset-distilled"], seconds))
    add("agreement", "audioset-distilled", agreement(found, teachers(seconds)))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
