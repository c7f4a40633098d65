"""Robustness to corrupted audio and video."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avel_tf.datasets import Video, segment_labels
from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.engine import Engine
from avel_tf.engines.windows import Predict, predict_in_windows
from avel_tf.evaluation.bootstrap import ratio_ci95
from avel_tf.evaluation.condition import CLEAN, Condition
from avel_tf.events.labels import Labels
from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.decode import clip_of
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError

# Clips whose audio is used for babble and `other_sound` (20 MB).
POOL_CLIPS = 32
# Clips per prediction.
_GROUP_CLIPS = 32


def measure_robustness(
    models: Mapping[str, Predict],
    videos: Sequence[Video],
    labels: Labels,
    wanted: Sequence[Condition],
    *,
    recipe: Recipe,
    engine: Engine,
    seconds: int | None = None,
    media: DecodeSettings | None = None,
    window_seconds: int = 10,
    hop_seconds: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate models on clips whose frames or audio are corrupted.

    Each clip is decoded once. Corrupted frames and corrupted audio are embedded in one pass, and
    each is combined with the clean features of the other modality.

    Args:
        models: Functions by name, from visual [B, T, Dv], audio [B, T, Da] and valid [B, T] to
            probabilities [B, T, C+1]; all of the same recipe.
        videos: The clips.
        labels: The class vocabulary.
        wanted: Result of `conditions`.
        recipe: Recipe of the features.
        engine: Engine of the backbones.
        seconds: T to which clips are cut or padded, all counted; None for their own length.
        media: Decoder settings.
        window_seconds: Longer videos are labelled in windows of this length.
        hop_seconds: Distance between window starts.
        seed: Seed of noise, choice of other clips, and intervals.
        progress: Called with the number of finished clips and of all clips.

    Returns:
        Content of `robustness.json`, described in docs/design/robustness.md.

    Raises:
        ValueError: If no clip could be read.
    """

    def decode(video: Video) -> Clip:
        return clip_of(recipe.visual.decode_request(video.path, media, seconds))

    videos = sorted(videos, key=lambda video: video.id)
    pool = _sounds(decode, videos, wanted, seed)
    tally = {name: _Tally(len(wanted)) for name in models}
    skipped: list[dict[str, str]] = []
    group: list[_CorruptedClip] = []

    def label() -> None:
        for name, predict in models.items():
            for number in range(len(wanted)):
                found = predict_in_windows(
                    predict,
                    [clip.columns(number) for clip in group],
                    window_seconds=window_seconds,
                    hop_seconds=hop_seconds,
                )
                for clip, probabilities in zip(group, found, strict=True):
                    guess = probabilities.argmax(-1)[clip.counted]
                    truth = clip.targets[clip.counted]
                    tally[name].add(number, guess, truth, labels.background)
        group.clear()

    for done, video in enumerate(videos, start=1):
        try:
            clip = decode(video)
        except MediaError as error:
            skipped.append({"video": video.id, "reason": str(error)})
            continue
        others = [sound for other, sound in pool if _is_other(other, video)]
        targets = segment_labels(video.annotations, labels, clip.seconds)
        counted = np.ones(clip.seconds, bool) if seconds is not None else clip.valid
        columns = _embed(clip, video.id, wanted, others, engine, seed)
        group.append(_CorruptedClip(columns, clip.valid, targets, counted))
        if len(group) == _GROUP_CLIPS:
            label()
        if progress:
            progress(done, len(videos))
    if group:
        label()
    if len(skipped) == len(videos):
        raise ValueError(
            f"None of the {len(videos)} clips could be read. The first: {skipped[0]['reason']}"
        )
    return {
        "videos": len(videos) - len(skipped),
        "skipped": skipped,
        "seed": seed,
        "conditions": [
            {
                "corruption": each.corruption.name if each.corruption else None,
                "severity": each.severity if each.corruption else None,
                "unit": each.corruption.unit if each.corruption else None,
                "sense": each.corruption.sense if each.corruption else None,
                "truth": "background" if each.removes else "labels",
                "models": {
                    name: tally[name].scores(number, removes=each.removes, seed=seed)
                    for name in models
                },
            }
            for number, each in enumerate(wanted)
        ],
    }


