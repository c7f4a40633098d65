"""Accuracy of the pretrained localizer, as a page for its model card.

    python -m pipelines.distill.localizer_tables WORK CLIP... > avel_tf/pretrained/figures.md

WORK is the folder of `localizer.py`. The page lists the predictions of each CLIP, such as
`vas/dog/video_02754.mp4`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from avel_tf.export.manifest import read_manifest
from avel_tf.pretrained import MEASURED


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("shown", nargs="*", metavar="CLIP")
    options = parser.parse_args()
    measured = read_manifest(options.work / "shipped" / "1")[MEASURED]
    clips = {
        each["video"]: each for each in json.loads((options.work / "real_clips.json").read_text())
    }
    montage = measured["montage"]
    sections = {
        "Montage of held-out files": [
            f"Segment accuracy {montage['segment_accuracy']:.3f} over {montage['segments']:,} "
            f"seconds of {montage['videos']} clips (all background: "
            f"{montage['all_background']:.3f}). Precision and recall are of seconds.",
            "",
            *class_table(montage["per_class"]),
        ],
        "AVE classes with images and sounds that are not offered": dropped_table(
            measured["dropped"]
        ),
        "Real clips, and files unknown to the backbones": sums_table(measured),
        "Real clips in detail": clip_table([clips[name] for name in options.shown]),
    }
    print("# Accuracy of the pretrained localizer")
    print("\nWritten by `python -m pipelines.distill.localizer_tables`. docs/design/pretrained.md")
    print("explains it.")
    for heading, lines in sections.items():
        print(f"\n## {heading}\n", *lines, sep="\n")


def class_table(per_class: dict[str, dict[str, Any]]) -> list[str]:
    """Precision and recall of each class."""
    lines = ["| class | seconds | precision | recall | F1 |", "|---|---|---|---|---|"]
    for name, row in per_class.items():
        found = [row[key] for key in ("precision", "recall", "f1")]
        ratios = " | ".join("-" if each is None else f"{each:.2f}" for each in found)
        lines.append(f"| {name} | {row['support']} | {ratios} |")
    return lines


def dropped_table(dropped: dict[str, str]) -> list[str]:
    """Classes that are not offered, with the reason."""
    rows = [f"| {name} | {reason} |" for name, reason in dropped.items()]
    return ["| not offered | reason |", "|---|---|", *rows]


def sums_table(measured: dict[str, Any]) -> list[str]:
    """Results on real clips and on files unknown to the backbones."""
    names = {
        "real_clips": "real clips, all",
        "real_clips_unseen": "real clips unknown to the backbones",
        "montage_unseen": "montage of files unknown to the backbones",
    }
    lines = [
        "| measured on | clips with a known class: seconds | correct | other seconds | "
        "false alarms | predicted as | other clips | with a false alarm |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, name in names.items():
        offered, others = measured[key]["offered"], measured[key]["others"]
        taken = ", ".join(f"{label} {count}" for label, count in others["taken_for"].items())
        lines.append(
            f"| {name} | {offered['clips']}: {offered['seconds']} | "
            f"{share(offered['right'], offered['seconds'])} | {others['seconds']} | "
            f"{share(others['false_alarms'], others['seconds'])} | {taken or '-'} | "
            f"{others['clips']} | {others['alarmed_clips']} |"
        )
    return lines


def share(part: int, whole: int) -> str:
    """As in `14 (64 %)`."""
    return f"{part} ({part / whole:.0%})" if whole else str(part)


def clip_table(clips: Sequence[dict[str, Any]]) -> list[str]:
    """Predicted labels of a clip, equal neighbours joined."""
    lines = [
        "| clip | label | correct | predictions by second (mean score) |",
        "|---|---|---|---|",
    ]
    for clip in clips:
        right = sum(map(str.__eq__, clip["truth"], clip["answer"]))
        said, second = [], 0
        for answer, run in groupby(zip(clip["answer"], clip["score"], strict=True), lambda s: s[0]):
            scores = [score for _, score in run]
            span = f"{second}" if len(scores) == 1 else f"{second}-{second + len(scores) - 1}"
            said.append(f"{span}: {answer} ({sum(scores) / len(scores):.2f})")
            second += len(scores)
        lines.append(
            f"| `{clip['video']}` | {clip['label']} | {right} of {second} | {'; '.join(said)} |"
        )
    return lines


if __name__ == "__main__":
    main()
