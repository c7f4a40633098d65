"""Selection of the fastest engine whose results were verified on this machine."""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.engine import Engine, Graphs, KnownOutputs
from avel_tf.engines.settings import AUTO, EngineSettings
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.lazy_imports import load_tensorflow
from avel_tf.video.clip import Clip
from avel_tf.video.decode import clip_of
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.segment_loader import SegmentLoader

if TYPE_CHECKING:
    from avel_tf.video.clip import Clip

logger = logging.getLogger(__name__)

# Number of frames, from up to FILES files among the first AMONG ones.
FRAMES = 16
FILES = 4
AMONG = 1_000


def sample_clips(
    paths: Iterable[str | os.PathLike], recipe: Recipe, settings: DecodeSettings
) -> list[Clip]:
    """Decode the beginnings of a few files, about 16 frames in total.

    A worker process decodes them even if `media.isolated` is false. The run has recorded no attempt
    yet, so a file that crashes its decoder would otherwise end every run without a message.

    Args:
        paths: Files; those that cannot be read are skipped.
        recipe: Frames per second and size of the frames.
        settings: Limits of decoding.

    Returns:
        Up to four clips of equal length; none if no worker process can be started.
    """
    visual = recipe.visual
    settings = replace(settings, isolated=True)
    seconds = max(1, FRAMES // FILES // visual.frames_per_second)
    clips: list[Clip] = []
    for path in itertools.islice(paths, AMONG):
        if sum(clip.seconds for clip in clips) * visual.frames_per_second >= FRAMES:
            break
        try:
            clip = clip_of(visual.decode_request(path, settings, seconds))
        except MediaError:
            continue
        except RuntimeError as error:
            logger.warning("%s Engines are not verified.", error)
            return []
        clips.append(clip)
    return clips


logger = logging.getLogger(__name__)

# Smallest cosine between the embeddings of a candidate and of the reference.
MIN_COSINE = 0.999
_VERSIONS = ("avel-tf", "tensorflow", "openvino")


class EngineUnavailableError(ValueError):
    """An engine or precision that is not available on this machine."""


class EngineChoice(NamedTuple):
    """An engine and its precision."""

    engine: str
    precision: str

    @property
    def description(self) -> str:
        """Name such as `openvino bfloat16`."""
        return f"{self.engine} {self.precision}"


# Reference of the verification, and the engine without verification.
REFERENCE = EngineChoice("tensorflow", "float32")


def choose_engine(
    graphs: Graphs, settings: EngineSettings, sample: Callable[[], Sequence[Clip]]
) -> EngineChoice:
    """Choose the engine of the settings, or the fastest verified one.

    Candidates are ordered by speed as measured (docs/design/performance.md). They are not timed
    again, because the choice would then depend on the load of the machine. On first use, a
    candidate and the reference, TensorFlow in float32, embed and label a sample. The pretrained
    model has stored outputs of the reference. A candidate is rejected with a warning if the cosine
    of an embedding to that of the reference is below 0.999, or if a label changes. The result is
    cached under a hash of graphs, processor and library versions.

    Args:
        graphs: The graphs.
        settings: Requested engine and precision.
        sample: Function that returns clips for the verification, called without a cached result. If
            it returns none, the reference is used for this run.

    Returns:
        The choice, for `make_engine`.

    Raises:
        EngineUnavailableError: The requested engine is not installed, or no engine supports the
            precision.
    """
    candidates = engines_for(settings)
    known = graphs.known_outputs()
    if known and settings.precision in (AUTO, *known.precisions):
        candidates = [each for each in candidates if each.precision in known.precisions]
    else:
        known = None
    if len(candidates) == 1:
        return candidates[0]
    name = f"{_key(graphs, candidates, settings)}.json"
    path = cache_folder(settings) / "proofs" / name
    chosen = _read(path, candidates)
    if chosen is None:
        if candidates[0] == REFERENCE:
            return REFERENCE
        clips = known.clips if known else sample()
        if not clips:
            unverified = REFERENCE if REFERENCE in candidates else candidates[-1]
            logger.warning(
                "No frame could be read to verify engines with; %s is used.", unverified.description
            )
            return unverified
        chosen, findings = _verify(candidates, graphs, settings, clips, known)
        with atomic_text(path) as file:
            file.write(json.dumps({"chosen": chosen, "findings": findings}, indent=2) + "\n")
    return chosen


def make_engine(choice: EngineChoice, graphs: Graphs, settings: EngineSettings) -> Engine:
    """Load or compile the networks with the libraries of the chosen engine only."""
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
    """Cache folder of compiled networks and verifications; temporary if it cannot be written.

    Reference:
        XDG Base Directory Specification
        (https://specifications.freedesktop.org/basedir-spec/latest/).
    """
    folder = settings.cache or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _writable(folder if settings.cache else os.path.join(folder, "avel-tf"))


@functools.cache
def _writable(folder: str) -> Path:
    path = Path(os.path.expanduser(folder))
    try:
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if writable:
        return path
    temporary = tempfile.TemporaryDirectory(prefix="avel-cache-")
    atexit.register(temporary.cleanup)
    logger.warning(
        "The folder %s cannot be written, so compiled networks are not cached for the next run. "
        "Set engine.cache to another folder.",
        path,
    )
    return Path(temporary.name)


def engines_for(settings: EngineSettings, *, gpu: bool | None = None) -> list[EngineChoice]:
    """Engines and precisions of this machine that match the settings, fastest first.

    Raises:
        EngineUnavailableError: None matches.
    """
    gpu = _has_gpu() if gpu is None else gpu
    bfloat16 = computes_in_bfloat16()
    available = [EngineChoice("tensorflow", "float16")] * gpu
    available += [REFERENCE] * gpu
    if importlib.util.find_spec("openvino") is not None:
        available += [EngineChoice("openvino", "bfloat16")] * bfloat16
        available.append(EngineChoice("openvino", "float32"))
    available += [EngineChoice("tensorflow", "bfloat16")] * (bfloat16 and not gpu)
    available += [REFERENCE] * (not gpu)
    of_engine = [each for each in available if settings.name in (AUTO, each.engine)]
    if not of_engine:
        raise EngineUnavailableError(
            f"The engine {settings.name} is not installed. Install it with "
            f"pip install 'avel-tf[{settings.name}]', or choose --engine tensorflow."
        )
    found = [each for each in of_engine if settings.precision in (AUTO, each.precision)]
    if not found:
        raise EngineUnavailableError(
            f"No engine of this machine supports {settings.precision}. Available: "
            f"{', '.join(each.description for each in of_engine)}."
        )
    return found


def _processor() -> dict[str, str]:
    """Entries of the first processor in /proc/cpuinfo; empty if it cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def computes_in_bfloat16() -> bool:
    """Return True if oneDNN, in both engines, may use bfloat16 instructions.

    Reference:
        oneDNN developer guide, CPU dispatcher control
        (https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html).
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    if not any(
        word in limit.upper() for word in ("DEFAULT", "ALL", "BF16", "FP16", "AMX", "AVX10")
    ):
        return False
    processor = _processor()
    flags = processor.get("flags", processor.get("Features", "")).split()
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def _has_gpu() -> bool:
    # By device files, because TensorFlow would have to be imported.
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
        "gpus": [path.read_text() for path in sorted(Path("/proc/driver/nvidia").glob("gpus/*/*"))],
        "versions": {name: _version(name) for name in _VERSIONS},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path, candidates: list[EngineChoice]) -> EngineChoice | None:
    """Result of an earlier verification, or None."""
    try:
        choice = EngineChoice(*json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.info("%s cannot be read (%s); engines are verified again.", path, error)
        return None
    return choice if choice in [*candidates, REFERENCE] else None


def _verify(
    candidates: list[EngineChoice],
    graphs: Graphs,
    settings: EngineSettings,
    clips: Sequence[Clip],
    known: KnownOutputs | None,
) -> tuple[EngineChoice, list[dict[str, Any]]]:
    """Find the first candidate that agrees with the reference; also returns all findings."""
    if known:
        expected = known.visual, known.audio, known.labels
    else:
        engine = make_engine(REFERENCE, graphs, settings)
        if any(each.precision == "float16" for each in candidates) and not engine.device:
            logger.warning("This machine has a GPU that TensorFlow cannot use.")
            candidates = engines_for(settings, gpu=False)
        expected = _outputs(engine, graphs, clips)
    findings: list[dict[str, Any]] = []
    for choice in candidates:
        if choice == REFERENCE:
            break
        found = _outputs(make_engine(choice, graphs, settings), graphs, clips)
        cosine = min(_cosine(a, b) for a, b in zip(expected[:2], found[:2], strict=True))
        changed = int((expected[2] != found[2]).sum())
        findings.append({**choice._asdict(), "cosine": cosine, "labels_changed": changed})
        if cosine >= MIN_COSINE and not changed:
            return choice, findings
        logger.warning(
            "The engine %s is not used: its embeddings have a cosine of %.5f to float32 "
            "(required: %g) and %d of %d labels change.",
            *(choice.description, cosine, MIN_COSINE, changed, expected[2].size),
        )
    return REFERENCE, findings


def _outputs(
    engine: Engine, graphs: Graphs, clips: Sequence[Clip]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visual [N, Dv], audio [N, Da] and labels [N] of the sample."""
    parts = [(visual, audio) for _, visual, audio in engine.embed(_DecodedClips(clips))]
    visual, audio = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not graphs.name_classes:
        return visual, audio, np.zeros(0)
    valid = np.ones((1, len(visual)), bool)
    return visual, audio, engine.label(visual[None], audio[None], valid)[0].argmax(-1)


def _cosine(expected: np.ndarray, found: np.ndarray) -> float:
    """The smallest cosine between rows [N, D]; 1 where both rows are zero."""
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)  # [N]
    same = (expected == found).all(-1)
    products = (expected * found).sum(-1)
    return float(np.where(same, 1.0, products / np.where(lengths > 0, lengths, 1.0)).min())


class _DecodedClips(SegmentLoader):
    """Loader of decoded clips, which can be read several times."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        frames = clips[0].frames  # [T, F, H, W, 3]
        super().__init__(
            [DecodeRequest("", frames.shape[1], frames.shape[2:4])] * len(clips),
            workers=1,
        )
        self._clips = clips

    def _blocks(self) -> Generator[tuple[int, Clip], None, None]:
        yield from enumerate(self._clips)
