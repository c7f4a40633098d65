"""Synthetic data sets: labelled clips of drawn frames and synthesised audio.

An event is both audible and visible. Most of the remaining clip is a decoy: the object without its
sound, the sound without its object, or either with another class in the other modality. Neither
modality alone shows where an event begins and ends.
"""

from __future__ import annotations

import csv
import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avel_tf.synthesis.clip_plan import (
    ClipPlan,
    LabelledSpan,
    add_distractors,
    add_second_event,
    plan_clip,
)
from avel_tf.synthesis.event_classes import ALL_CLASSES, EVENT_CLASSES, valid_decoys
from avel_tf.synthesis.scene import Scene
from avel_tf.synthesis.writer import write_video
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.text import did_you_mean

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SynthesisSettings:
    """Settings of synthetic clips.

    Args:
        seconds: length of a clip, T; AVE's clips have 10.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        frame_rate: frames per second.
        classes: names from `ALL_CLASSES`.
        object_height: smallest and largest height of an object, relative to the frame.
        shortest_event: shortest event in seconds; the longest fills the clip.
        background_clip_probability: share of clips without an event.
        decoy_probability: probability of a decoy in each stretch of background.
        loudness: lowest and highest level of an event, dB relative to full scale.
        signal_to_noise: lowest and highest ratio of event to background noise, dB.
        picture_noise: least and most camera noise, standard deviation in grey levels of 255.
        bystander_probability: share of clips with a second object that is never audible.
        off_screen_probability: share of clips with a second sound whose object is never visible.
        second_event_probability: share of clips with a second event of another class, which may
            overlap the first, for multi-label models.
        occlusion: smallest and largest share of the object's width hidden by a pillar.
        music_probability: share of clips with background music.
        crf: constant rate factor of x264.
        preset: speed of x264; faster ones make larger files.
        audio_bit_rate: bits per second of the audio.
    """

    seconds: int = 10
    width: int = 240
    height: int = 180
    frame_rate: float = 10.0
    classes: tuple[str, ...] = tuple(EVENT_CLASSES)
    object_height: tuple[float, float] = (0.25, 0.6)
    shortest_event: int = 3
    background_clip_probability: float = 0.08
    decoy_probability: float = 0.95
    loudness: tuple[float, float] = (-24.0, -12.0)
    signal_to_noise: tuple[float, float] = (12.0, 32.0)
    picture_noise: tuple[float, float] = (0.5, 2.5)
    bystander_probability: float = 0.0
    off_screen_probability: float = 0.0
    second_event_probability: float = 0.0
    occlusion: tuple[float, float] = (0.0, 0.0)
    music_probability: float = 0.0
    crf: int = 29
    preset: str = "veryfast"
    audio_bit_rate: int = 48_000

    def __post_init__(self) -> None:
        for name in ("seconds", "width", "height", "frame_rate", "shortest_event"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0. Received: {getattr(self, name)}.")
        for name in (
            "background_clip_probability", "decoy_probability", "bystander_probability",
            "off_screen_probability", "second_event_probability", "music_probability",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be a probability from 0 to 1. Received: {getattr(self, name)}."
                )
        for name in ("object_height", "loudness", "signal_to_noise", "picture_noise", "occlusion"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest). Received: ({low}, {high}).")
        if not 0 < self.object_height[0] <= self.object_height[1] <= 1:
            raise ValueError(f"object_height must be in (0, 1]. Received: {self.object_height}.")
        if not 0 <= self.occlusion[0] <= self.occlusion[1] < 1:
            raise ValueError(f"occlusion must be in [0, 1). Received: {self.occlusion}.")
        for name in self.classes:
            if name not in ALL_CLASSES:
                raise ValueError(
                    f"There is no synthetic event class {name!r}.{did_you_mean(name, ALL_CLASSES)} "
                    f"Known: {', '.join(ALL_CLASSES)}."
                )
        if len(set(self.classes)) < 2:
            raise ValueError(
                f"Decoys need at least two different classes. Received: classes={self.classes}."
            )
        for name in self.classes:
            if not valid_decoys(name, self.classes):
                raise ValueError(
                    f"No decoy is possible for {name!r}: with every other class it makes another "
                    "event. Add a class that shares neither its object nor its sound, such as "
                    f"{next(iter(EVENT_CLASSES))!r}. Received: classes={self.classes}."
                )


def hard_settings() -> SynthesisSettings:
    """Returns the settings of the hard set: 35 classes, decoys, distractors, noise.

    25 of the classes are combinations of five machines and five signals, which only both modalities
    together identify. Most clips have a distractor beside the event, part of the object is hidden,
    and the noise may be as loud as the event. Results are in docs/design/robustness.md.

    Example:
        >>> make_dataset("hard", train=900, validation=200, test=600, settings=hard_settings())
    """
    return SynthesisSettings(
        width=160,
        height=120,
        frame_rate=4.0,  # at F = 2, each sampled frame is a new one
        classes=tuple(ALL_CLASSES),
        object_height=(0.3, 0.65),
        signal_to_noise=(0.0, 20.0),
        bystander_probability=0.4,
        off_screen_probability=0.4,
        occlusion=(0.0, 0.5),
        music_probability=0.4,
    )


def make_plan(
    index: int, settings: SynthesisSettings, *, seed: int = 0, split: str = "train"
) -> ClipPlan:
    """Plans clip `index` of a split, without making it.

    Args:
        index: number of the clip in its split, from 0.
        settings: settings of the data set.
        seed: seed of the data set.
        split: "train", "validation" or "test".

    Returns:
        The plan. Classes follow in shuffled rounds, so that every split is balanced.
    """
    name = _clip_seed(index, seed, split)
    turn, place = divmod(index, len(settings.classes))
    round_rng = np.random.default_rng([*name[:2], turn])
    label = settings.classes[int(round_rng.permutation(len(settings.classes))[place])]
    plan = plan_clip(
        np.random.default_rng([*name, 0]),
        label,
        valid_decoys(label, settings.classes),
        seconds=settings.seconds,
        shortest_event=settings.shortest_event,
        background_clip_probability=settings.background_clip_probability,
        decoy_probability=settings.decoy_probability,
    )
    plan = add_second_event(
        np.random.default_rng([*name, 0, 2]),
        plan,
        partial(valid_decoys, classes=settings.classes),
        probability=settings.second_event_probability,
        shortest_event=settings.shortest_event,
    )
    return add_distractors(
        np.random.default_rng([*name, 0, 1]),
        plan,
        partial(valid_decoys, classes=settings.classes),
        bystander_probability=settings.bystander_probability,
        off_screen_probability=settings.off_screen_probability,
    )


def make_scene(
    plan: ClipPlan, index: int, settings: SynthesisSettings, *, seed: int = 0, split: str = "train"
) -> Scene:
    """Returns the scene of clip `index`: backdrop, objects and sounds."""
    wanted = (
        "width", "height", "frame_rate", "object_height", "loudness", "signal_to_noise",
        "picture_noise", "occlusion", "music_probability",
    )  # fmt: skip
    return Scene(
        plan,
        _clip_seed(index, seed, split),
        **{field.name: getattr(settings, field.name) for field in fields(settings)
           if field.name in wanted},
    )  # fmt: skip


def make_clip(
    index: int, settings: SynthesisSettings, *, seed: int = 0, split: str = "train"
) -> tuple[Iterator[NDArray[np.uint8]], NDArray[np.float32], list[LabelledSpan]]:
    """Makes one clip.

    Args:
        index: number of the clip in its split, from 0.
        settings: settings of the data set.
        seed: seed of the data set; the clip depends on `(seed, split, index)` alone.
        split: "train", "validation" or "test".

    Returns:
        An iterator over RGB frames uint8 `[H,W,3]`, the waveform float32 `[T*16000]`, and the
        events: none, one, or two with `second_event_probability`.

    Example:
        >>> frames, waveform, events = make_clip(0, SynthesisSettings())
    """
    plan = make_plan(index, settings, seed=seed, split=split)
    scene = make_scene(plan, index, settings, seed=seed, split=split)
    return scene.frames(), scene.waveform(), plan.events


def make_dataset(
    out_dir: str | os.PathLike[str],
    *,
    train: int,
    validation: int,
    test: int,
    seed: int = 0,
    settings: SynthesisSettings | None = None,
    workers: int = 2,
) -> Path:
    """Writes a data set of synthetic clips: `annotations.csv`, and mp4 files in `videos/<split>/`.

    Args:
        out_dir: folder, created if it is missing.
        train: number of training clips.
        validation: number of validation clips.
        test: number of test clips.
        seed: equal seeds give equal bytes with any number of workers.
        settings: settings of the clips; None uses the defaults.
        workers: number of processes; 1 uses the current one.

    Returns:
        The folder, which every command accepts as DATA.

    Raises:
        ValueError: a number is negative, or no clip was requested.

    Example:
        >>> make_dataset("clips", train=100, validation=30, test=30)
    """
    settings = settings or SynthesisSettings()
    counts = dict(zip(SPLITS, (train, validation, test), strict=True))
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(
            f"train, validation and test must not be negative, and not all 0. Received: {counts}."
        )
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers}.")
    out_dir = Path(out_dir)
    for split in SPLITS:
        (out_dir / "videos" / split).mkdir(parents=True, exist_ok=True)
    tasks = [(split, index) for split, count in counts.items() for index in range(count)]
    write = partial(_write_clip, out_dir=out_dir, seed=seed, settings=settings)
    if workers == 1:
        rows = [row for task in tasks for row in write(task)]
    else:
        # Spawned, not forked, because TensorFlow's threads do not survive a fork.
        with ProcessPoolExecutor(
            min(workers, len(tasks)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=cv2.setNumThreads,
            initargs=(1,),  # parallelism comes from the workers
        ) as pool:
            rows = [row for found in pool.map(write, tasks, chunksize=4) for row in found]
    _write_annotations(out_dir / "annotations.csv", rows)
    logger.info("wrote %d clips to %s", len(tasks), out_dir)
    return out_dir


def _clip_seed(index: int, seed: int, split: str) -> tuple[int, int, int]:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}. Received: split={split!r}.")
    if seed < 0 or index < 0:
        raise ValueError(
            f"seed and index must not be negative. Received: seed={seed}, index={index}."
        )
    return seed, SPLITS.index(split), index


def _write_clip(
    task: tuple[str, int], *, out_dir: Path, seed: int, settings: SynthesisSettings
) -> list[tuple[Any, ...]]:
    split, index = task
    frames, waveform, events = make_clip(index, settings, seed=seed, split=split)
    video = f"videos/{split}/{index:05d}.mp4"
    write_video(
        out_dir / video,
        frames,
        waveform,
        frame_rate=settings.frame_rate,
        crf=settings.crf,
        preset=settings.preset,
        audio_bit_rate=settings.audio_bit_rate,
    )
    if not events:
        return [(video, "", "", "", split)]
    return [(video, event.label, event.start, event.end, split) for event in events]


def _write_annotations(path: Path, rows: list[tuple[Any, ...]]) -> None:
    with atomic_text(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["video", "label", "start", "end", "split"])
        table.writerows(rows)
