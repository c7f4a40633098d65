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
from avel_tf.engines.engine import Engine, Graphs
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

# Pictures in all, of up to so many files, looked for among the first ones.
PICTURES = 16
FILES = 4
AMONG = 1_000


def sample_clips(
    paths: Iterable[str | os.PathLike], recipe: Recipe, settings: DecodeSettings
) -> list[Clip]:
    """The beginnings of a few files, together some 16 pictures.

    They are decoded in a child process, also where `media.isolated` is false: no attempt has been
    noted yet, so a file that kills its reader would end every run here, and none would learn why.

    Args:
        paths: Files; what cannot be read is passed over.
        recipe: F and the size of the pictures.
        settings: Limits of the decoder.

    Returns:
        Up to four clips of equal length; none where no child process can be started.
    """
    visual = recipe.visual
    settings = replace(settings, isolated=True)
    seconds = max(1, PICTURES // FILES // visual.frames_per_second)
    clips: list[Clip] = []
    for path in itertools.islice(paths, AMONG):
        if sum(clip.seconds for clip in clips) * visual.frames_per_second >= PICTURES:
            break
        try:
            clip = clip_of(visual.decode_request(path, settings, seconds))
        except MediaError:
            continue
        except RuntimeError as error:
            logger.warning("%s No engine is proven.", error)
            return []
        clips.append(clip)
    return clips


logger = logging.getLogger(__name__)

# What a faster arithmetic must keep: the direction of every embedding, and every label.
MIN_COSINE = 0.999
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
# In place of it where the graphs come converted: that they compute the same has been tested.
CONVERTED = EngineChoice("openvino", "float32")


def choose_engine(
    graphs: Graphs, settings: EngineSettings, sample: Callable[[], Sequence[Clip]]
) -> EngineChoice:
    """The engine that the settings name, or the fastest of those that they leave open.

    Which is faster was measured once (docs/design/performance.md), and is not timed anew: on a busy
    machine the same command would choose differently from day to day. Whether it computes well
    enough, real pictures decide: on first use a candidate embeds and labels the sample, as does
    the reference: TensorFlow in float32, or OpenVINO in float32 for graphs that come converted
    for it, and then TensorFlow is not needed. One whose embeddings turn away from that reference
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
    candidates = engines_for(settings)
    if len(candidates) == 1:
        return candidates[0]
    name = f"{_key(graphs, candidates, settings)}.json"
    path = cache_folder(settings) / "proofs" / name
    chosen = _read(path, candidates)
    if chosen is None:
        reference = _reference(graphs, candidates)
        if candidates[0] == reference:
            return reference
        clips = sample()
        if not clips:
            unproven = reference if reference in candidates else candidates[-1]
            logger.warning(
                "No frame could be read to verify engines with; %s is used.", unproven.description
            )
            return unproven
        chosen, findings = _prove(candidates, reference, graphs, settings, clips)
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
    """Cache folder of compiled networks and proofs, temporary if it cannot be written.

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
        "The folder %s cannot be written, so compiled networks are not kept for the next run. "
        "engine.cache names another.",
        path,
    )
    return Path(temporary.name)


def engines_for(settings: EngineSettings, *, gpu: bool | None = None) -> list[EngineChoice]:
    """Engines and precisions of this machine that the settings leave open, the fastest first.

    Raises:
        EngineUnavailableError: There is none.
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
            f"No engine here computes in {settings.precision}. There are: "
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
        "converted": graphs.converted is not None,
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
    """Result of an earlier proof, or None."""
    try:
        choice = EngineChoice(*json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.info("%s cannot be read (%s); engines are proven again.", path, error)
        return None
    return choice if choice in [*candidates, REFERENCE, CONVERTED] else None


def _reference(graphs: Graphs, candidates: list[EngineChoice]) -> EngineChoice:
    """The engine that the candidates are held to."""
    # TensorFlow has to be loaded for its own engines, and to see whether a GPU is usable.
    if graphs.converted is None or candidates[0].engine != "openvino":
        return REFERENCE
    from avel_tf.engines.openvino_engine import readable_conversion

    return REFERENCE if readable_conversion(graphs) is None else CONVERTED


def _prove(
    candidates: list[EngineChoice],
    reference: EngineChoice,
    graphs: Graphs,
    settings: EngineSettings,
    clips: Sequence[Clip],
) -> tuple[EngineChoice, list[dict[str, Any]]]:
    """The first candidate that keeps to the reference, and what was found about those before."""
    engine = make_engine(reference, graphs, settings)
    if any(each.precision == "float16" for each in candidates) and not engine.device:
        logger.warning("There is a GPU, but TensorFlow does not see it.")
        candidates = engines_for(settings, gpu=False)
    expected = _outputs(engine, graphs, clips)
    findings: list[dict[str, Any]] = []
    for choice in candidates:
        if choice == reference:
            break
        found = _outputs(make_engine(choice, graphs, settings), graphs, clips)
        cosine = min(_cosine(a, b) for a, b in zip(expected[:2], found[:2], strict=True))
        changed = int((expected[2] != found[2]).sum())
        findings.append({**choice._asdict(), "cosine": cosine, "labels_changed": changed})
        if cosine >= MIN_COSINE and not changed:
            return choice, findings
        logger.warning(
            "The engine %s is not used: against float32 its embeddings have a cosine of %.5f "
            "(at least %g is wanted) and %d of %d labels change.",
            *(choice.description, cosine, MIN_COSINE, changed, expected[2].size),
        )
    return reference, findings


def _outputs(
    engine: Engine, graphs: Graphs, clips: Sequence[Clip]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visual [N, Dv], audio [N, Da] and labels [N] of the sample's seconds."""
    parts = [(visual, audio) for _, visual, audio in engine.embed(_Kept(clips))]
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


class _Kept(SegmentLoader):
    """Clips that have been decoded, as a stream that can be read again."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        frames = clips[0].frames  # [T, F, H, W, 3]
        super().__init__(
            [DecodeRequest("", frames.shape[1], frames.shape[2:4])] * len(clips),
            workers=1,
        )
        self._clips = clips

    def _blocks(self) -> Generator[tuple[int, Clip], None, None]:
        yield from enumerate(self._clips)
