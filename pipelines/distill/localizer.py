"""A localizer that comes with avel-tf, from the corpora to `avel_tf/pretrained/1`.

    python -m pipelines.distill.localizer CORPORA CLIPS WORK --ship avel_tf/pretrained

Needs: CORPORA with `manifest.tsv`, `images.zip`, `audio.zip`; CLIPS, real clips with an
`annotations.csv`, which nothing is trained on or chosen by. Backbones: the project's own, or what
`--set embeddings.visual.module=... --set embeddings.audio.module=...` names.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from avel_tf.cli.main import main as avel
from avel_tf.datasets import load_dataset
from avel_tf.datasets.segment_labels import segment_labels
from avel_tf.events.labels import AVE_CLASSES, BACKGROUND
from avel_tf.export.manifest import read_manifest, with_hashes
from avel_tf.inference.localizer import Localizer
from avel_tf.pretrained import MEASURED
from pipelines.distill.corpus import HELD_OUT_CLIPS, Member
from pipelines.distill.material import class_of, kind_of, split_files, usable
from pipelines.distill.montage import make_montage

CONFIG = Path(__file__).with_name("localizer.yaml")
CLIPS = (2000, 300, 300)  # train, validation, test
UNSEEN_CLIPS = 100
LEAST_SECOND = 0.5  # shorter ones at the end of a clip are not counted

# The bar that a class must reach, on montage of files that it was not trained on, per second.
# Below five sounds to measure with, one of them decides; then nothing was measured.
LEAST_TEST_SOUNDS = 5
LEAST_PRECISION = 0.6
LEAST_RECALL = 0.6

# What the labels of real clips call the classes. Everything else in them is of no offered class.
REAL_NAMES = {
    "dog": "Bark",
    "dog barking": "Bark",
    "cat": "Cat",
    "playing acoustic guitar": "Acoustic guitar",
    "playing flute": "Flute",
    "playing violin": "Violin, fiddle",
}


def main() -> None:
    """The recipe, top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--ship", type=Path, metavar="FOLDER", help="put the model there, as 1/")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="a.b=c")
    options = parser.parse_args()
    overrides = [word for each in options.overrides for word in ("--set", each)]

    # 1. Classes with enough sounds to train on and to measure with.
    files = split_files(usable(options.corpora))
    classes = candidates(files["train"])
    dropped = too_few(files["test"], classes)
    classes = [name for name in classes if name not in dropped]

    # 2. Train on them; what falls below the bar is background from then on, until nothing does.
    for turn in range(len(classes)):
        data = options.work / f"montage-{turn}"
        if not (data / "annotations.csv").is_file():
            make_montage(options.corpora, data, classes, counts=CLIPS)
        run = options.work / f"run-{turn}"
        command("train", data, "--out", run, "--resume", "--config", CONFIG, *overrides)
        metrics = json.loads((run / "metrics.json").read_text())
        failed = below_bar(metrics["per_class"], classes)
        dropped.update(failed)
        classes = [name for name in classes if name not in failed]
        if not failed:
            break
    if len(classes) < 2:
        raise SystemExit(f"Nothing is left to offer: {dropped}")
    command("report", run)

    # 3. One SavedModel, measured on what had no say in anything above: real clips; and montage of
    #    files that no backbone has seen or heard either, where the manifest keeps some of a class.
    shutil.rmtree(options.work / "shipped", ignore_errors=True)
    command("export", run, "--out", options.work / "shipped")
    model = options.work / "shipped" / "1"
    localizer = Localizer(model)
    real = answers_on(localizer, options.clips)
    write_json(options.work / "real_clips.json", real)
    kept = usable(options.corpora, measuring=True)
    unseen = [name for name in candidates(kept) if name in classes]
    data = options.work / "montage-unseen"
    if not (data / "annotations.csv").is_file():
        counts = (0, 0, UNSEEN_CLIPS)
        make_montage(options.corpora, data, unseen, counts=counts, measuring=True)
    strange = answers_on(localizer, data)
    write_json(options.work / "montage-unseen.json", strange)

    # 4. What avel infer says on every run is sealed in with the model.
    manifest = read_manifest(model)
    manifest[MEASURED] = {
        "montage": {
            **{key: metrics[key] for key in ("videos", "segments", "segment_accuracy")},
            "all_background": metrics["baselines"]["all_background"]["segment_accuracy"],
            "per_class": {name: metrics["per_class"][name] for name in classes},
        },
        "montage_unseen": sums(strange, classes),
        "real_clips": sums(real, classes),
        "real_clips_unseen": sums([c for c in real if c["video"] in HELD_OUT_CLIPS], classes),
        "dropped": dropped,
    }
    write_json(model / "assets" / "manifest.json", with_hashes(manifest, model))
    print(json.dumps(manifest[MEASURED], indent=2))
    if options.ship:
        shutil.rmtree(options.ship / "1", ignore_errors=True)
        shutil.copytree(model, options.ship / "1")


