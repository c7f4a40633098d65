"""Real pictures and real sounds, sorted by what they may stand for in a montage."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.distill.corpus import Member, read_manifest

SAMPLE_RATE = 16_000
KINDS = ("picture", "sound")
SPLITS = ("train", "validation", "test")
# A quarter for measuring: of the 30 sounds that an instrument has, seven.
SPLIT_SHARES = (0.6, 0.15, 0.25)
# Whatever is of no offered class; not a name that a class of the corpora could have.
OTHER = "(other)"
# Parts of it: what is of no offered class, and easily taken for one that is.
INSTRUMENT, ANIMAL = FAMILIES = ("(other instrument)", "(other animal)")
_FAMILY_OF_CLASS = {
    **dict.fromkeys(("Bark", "Cat", "Horse", "Goat", "Rodents, rats, mice"), ANIMAL),
    **dict.fromkeys(
        ("Violin, fiddle", "Flute", "Ukulele", "Shofar", "Acoustic guitar", "Banjo", "Accordion",
         "Mandolin"),
        INSTRUMENT,
    ),
}  # fmt: skip
_FAMILY_OF_SOURCE = {
    **dict.fromkeys(("instruments10", "instruments30", "seth_instruments"), INSTRUMENT),
    "animal_sound": ANIMAL,
}
_FAMILY_OF_LABEL = {
    **dict.fromkeys(
        ("street_music", "electric_guitar", "euphonium", "grand_piano", "saxophone"), INSTRUMENT
    ),
    **dict.fromkeys(("bear", "monkey", "wolf", "snake sound", "sheep", "elephant"), ANIMAL),
}
# From the tench to the giant panda: nearly all animals among ImageNet's classes.
_WORDNET_ANIMALS = ("n01440764", "n02510455")
# Sounds that lie under others in real films. Street music is not among them: it may hold the
# instruments that a clip's truth says are silent.
AMBIENT_LABELS = ("air_conditioner", "children_playing", "engine_idling", "Rain", "Sea waves")
AMBIENT_PREFIX = "environment/"


def kind_of(member: Member) -> str:
    """`picture` or `sound`."""
    return "sound" if member.file.startswith("audio/") else "picture"


def class_of(member: Member) -> str:
    """The AVE class that it shows or sounds like; "" where none fits."""
    return member.ave_class or _wordnet_class(member.label)


def family_of(name: str) -> str | None:
    """The family of an AVE class, one of `FAMILIES`; None where it has none."""
    return _FAMILY_OF_CLASS.get(name)


def family_of_file(member: Member) -> str | None:
    """The family of what a file shows or sounds like."""
    first, last = _WORDNET_ANIMALS
    wordnet = ANIMAL if first <= member.label[:9] <= last else None
    return (
        _FAMILY_OF_CLASS.get(class_of(member))
        or _FAMILY_OF_SOURCE.get(member.source)
        or _FAMILY_OF_LABEL.get(member.label)
        or wordnet
    )


def is_ambient(member: Member) -> bool:
    """True if the sound is a background under others."""
    return kind_of(member) == "sound" and (
        member.label in AMBIENT_LABELS or member.label.startswith(AMBIENT_PREFIX)
    )


def usable(corpora: str | Path, *, measuring: bool = False) -> list[Member]:
    """The pictures and sounds that may be trained on, or those that are kept for measuring.

    Args:
        corpora: A folder with `manifest.tsv`, `images.zip` and `audio.zip`.
        measuring: Those for measuring, which no backbone here has seen or heard either.
    """
    wanted = "eval" if measuring else "train"
    return [
        member
        for kind in ("images", "audio")
        for member in read_manifest(Path(corpora), kind)
        if member.split == wanted
    ]


def _wordnet_class(label: str) -> str:
    """The class of ImageNet's sample pictures, for which the manifest names none."""
    # ILSVRC's 118 breeds of dogs lie between Chihuahua and Mexican hairless.
    return "Bark" if "n02085620" <= label[:9] <= "n02113978" else ""


