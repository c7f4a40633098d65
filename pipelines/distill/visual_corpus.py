"""Views of the corpus's pictures and what the teacher says of each, computed once.

    python -m pipelines.distill.visual_corpus CORPORA CLIPS TEACHER OUT [--views 6]

CORPORA holds images.zip and manifest.tsv, CLIPS a few mp4 files whose pictures are taken without
their labels, TEACHER is a SavedModel with TF-Hub's image-feature-vector interface. OUT gets one
file per pass over the pictures, so that training can begin with the first: `view-0.npz` is the
whole picture, the others are random crops and mixtures of two. Drawings of
`avel_tf.synthesis.dataset` are added, with seeds far from the demo's. A pass over 21,000 pictures
takes a minute and a half of one core that knows bfloat16, ten without, and 0.5 GB.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avel_tf.synthesis.dataset import (
    ALL_CLASSES,
    EVENT_CLASSES,
    SynthesisSettings,
    make_plan,
    make_scene,
)
from avel_tf.utils.durable_files import atomic_path
from avel_tf.video.decode import decode_clip
from pipelines.distill.corpus import read_bytes, read_manifest, training_clips

Picture = NDArray[np.uint8]  # [H, W, 3] RGB

SEED = 7
# What the student sees: its network averages 160 pixels to 80 first, and most pictures of the
# corpus have 64.
SIZE = 80
TEACHER_SIZE = 224
MIXTURE_SIZE = 128
BATCH = 64
NO_CLASS = -1
DRAWN_CLIPS = 400  # of ten pictures each
DRAWING_SEED = 20_000  # the demo's is 0
CLIP_PICTURES = 12
VIEWS = {"whole": 0.1, "crop": 0.55, "small": 0.15, "patch": 0.1, "blend": 0.1}
# Area and proportions of the random crops, as Inception was trained (Szegedy et al. 2015) but for
# the smallest ones: of 64 pixels little is left.
CROP_AREA = (0.35, 1.0)
CROP_RATIO = (0.75, 1.33)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("corpora", "clips", "teacher", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--views", type=int, default=6, help="passes over the pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pictures, names = training_pictures(options.corpora, options.clips)
    classes = sorted({name for name in names if name})
    (options.out / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    numbers = np.array([classes.index(name) if name else NO_CLASS for name in names], np.int16)
    teacher = Teacher(options.teacher)
    for number in range(options.views):
        path = options.out / f"view-{number}.npz"
        if not path.is_file():
            write_pass(path, number, pictures, numbers, teacher)
            logging.info("%s: %d pictures", path, len(pictures))


def write_pass(
    path: Path, number: int, pictures: list[Picture], classes: np.ndarray, teacher: Teacher
) -> None:
    """One view of each picture, what the teacher says of it, and the class where it still holds."""
    rng = np.random.default_rng([SEED, number])
    small = np.zeros((len(pictures), SIZE, SIZE, 3), np.uint8)
    labels = classes.copy()
    features, probabilities = [], []
    for start in range(0, len(pictures), BATCH):
        views = []
        for place in range(start, min(start + BATCH, len(pictures))):
            other = pictures[rng.integers(len(pictures))]
            view, pure = look(pictures[place], other, rng) if number else (pictures[place], True)
            small[place] = resized(view, SIZE)
            views.append(resized(view, TEACHER_SIZE))
            labels[place] = classes[place] if pure else NO_CLASS
        vectors, scores = teacher(np.stack(views))
        features.append(vectors.astype(np.float16))
        probabilities.append(scores.astype(np.float16))
    with atomic_path(path, sole_writer=True) as temporary:
        np.savez(
            temporary, pictures=small, features=np.concatenate(features),
            probabilities=np.concatenate(probabilities), labels=labels,
        )  # fmt: skip


class Teacher:
    """Outputs of the teacher for images uint8 [N, 224, 224, 3], by OpenVINO.

    In bfloat16 it is five times as fast where the processor has it, and not quite itself: on 277
    pictures of the corpus the vectors' cosine to those of float32 is 0.994 in the mean and 0.975
    at the least. That is little beside what a student errs by; to be measured, it gets float32.
    """

    def __init__(self, folder: Path, *, precision: str = "bf16") -> None:
        import openvino
        import tensorflow as tf

        loaded = tf.saved_model.load(str(folder))
        both = tf.Module()
        both.loaded = loaded
        both.run = tf.function(
            lambda pictures: {"vectors": loaded(pictures), "scores": loaded.logits(pictures)}
        ).get_concrete_function(tf.TensorSpec([None, TEACHER_SIZE, TEACHER_SIZE, 3], tf.float32))
        with tempfile.TemporaryDirectory() as exported:
            tf.saved_model.save(both, exported, signatures=both.run)
            model = openvino.convert_model(exported)
        self._model = openvino.Core().compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": precision}
        )

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors and probabilities of ImageNet's classes, float32 [N, D] and [N, 1001]."""
        said = self._model(pictures.astype(np.float32) / 255.0)
        return said["vectors"], said["scores"]