def command(name: str, *words: str | Path) -> None:
    """Run one `avel` command."""
    print(f"$ avel {name}", *words, flush=True)
    code = avel([name, *map(str, words)])
    if code:
        raise SystemExit(code)


def candidates(files: Sequence[Member]) -> list[str]:
    """The AVE classes with both pictures and sounds, in AVE's order."""
    having = {(class_of(file), kind_of(file)) for file in files}
    return [name for name in AVE_CLASSES if {(name, "picture"), (name, "sound")} <= having]


def too_few(test: Sequence[Member], classes: Sequence[str]) -> dict[str, str]:
    """The classes whose test sounds are too few to measure with, and how few."""
    sounds = Counter(class_of(file) for file in test if kind_of(file) == "sound")
    return {
        name: f"{sounds[name]} test sounds; at least {LEAST_TEST_SOUNDS} are needed"
        for name in classes
        if sounds[name] < LEAST_TEST_SOUNDS
    }


def below_bar(per_class: dict[str, dict[str, Any]], classes: Sequence[str]) -> dict[str, str]:
    """The classes that cannot be told, and by how much they fail."""
    failed = {}
    for name in classes:
        precision = per_class[name]["precision"] or 0.0
        recall = per_class[name]["recall"] or 0.0
        if precision < LEAST_PRECISION or recall < LEAST_RECALL:
            failed[name] = (
                f"precision {precision:.2f}, recall {recall:.2f} on held-out montage; at least "
                f"{LEAST_PRECISION} and {LEAST_RECALL} are needed"
            )
    return failed


def answers_on(localizer: Localizer, folder: Path) -> list[dict[str, Any]]:
    """Predictions of the exported model for annotated clips.

    Args:
        localizer: The model.
        folder: A data set; names of classes as in `REAL_NAMES`, or the model's own. What the model
            does not know is background to it.

    Returns:
        For each clip its `video` and `label`, and `truth`, `answer` and `score` of each second.
    """
    labels = localizer.labels
    clips = []
    for video in load_dataset(folder).videos:
        result = localizer.localize(video.path)
        # A tail of a few hundredths of a second is nothing to be right or wrong about.
        seconds = [each for each in result.seconds if each.end - each.start >= LEAST_SECOND]
        known = [
            replace(each, label=REAL_NAMES.get(each.label, each.label))
            for each in video.annotations
        ]
        known = [each for each in known if each.label in labels]
        index_of = segment_labels(known, labels, math.ceil(result.duration or 0))
        clips.append(
            {
                "video": video.id,
                "label": "; ".join(each.label for each in video.annotations),
                "truth": [labels.name(index_of[int(each.start)]) for each in seconds],
                "answer": [each.label for each in seconds],
                "score": [round(each.score, 2) for each in seconds],
            }
        )
    return clips


def sums(clips: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Metrics of the model on clips.

    Returns:
        `offered`: clips, seconds and right seconds of the classes that the model knows, and of
        each class; `others`: clips with none of them, those of them in which the model named one
        all the same (`alarmed_clips`), and seconds and false alarms of all other seconds, by what
        they were taken for.
    """
    by_class = {name: {"clips": 0, "seconds": 0, "right": 0} for name in classes}
    others = {"clips": 0, "alarmed_clips": 0, "seconds": 0, "false_alarms": 0}
    taken_for: Counter[str] = Counter()
    for clip in clips:
        known = set(clip["truth"]) - {BACKGROUND}
        others["clips"] += not known
        others["alarmed_clips"] += not known and set(clip["answer"]) != {BACKGROUND}
        for name in known:
            by_class[name]["clips"] += 1
        for truth, answer in zip(clip["truth"], clip["answer"], strict=True):
            if truth != BACKGROUND:
                by_class[truth]["seconds"] += 1
                by_class[truth]["right"] += answer == truth
                continue
            others["seconds"] += 1
            if answer != BACKGROUND:
                others["false_alarms"] += 1
                taken_for[answer] += 1
    offered = {
        key: sum(row[key] for row in by_class.values()) for key in ("clips", "seconds", "right")
    }
    return {
        "offered": {**offered, "per_class": by_class},
        "others": {**others, "taken_for": dict(taken_for)},
    }


def write_json(path: Path, content: Any) -> None:
    """As `avel export` writes it."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