def split_files(files: Iterable[Member]) -> dict[str, list[Member]]:
    """Every file to one split, each label of each source in the shares of `SPLIT_SHARES`.

    The order that is cut is that of a hash of the names, so a file stays in its split whatever
    other labels there are. Labels of one or two files are for training.

    Returns:
        The files by split.
    """
    by_label: dict[tuple[str, str], list[Member]] = {}
    for file in files:
        by_label.setdefault((file.source, file.label), []).append(file)
    split: dict[str, list[Member]] = {name: [] for name in SPLITS}
    for group in by_label.values():
        group.sort(key=lambda file: hashlib.sha256(file.file.encode()).digest())
        validation, test = (round(share * len(group)) for share in SPLIT_SHARES[1:])
        if len(group) < 3:
            validation = test = 0
        train = len(group) - validation - test
        split["train"] += group[:train]
        split["validation"] += group[train : train + validation]
        split["test"] += group[train + validation :]
    return split


class Material:
    """The pictures and sounds of one split, by class, read from the archives in place.

    Args:
        corpora: The folder of the archives.
        files: The files of the split.
        classes: The classes that are offered; files of any other are `OTHER`.

    Raises:
        ValueError: A class has no picture or no sound among the files.
    """

    def __init__(
        self, corpora: str | Path, files: Sequence[Member], classes: Sequence[str]
    ) -> None:
        self._archives = {
            "picture": zipfile.ZipFile(Path(corpora) / "images.zip"),
            "sound": zipfile.ZipFile(Path(corpora) / "audio.zip"),
        }
        self._ambient = [file for file in files if is_ambient(file)]
        # By thing, kind and source; see `_draw`.
        self._files: dict[tuple[str, str], dict[str, list[Member]]] = {}
        for file in files:
            name = class_of(file)
            family = family_of_file(file)
            things = [name] if name in classes else [OTHER, *([family] if family else [])]
            for thing in things:
                sources = self._files.setdefault((thing, kind_of(file)), {})
                sources.setdefault(file.source, []).append(file)
        missing = [
            f"{thing} has no {kind}"
            for thing in (*classes, OTHER)
            for kind in KINDS
            if (thing, kind) not in self._files
        ]
        if missing or not self._ambient:
            raise ValueError(
                f"The files of this split do not suffice for a montage: {', '.join(missing)}"
                f"{'' if self._ambient else '; no sound is ambient'}."
            )

    def draw_sound(self, rng: np.random.Generator, thing: str) -> Member:
        """A sound of a thing: a class, `OTHER`, or one of `FAMILIES`."""
        return self._draw(rng, self._of(thing, "sound"))

    def draw_pictures(self, rng: np.random.Generator, thing: str, count: int) -> list[Member]:
        """Pictures of a thing that could follow each other in a film: of one source and label."""
        sources = self._of(thing, "picture")
        first = self._draw(rng, sources)
        like = [
            file for file in sources[first.source] if file.label == first.label and file != first
        ]
        rest = [like[int(rng.integers(len(like)))] if like else first for _ in range(count - 1)]
        return [first, *rest]

    def draw_ambient(self, rng: np.random.Generator) -> Member:
        """A sound that lies under others."""
        return self._ambient[int(rng.integers(len(self._ambient)))]

    def picture(self, file: Member) -> NDArray[np.uint8]:
        """The picture, uint8 `[H, W, 3]` RGB."""
        data = np.frombuffer(self._archives["picture"].read(file.file), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{file.file} in images.zip is no picture that OpenCV reads.")
        return np.ascontiguousarray(picture[..., ::-1])

    def sound(self, file: Member) -> NDArray[np.float32]:
        """The sound, float32 `[n]` mono at 16 kHz."""
        data = io.BytesIO(self._archives["sound"].read(file.file))
        waveform, rate = soundfile.read(data, dtype="float32", always_2d=True)  # [n, channels]
        if rate != SAMPLE_RATE:
            raise ValueError(f"{file.file} has {rate} Hz; {SAMPLE_RATE} are expected.")
        return waveform.mean(axis=1)  # [n]

    def _of(self, thing: str, kind: str) -> dict[str, list[Member]]:
        # What is kept for measuring may have none of a family.
        known = (thing, kind) in self._files or thing not in FAMILIES
        return self._files[thing if known else OTHER, kind]

    @staticmethod
    def _draw(rng: np.random.Generator, sources: dict[str, list[Member]]) -> Member:
        # A source is drawn as often as the root of its size: in proportion, the largest would be
        # all there is to hear; equally often, one of a single file would be heard too much.
        names = sorted(sources)
        weights = np.sqrt([len(sources[name]) for name in names])
        files = sources[str(rng.choice(names, p=weights / weights.sum()))]
        return files[int(rng.integers(len(files)))]
