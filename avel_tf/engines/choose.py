"""The fastest engine that has been proven on this machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from avel_tf.engines.engine import Engine
from avel_tf.engines.graphs import Graphs
from avel_tf.engines.settings import AUTO, EngineSettings
from avel_tf.formats.atomic import atomic_text
from avel_tf.media.second_stream import SecondStream
from avel_tf.quiet import load_tensorflow

if TYPE_CHECKING:
    from avel_tf.media.clip import Clip

logger = logging.getLogger(__name__)

# What a faster arithmetic must keep: the direction of every embedding, and every label.
MIN_COSINE = 0.999
# Timed over this many passes of the sample, so that engines with several calls at once show it.
_TIMED_PASSES = 3
_VERSIONS = ("avel-tf", "tensorflow", "openvino")


class EngineUnavailableError(ValueError):
    """An engine was asked for that this machine does not have."""


class EngineChoice(NamedTuple):
    """An engine and the precision in which it computes."""

    engine: str
    precision: str

    @property
    def description(self) -> str:
        """As in `openvino bfloat16`."""
        return f"{self.engine} {self.precision}"


# What the others are held to, and what is left when nothing can be proven.
REFERENCE = EngineChoice("tensorflow", "float32")


def choose_engine(
    graphs: Graphs, settings: EngineSettings, sample: Callable[[], Sequence[Clip]]
) -> EngineChoice:
    """The engine that the settings name, or the fastest of those that they leave open.

    Where there is a choice, real pictures decide: on first use each candidate embeds and labels
    the sample, as does TensorFlow in float32. One whose embeddings turn away from the reference
    (a cosine below 0.999) or that changes a label is not taken, and a line says so. The finding
    is kept in the cache, under a hash of the graphs, the processor and the libraries' versions.

    Args:
        graphs: What to run.
        settings: What the user wants.
        sample: Fetches clips of which some 16 pictures are the proof; called when there is no
            earlier finding. When it gives none, nothing can be proven, and the reference is
            taken for this time.

    Returns:
        The choice, for `make_engine`.

    Raises:
        EngineUnavailableError: The engine asked for is not installed, or nothing here computes in
            the precision.
    """
    candidates = list(_candidates(settings))
    if len(candidates) == 1:
        return candidates[0]
    name = f"{_key(graphs, candidates, settings)}.json"
    path = cache_folder(settings) / "proofs" / name
    chosen = _read(path, candidates)
    if chosen is None:
        clips = sample()
        if not clips:
            return REFERENCE
        findings = _prove(candidates, graphs, settings, clips)
        fastest = min(findings, key=lambda each: each["seconds"])
        chosen = EngineChoice(fastest["engine"], fastest["precision"])
        with atomic_text(path) as file:
            file.write(json.dumps({"chosen": chosen, "findings": findings}, indent=2) + "\n")
    return chosen


def make_engine(choice: EngineChoice, graphs: Graphs, settings: EngineSettings) -> Engine:
    """Load or compile the networks; imports no more than the engine needs."""
    if choice.engine == "openvino":
        from avel_tf.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(
            graphs,
            choice.precision,
            batch_pictures=settings.batch_pictures,
            cache=cache_folder(settings),
        )
    load_tensorflow()
    from avel_tf.engines.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(graphs, choice.precision, batch_pictures=settings.batch_pictures)


def cache_folder(settings: EngineSettings) -> Path:
    """Where compiled networks and findings are kept.

    Reference:
        XDG Base Directory Specification
        (https://specifications.freedesktop.org/basedir-spec/latest/).
    """
    if settings.cache is not None:
        return Path(settings.cache)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "avel-tf"


def _candidates(settings: EngineSettings) -> Iterator[EngineChoice]:
    """Engines and precisions that may be taken, for each engine the faster precision first."""
    available = {
        "openvino": _openvino_precisions(),
        "tensorflow": ["float16"] * _has_gpu() + ["bfloat16"] * _computes_in_bfloat16(),
    }
    available["tensorflow"].append("float32")
    if settings.name != AUTO:
        if not available[settings.name]:
            raise EngineUnavailableError(
                f"The engine {settings.name} is not installed. Install it with "
                f"pip install 'avel-tf[{settings.name}]', or choose --engine tensorflow."
            )
        available = {settings.name: available[settings.name]}
    found = [
        EngineChoice(name, precision)
        for name, precisions in available.items()
        for precision in precisions
        if settings.precision in (AUTO, precision)
    ]
    if not found:
        offered = ", ".join(f"{n} {p}" for n, each in available.items() for p in each)
        raise EngineUnavailableError(
            f"No engine here computes in {settings.precision}. There are: {offered}."
        )
    yield from found


def _openvino_precisions() -> list[str]:
    if importlib.util.find_spec("openvino") is None:
        return []
    return ["bfloat16"] * _computes_in_bfloat16() + ["float32"]


def _processor() -> dict[str, str]:
    """What the first processor says of itself; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _computes_in_bfloat16() -> bool:
    processor = _processor()
    flags = processor.get("flags", processor.get("Features", "")).split()
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def _has_gpu() -> bool:
    # Asked of the system: TensorFlow would have to be imported to be asked.
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _key(graphs: Graphs, candidates: list[EngineChoice], settings: EngineSettings) -> str:
    processor = _processor()
    content = {
        "graphs": graphs.key,
        "candidates": candidates,
        "batch_pictures": settings.batch_pictures,
        "processor": [processor.get(key) for key in ("model name", "model", "stepping")],
        "processors": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "versions": {name: _version(name) for name in _VERSIONS},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path, candidates: list[EngineChoice]) -> EngineChoice | None:
    """What an earlier proof found, or None."""
    try:
        choice = EngineChoice(*json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.info("%s cannot be read (%s); engines are proven again.", path, error)
        return None
    return choice if choice in [*candidates, REFERENCE] else None


def _prove(
    candidates: list[EngineChoice],
    graphs: Graphs,
    settings: EngineSettings,
    clips: Sequence[Clip],
) -> list[dict[str, Any]]:
    """What each engine's first proven precision takes; the reference stands among them."""
    logger.info("Proving engines on %d clips.", len(clips))
    expected = _outputs(make_engine(REFERENCE, graphs, settings), graphs, clips)
    findings: list[dict[str, Any]] = []
    for choice in candidates:
        if any(each["engine"] == choice.engine for each in findings):
            continue  # a faster precision of it is proven
        engine = make_engine(choice, graphs, settings)
        found = _outputs(engine, graphs, clips)
        cosine = min(_cosine(a, b) for a, b in zip(expected[:2], found[:2], strict=True))
        changed = int((expected[2] != found[2]).sum())
        if cosine < MIN_COSINE or changed:
            logger.warning(
                "The engine %s is not used: against float32 its embeddings have a cosine of %.5f "
                "(at least %g is wanted) and %d of %d labels change.",
                *(choice.description, cosine, MIN_COSINE, changed, expected[2].size),
            )
            continue
        began = time.perf_counter()
        for _ in engine.embed(_Kept(clips, _TIMED_PASSES)):
            pass
        seconds = time.perf_counter() - began
        findings.append({**choice._asdict(), "cosine": cosine, "seconds": seconds})
    if not findings:  # only where the reference itself was not among the candidates
        findings.append({**REFERENCE._asdict(), "cosine": 1.0, "seconds": 0.0})
    return findings


def _outputs(
    engine: Engine, graphs: Graphs, clips: Sequence[Clip]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visual [N, Dv], audio [N, Da] and labels [N] of the sample's seconds."""
    parts = [
        (visual[batch.file >= 0], audio[batch.file >= 0])
        for batch, visual, audio in engine.embed(_Kept(clips, 1))
    ]
    visual, audio = (np.concatenate(column) for column in zip(*parts, strict=True))
    if graphs.loaded.label is None:
        return visual, audio, np.zeros(0)
    return visual, audio, engine.label(visual[None], audio[None])[0].argmax(-1)


def _cosine(expected: np.ndarray, found: np.ndarray) -> float:
    """The smallest cosine between rows [N, D]; 1 where both rows are zero."""
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)  # [N]
    same = (expected == found).all(-1)
    products = (expected * found).sum(-1)
    return float(np.where(same, 1.0, products / np.where(lengths > 0, lengths, 1.0)).min())


class _Kept(SecondStream):
    """Clips that have been decoded, as a stream that can be read again."""

    def __init__(self, clips: Sequence[Clip], passes: int) -> None:
        frames = clips[0].frames  # [T, F, H, W, 3]
        super().__init__(
            [""] * len(clips),
            frames_per_second=frames.shape[1],
            size=frames.shape[2],
            workers=1,
        )
        self._clips = clips
        self._passes = passes

    def _blocks(self) -> Generator[tuple[int, Clip], None, None]:
        for _ in range(self._passes):
            yield from enumerate(self._clips)