def training_pictures(corpora: Path, clips: Path) -> tuple[list[Picture], list[str]]:
    """All pictures that may be trained on, RGB of any size, and "source/label", "" for unknown."""
    members = [member for member in read_manifest(corpora, "images") if not member.held_out]
    pictures, names = [], []
    for member, content in zip(members, read_bytes(corpora / "images.zip", members), strict=True):
        pictures.append(decoded(content))
        names.append(f"{member.source}/{member.label}")
    for picture, name in (*drawings(), *frames_of(clips)):
        pictures.append(picture)
        names.append(name)
    return pictures, names


def drawings() -> list[tuple[Picture, str]]:
    """The middle of every second of synthetic clips, with the class that is in the picture.

    Half of the clips show the machines as well, unnamed: a machine does not look like its class.
    """
    found = []
    for seed, classes in ((DRAWING_SEED, EVENT_CLASSES), (DRAWING_SEED + 1, ALL_CLASSES)):
        settings = SynthesisSettings(frame_rate=2.0, classes=tuple(classes))
        for number in range(DRAWN_CLIPS // 2):
            plan = make_plan(number, settings, seed=seed)
            stage = make_scene(plan, number, settings, seed=seed)
            for picture, name in zip(list(stage.frames())[1::2], plan.visible, strict=True):
                known = name is None or name in EVENT_CLASSES
                found.append((picture, f"drawing/{name or 'nothing'}" if known else ""))
    return found


def frames_of(clips: Path) -> list[tuple[Picture, str]]:
    """A few pictures of each clip that may be trained on; their classes are not told."""
    found = []
    for path in training_clips(clips):
        frames = decode_clip(path, frames_per_second=2, size=(128, 128)).frames  # [T, F, H, W, 3]
        frames = frames.reshape(-1, *frames.shape[2:])  # [T * F, H, W, 3]
        chosen = np.linspace(0, len(frames) - 1, min(CLIP_PICTURES, len(frames))).astype(int)
        found += [(frames[place], "") for place in chosen]
    return found


def decoded(content: bytes) -> Picture:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def look(picture: Picture, other: Picture, rng: np.random.Generator) -> tuple[Picture, bool]:
    """A random view of the picture, and whether its class still names it.

    Most are crops. The rest mix in another picture, which the teacher then sees as well: what it
    says of a mixture is no mixture of what it says.
    """
    kind = rng.choice(list(VIEWS), p=list(VIEWS.values()))
    if kind == "whole":
        return picture, True
    if kind == "crop":
        return crop(picture, rng), True
    base, other = (resized(crop(each, rng), MIXTURE_SIZE) for each in (picture, other))
    if kind == "blend":
        return cv2.addWeighted(base, 0.65, other, 0.35, 0.0), False
    # A piece of the other picture ("patch"), or this one, small, on the other one ("small").
    side = int(rng.uniform(0.35, 0.65) * MIXTURE_SIZE)
    top, left = rng.integers(0, MIXTURE_SIZE - side + 1, 2)
    ground, piece = (base, other) if kind == "patch" else (other, base)
    ground = ground.copy()
    ground[top : top + side, left : left + side] = resized(piece, side)
    return ground, False


def crop(picture: Picture, rng: np.random.Generator) -> Picture:
    """A random part of the picture, of random proportions."""
    height, width = picture.shape[:2]
    area = rng.uniform(*CROP_AREA) * height * width
    ratio = np.exp(rng.uniform(*np.log(CROP_RATIO)))
    h = int(np.clip(np.sqrt(area / ratio), 16, height))
    w = int(np.clip(np.sqrt(area * ratio), 16, width))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return picture[top : top + h, left : left + w]


def resized(picture: Picture, size: int) -> Picture:
    smaller = min(picture.shape[:2]) > size
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=how)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main()