@dataclass(frozen=True, eq=False)
class _CorruptedClip:
    """One clip: features for every condition, visual [T, Dv] and audio [T, Da] each."""

    features: list[tuple[np.ndarray, np.ndarray]]
    valid: np.ndarray
    targets: np.ndarray
    counted: np.ndarray

    def columns(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (*self.features[number], self.valid)


class _Tally:
    """Segments, correct ones and background predictions, by condition and clip."""

    def __init__(self, count: int) -> None:
        self._clips: list[list[tuple[int, int, int]]] = [[] for _ in range(count)]

    def add(self, number: int, guess: np.ndarray, truth: np.ndarray, background: int) -> None:
        self._clips[number].append(
            (len(truth), int((guess == truth).sum()), int((guess == background).sum()))
        )

    def scores(self, number: int, *, removes: bool, seed: int) -> dict[str, Any]:
        segments, as_labelled, as_background = np.array(self._clips[number]).T  # [V] each
        right = as_background if removes else as_labelled
        total = max(1, int(segments.sum()))
        return {
            "segments": int(segments.sum()),
            "accuracy": float(right.sum() / total),
            "accuracy_ci95": ratio_ci95(right, segments, seed=seed),
            "agrees_with_labels": float(as_labelled.sum() / total),
            "says_background": float(as_background.sum() / total),
        }


def _sounds(
    decode: Callable[[Video], Clip], videos: Sequence[Video], wanted: Sequence[Condition], seed: int
) -> list[tuple[Video, np.ndarray]]:
    """Audio of other clips, if a condition needs it."""
    names = {each.corruption.name for each in wanted if each.corruption}
    if not names & {"babble_noise", "other_sound"}:
        return []
    pool = []
    for video in random.Random(seed).sample(list(videos), len(videos)):
        try:
            clip = decode(video)
        except MediaError:
            continue
        if clip.has_sound:
            pool.append((video, clip.waveform))
        if len(pool) == POOL_CLIPS:
            break
    return pool


def _is_other(other: Video, video: Video) -> bool:
    """Return True for a clip of another file that shares no event class with this one."""
    return other.media_id != video.media_id and not (
        {event.label for event in other.annotations} & {event.label for event in video.annotations}
    )


def _embed(
    clip: Clip,
    name: str,
    wanted: Sequence[Condition],
    others: Sequence[np.ndarray],
    engine: Engine,
    seed: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Visual [T, Dv] and audio [T, Da] of a clip for each condition."""
    pictures = [CLEAN] + [each for each in wanted if _sense(each) == "picture"]
    sounds = [CLEAN] + [each for each in wanted if _sense(each) == "sound"]
    visual: dict[Condition, np.ndarray] = {}
    audio: dict[Condition, np.ndarray] = {}
    # An engine embeds both modalities in each pass.
    for picture, sound in itertools.zip_longest(pictures, sounds, fillvalue=CLEAN):
        frames_embedded, audio_embedded = _embed_seconds(
            picture.apply(clip.frames, name, seed),
            sound.apply(clip.waveform, name, seed, others).reshape(-1, SAMPLE_RATE),
            engine,
        )
        visual.setdefault(picture, frames_embedded)
        audio.setdefault(sound, audio_embedded)
    return [(visual.get(each, visual[CLEAN]), audio.get(each, audio[CLEAN])) for each in wanted]


def _sense(condition: Condition) -> str | None:
    return condition.corruption.sense if condition.corruption else None


def _embed_seconds(
    frames: np.ndarray, waveform: np.ndarray, engine: Engine
) -> tuple[np.ndarray, np.ndarray]:
    """Visual [T, Dv] and audio [T, Da] features of segments, in batches of the engine."""
    parts = []
    for first in range(0, len(frames), engine.batch_seconds):
        part = slice(first, first + engine.batch_seconds)
        parts.append(engine.embed_seconds(frames[part], waveform[part]))
    visual, audio = (np.concatenate(column) for column in zip(*parts, strict=True))
    return visual, audio
