"""Training and held-out material of the students, for images and sounds.

The corpus is a folder with archives (`images.zip`, `audio.zip`), stored and not compressed, and a
`manifest.tsv` that names for every member its source, licence, label, AVE class and split.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Never trained on, so that there is something real to measure on. Every class of a list below has
# no counterpart under another source's name in what is trained on, and none is an AVE class.
HELD_OUT_CLASSES = {
    "tiny_imagenet": (
        "n01641577 bullfrog", "n01768244 trilobite", "n01784675 centipede",
        "n01917289 brain coral", "n02058221 albatross", "n02132136 brown bear",
        "n02226429 grasshopper", "n02395406 hog", "n02423022 gazelle", "n02486410 baboon",
        "n02669723 academic gown", "n02788148 bannister", "n02802426 basketball",
        "n02815834 beaker", "n02843684 birdhouse", "n02909870 bucket", "n02963159 cardigan",
        "n03014705 chest", "n03089624 confectionery", "n03179701 desk", "n03355925 flagpole",
        "n03444034 go-kart", "n03599486 jinrikisha", "n03662601 lifeboat",
        "n03763968 military uniform", "n03837869 obelisk", "n03902125 pay-phone", "n03976657 pole",
        "n04008634 projectile", "n04074963 remote control", "n04149813 scoreboard",
        "n04259630 sombrero", "n04376876 syringe", "n04456115 torch", "n04507155 umbrella",
        "n04560804 water jug", "n07579787 plate", "n07695742 pretzel", "n07734744 mushroom",
        "n07768694 pomegranate", "n07920052 espresso", "n09332890 lakeside",
    ),
    "caltech101": (
        "anchor", "beaver", "brontosaurus", "cannon", "cup", "ewer", "garfield", "hawksbill",
        "inline_skate", "minaret", "pagoda", "platypus", "rooster", "stapler", "strawberry",
        "sunflower", "tick", "trilobite", "umbrella", "yin_yang",
    ),
}  # fmt: skip
HELD_OUT_SOURCES = ("pacs_photo",)
# All of AVE's own, and half of the others: of two clips of one class, one.
HELD_OUT_CLIPS = (
    "ave/0lFf-HP86Q0.mp4", "ave/16eUxQwxxbs.mp4", "ave/22olCB3wQaA.mp4",
    "avsync/baby_crying.mp4", "avsync/chicken_crowing.mp4", "avsync/dog_barking.mp4",
    "avsync/hammering.mp4", "avsync/machine_gun_shooting.mp4", "avsync/playing_trumpet.mp4",
    "avsync/playing_violin.mp4", "avsync/toilet_flushing.mp4",
    "vas/cough/video_00331.mp4", "vas/dog/video_02754.mp4", "vas/drum/video_02542.mp4",
    "vas/fireworks/video_03051.mp4", "vas/hammer/video_00323.mp4",
    "vggsound/-1pRmoJIGQc_10000_20000.mp4", "vggsound/0nib7bMm8BA_15000_25000.mp4",
    "vggsound/3HgbEKrbA9s_54000_64000.mp4", "vggsound/53UdZyM9MyE_252000_262000.mp4",
    "vggsound/6zlMP_kQ_-w_30000_40000.mp4", "vggsound/7tMPoaU2oL4_0_10000.mp4",
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One file of the corpus.

    Args:
        file: its name in the archive.
        source: the folder it lies in, such as "tiny_imagenet".
        label: what its source calls it.
        ave_class: the AVE class that it shows or sounds like; "" where none fits.
        split: "train", or "eval", which is never trained on.
    """

    file: str
    source: str
    label: str
    ave_class: str
    split: str

    @property
    def held_out(self) -> bool:
        """True if the item is held out from training."""
        return (
            self.split == "eval"
            or self.source in HELD_OUT_SOURCES
            or self.label in HELD_OUT_CLASSES.get(self.source, ())
        )


def read_manifest(corpora: Path, kind: str) -> list[Member]:
    """Members of one archive in the manifest's order; `kind` is "images" or "audio"."""
    manifest = corpora / "manifest.tsv"
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{manifest} is missing. CORPORA is a folder with manifest.tsv and {kind}.zip; the "
            "table's columns are file, source_repo, licence, label, ave_class, split, size."
        )
    with open(manifest, newline="", encoding="utf-8") as file:
        return [
            Member(row["file"], row["file"].split("/")[1], row["label"], row["ave_class"],
                   row["split"])
            for row in csv.DictReader(file, delimiter="\t")
            if row["file"].startswith(f"{kind}/")
        ]  # fmt: skip


def read_bytes(archive: Path, members: Iterable[Member]) -> Iterator[bytes]:
    """Yield the content of each member, read in place."""
    with zipfile.ZipFile(archive) as files:
        for member in members:
            yield files.read(member.file)


def training_clips(clips: Path) -> list[Path]:
    """Clips whose pictures or sounds may be trained on without their labels, sorted."""
    found = sorted(clips.rglob("*.mp4"))
    return [path for path in found if str(path.relative_to(clips)) not in HELD_OUT_CLIPS]
