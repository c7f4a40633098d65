"""Joins real pictures and real sounds into labelled clips: what a localizer is trained on.

    python -m pipelines.distill.montage CORPORA OUT --classes Bark Cat "Violin, fiddle"

An event is the sound of a class over pictures of that class. Around it lie decoys, as in avel
demo: the picture without its sound, the sound without its picture, either with something else in
the other sense. Whatever is of no offered class is background, seen and heard or not; half of it is
what is easily taken for a class: other animals, other instruments. No picture and no sound is in
two splits. Writes `annotations.csv` and `videos/<split>/<number>.mp4`.

Takes: 0.12 s of processor time a clip.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np

from avel_tf.synthesis.clip_plan import ClipPlan, plan_clip
from avel_tf.synthesis.writer import write_video
from pipelines.distill.material import (
    FAMILIES,
    OTHER,
    SPLITS,
    Material,
    family_of,
    split_files,
    usable,
)
from pipelines.distill.montage_pictures import look
from pipelines.distill.montage_sound import listen

Range = tuple[float, float]


@dataclass(frozen=True)
class MontageSettings:
    """Settings of montage clips; pairs are minimum and maximum.

    Args:
        seconds: length of a clip, T.
        size: height and width of the picture in pixels.
        frame_rate: pictures per second.
        other_share: share of clips that are about something of no offered class.
        kin_share: share of clips in which all that is of no offered class is of one family: that
            of the clip's class, where it has one.
        shortest_event: in seconds; the longest fills the clip.
        background_clip_probability: share of the rest in which sound and picture never agree.
        decoy_probability: chance that a stretch of background holds a decoy, not nothing.
        late: how many seconds a sound or a picture may come late, or go early, in its second.
        shot: how long one picture is shown, seconds.
        window: height of what is shown of a picture, as a share of all that fits.
        aspect: width over height of what is shown, which is squeezed into a square as video is.
        inset_probability: chance that a picture stands small before another one.
        inset: its height, as a share of the picture's.
        loudness: quietest and loudest sound, dB relative to full scale.
        signal_to_noise: how far what lies under it is quieter, dB.
        tilt: dullest and brightest colouring of a sound, dB per octave.
        speed: how fast a sound is played.
        crf: quality of the pictures, as x264 counts it.
    """

    seconds: int = 10
    size: int = 160
    frame_rate: float = 4.0  # at 2 embedded pictures a second, more would not be looked at
    other_share: float = 0.35
    kin_share: float = 0.5
    shortest_event: int = 2
    background_clip_probability: float = 0.1
    decoy_probability: float = 0.85
    late: Range = (0.0, 0.3)
    shot: Range = (1.5, 7.0)
    window: Range = (0.65, 1.0)
    aspect: Range = (0.75, 1.8)
    inset_probability: float = 0.3
    inset: Range = (0.45, 0.85)
    loudness: Range = (-32.0, -14.0)
    signal_to_noise: Range = (3.0, 30.0)
    tilt: Range = (-2.0, 2.0)
    speed: Range = (0.93, 1.07)
    crf: Range = (20, 30)


def plan(
    index: int, classes: Sequence[str], settings: MontageSettings, seed: Sequence[int]
) -> ClipPlan:
    """Visible and audible classes of every second.

    `OTHER`, and each of `FAMILIES`, is whatever is of no offered class.
    """
    rng = np.random.default_rng([*seed, 0])
    name = classes[index % len(classes)]
    about_other = rng.random() < settings.other_share
    other = OTHER
    if rng.random() < settings.kin_share:
        # A clip of something else has its sound and its picture of one family, too: a cello seen
        # and heard is what a violin must be told from.
        other = (None if about_other else family_of(name)) or str(rng.choice(FAMILIES))
    valid_decoys = list(classes) if about_other else [each for each in classes if each != name]
    if not about_other:
        valid_decoys += [other] * max(1, len(valid_decoys))  # as often as all that is offered
    return plan_clip(
        rng,
        other if about_other else name,
        valid_decoys,
        seconds=settings.seconds,
        shortest_event=settings.shortest_event,
        background_clip_probability=settings.background_clip_probability,
        decoy_probability=settings.decoy_probability,
    )


@cache
def _material(corpora: Path, split: str, classes: tuple[str, ...], measuring: bool) -> Material:
    files = usable(corpora, measuring=measuring)
    return Material(corpora, files if measuring else split_files(files)[split], classes)


def _write_clip(
    task: tuple[str, int],
    *,
    corpora: Path,
    out: Path,
    classes: tuple[str, ...],
    seed: int,
    settings: MontageSettings,
    measuring: bool,
) -> list[tuple[str, str, object, object, str]]:
    """One clip and its rows of `annotations.csv`."""
    split, index = task
    name = (seed, SPLITS.index(split), index)
    truth = plan(index, classes, settings, name)
    material = _material(corpora, split, classes, measuring)
    video = f"videos/{split}/{index:05d}.mp4"
    crf = np.random.default_rng([*name, 3]).uniform(*settings.crf)
    write_video(
        out / video,
        look(truth, material, settings, name),
        listen(truth, material, settings, name),
        frame_rate=settings.frame_rate,
        crf=round(crf),
    )
    events = [event for event in truth.events if event.label in classes]
    if not events:
        return [(video, "", "", "", split)]
    return [(video, event.label, event.start, event.end, split) for event in events]


def make_montage(
    corpora: Path,
    out: Path,
    classes: Sequence[str],
    *,
    counts: Sequence[int],
    seed: int = 0,
    settings: MontageSettings | None = None,
    measuring: bool = False,
    workers: int = 2,
) -> Path:
    """Write a data set of montage clips; equal seeds make equal bytes, whatever `workers`.

    Args:
        corpora: A folder with `manifest.tsv`, `images.zip` and `audio.zip`.
        out: The folder to write into.
        classes: The classes that are offered.
        counts: Clips for training, validation and test.
        seed: Names the data set.
        settings: How clips look and sound.
        measuring: Of the files that the manifest keeps for measuring; they are not split further,
            so `counts` should ask for test clips alone.
        workers: Processes that make them; 1 makes them in this one.

    Returns:
        `out`, in the layout that every command takes as DATA.
    """
    for split in SPLITS:
        (out / "videos" / split).mkdir(parents=True, exist_ok=True)
    tasks = [
        (split, index)
        for split, count in zip(SPLITS, counts, strict=True)
        for index in range(count)
    ]
    write = partial(
        _write_clip,
        corpora=Path(corpora).resolve(),
        out=out,
        classes=tuple(classes),
        seed=seed,
        settings=settings or MontageSettings(),
        measuring=measuring,
    )
    if workers == 1:
        rows = [row for task in tasks for row in write(task)]
    else:
        with ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=cv2.setNumThreads,
            initargs=(1,),  # the workers are the parallelism
        ) as pool:
            rows = [row for found in pool.map(write, tasks, chunksize=8) for row in found]
    # Last, so that a folder with annotations is complete.
    with open(out / "annotations.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["video", "label", "start", "end", "split"])
        table.writerows(rows)
    return out


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", nargs="+", required=True)
    parser.add_argument("--counts", nargs=3, type=int, default=(1000, 150, 300), metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    make_montage(
        options.corpora,
        options.out,
        options.classes,
        counts=options.counts,
        seed=options.seed,
        workers=options.workers,
    )


if __name__ == "__main__":
    main()
