"""Comparison of a quantized network with float32 on what users care about: the labels."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avel_tf.engines.available import EngineChoice, cache_folder, machine, version
from avel_tf.engines.engine import Engine, Graphs
from avel_tf.engines.settings import EngineSettings
from avel_tf.utils.durable_files import atomic_text
from avel_tf.video.clip import Clip

# Segments that are compared, and the fewest on which a share of 1 % can be judged.
SEGMENTS = 300
FEWEST = 200
# Largest share of labels that change, and largest loss of accuracy.
MAX_FLIPS = 0.01
MAX_LOSS = 0.003

# A clip, and the right labels [T] where they are known.
LabelledClip = tuple[Clip, np.ndarray | None]


@dataclass(frozen=True)
class Int8Finding:
    """Labels of a quantized network beside those of float32.

    Args:
        graphs: Key of the graphs.
        network: Digest of the quantized network.
        reference: Description of the engine in float32.
        segments: Number of segments.
        flips: Number of those whose most probable label differs; None for backbones alone.
        cosine: Smallest cosine between embeddings, visual or audio.
        labelled: Number of segments whose right label is known.
        right: Of these, the number that float32 and int8 label right.
        date: Day as `YYYY-MM-DD`.
    """

    graphs: str
    network: str
    reference: str
    segments: int
    flips: int | None
    cosine: float
    labelled: int
    right: tuple[int, int]
    date: str

    @property
    def loss(self) -> float:
        """Accuracy lost by int8, as a share; 0 where no right label is known."""
        return (self.right[0] - self.right[1]) / max(1, self.labelled)

    @property
    def accepted(self) -> bool:
        """True if int8 is proven: enough segments, at most 1 % flips, 0.3 points of loss."""
        if self.flips is None or self.segments < FEWEST:
            return False
        return self.flips <= MAX_FLIPS * self.segments and self.loss <= MAX_LOSS

    def __str__(self) -> str:
        """A clause for messages."""
        if self.flips is None:
            return (
                f"without a localizer there are no labels to compare; the smallest cosine of "
                f"{self.segments} segments' embeddings to {self.reference} is {self.cosine:.3f}"
            )
        text = (
            f"{self.flips} of {self.segments} labels differ from {self.reference} "
            f"(allowed: {MAX_FLIPS:.0%})"
        )
        if self.labelled:
            float32, int8 = (100 * right / self.labelled for right in self.right)
            text += (
                f", and {int8:.1f} % of {self.labelled} are right instead of {float32:.1f} % "
                f"(allowed loss: {100 * MAX_LOSS:g} points)"
            )
        if self.segments < FEWEST:
            text += f"; a proof needs {FEWEST} segments"
        return text


def compare(
    choice: EngineChoice,
    reference: EngineChoice,
    engines: tuple[Engine, Engine],
    graphs: Graphs,
    clips: Iterable[LabelledClip],
    *,
    most: int = SEGMENTS,
) -> Int8Finding:
    """Label clips in int8 and in float32.

    Args:
        choice: The engine in int8.
        reference: The engine in float32.
        engines: Both engines, in this order.
        graphs: The graphs.
        clips: Clips of at most one window, and their right labels where known.
        most: Segments after which no further clip is read.

    Raises:
        ValueError: There is no valid segment.
        EngineCrashed: The process of an engine has ended.
    """
    segments = flips = labelled = 0
    right = [0, 0]
    cosine = 1.0
    for clip, targets in clips:
        (seen, int8), (expected, float32) = (
            _outputs(engine, clip, label=graphs.name_classes) for engine in engines
        )
        if not clip.valid.any():
            continue
        segments += int(clip.valid.sum())
        for exact, quantized in zip(expected, seen, strict=True):  # visual, then audio
            cosine = min(cosine, smallest_cosine(exact[clip.valid], quantized[clip.valid]))
        if float32 is not None and int8 is not None:
            flips += int((float32 != int8)[clip.valid].sum())
            if targets is not None:
                labelled += int(clip.valid.sum())
                for place, labels in enumerate((float32, int8)):
                    right[place] += int((labels == targets)[clip.valid].sum())
        if segments >= most:
            break
    if not segments:
        raise ValueError("no frame could be read to compare int8 with float32")
    return Int8Finding(
        graphs.key,
        choice.network,
        reference.description,
        segments,
        flips if graphs.name_classes else None,
        cosine,
        labelled,
        (right[0], right[1]),
        datetime.date.today().isoformat(),
    )


def save_finding(finding: Int8Finding, settings: EngineSettings) -> None:
    """Write a finding to the cache, where it counts for this processor."""
    with atomic_text(_path(finding.graphs, finding.network, settings)) as file:
        file.write(json.dumps(asdict(finding), indent=2) + "\n")


def find_finding(graphs: str, network: str, settings: EngineSettings) -> Int8Finding | None:
    """The finding about a network on this processor, or None."""
    return _read(_path(graphs, network, settings))


def findings(settings: EngineSettings) -> Iterator[Int8Finding]:
    """All findings on this processor."""
    for path in sorted(_folder(settings).glob("*.json")):
        if finding := _read(path):
            yield finding


def _folder(settings: EngineSettings) -> Path:
    """Folder of the findings on this processor with this version of OpenVINO."""
    here = json.dumps([machine(), version("openvino")], sort_keys=True)
    name = hashlib.sha256(here.encode()).hexdigest()[:16]
    return cache_folder(settings) / "proofs" / "int8" / name


def _path(graphs: str, network: str, settings: EngineSettings) -> Path:
    return _folder(settings) / f"{graphs}-{network}.json"


def _read(path: Path) -> Int8Finding | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Int8Finding(**{**content, "right": tuple(content["right"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # missing or damaged: the comparison is made again


def _outputs(
    engine: Engine, clip: Clip, *, label: bool
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray | None]:
    """Embeddings, visual [T, Dv] and audio [T, Da], and labels [T] of a clip."""
    waveform = clip.waveform.reshape(clip.seconds, -1)
    parts = [
        engine.embed_seconds(clip.frames[first:last], waveform[first:last])
        for first in range(0, clip.seconds, engine.batch_seconds)
        for last in [first + engine.batch_seconds]
    ]
    visual, audio = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not label:
        return (visual, audio), None
    labels = engine.label(visual[None], audio[None], clip.valid[None])[0].argmax(-1)
    return (visual, audio), labels


def smallest_cosine(expected: np.ndarray, found: np.ndarray) -> float:
    """The smallest cosine between rows [N, D]; 1 where both rows are zero."""
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)  # [N]
    same = (expected == found).all(-1)
    products = (expected * found).sum(-1)
    return float(np.where(same, 1.0, products / np.where(lengths > 0, lengths, 1.0)).min())
