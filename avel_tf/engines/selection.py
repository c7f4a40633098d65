"""Selection of the fastest engine whose results were verified on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avel_tf.engines.available import (
    INT8,
    REFERENCE,
    EngineChoice,
    EngineUnavailableError,
    cache_folder,
    engines_for,
    machine,
    version,
)
from avel_tf.engines.crashes import record_crash, recorded_crashes
from avel_tf.engines.engine import Engine, EngineCrashed, Graphs, KnownOutputs
from avel_tf.engines.fallback import FallbackEngine, load_engine
from avel_tf.engines.int8 import choose_int8
from avel_tf.engines.int8_proof import smallest_cosine
from avel_tf.engines.sample import SampleFiles
from avel_tf.engines.settings import AUTO, EngineSettings
from avel_tf.utils.durable_files import atomic_text
from avel_tf.video.clip import Clip
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.segment_loader import SegmentLoader

if TYPE_CHECKING:
    from avel_tf.video.clip import Clip

logger = logging.getLogger(__name__)

# Smallest cosine between the embeddings of a candidate and of the reference.
MIN_COSINE = 0.999
_VERSIONS = ("avel-tf", "tensorflow", "openvino")
# Engines that were loaded to be verified, until `make_engine` takes them.
_verified: dict[tuple[EngineChoice, str, EngineSettings], Engine] = {}


def choose_engine(
    graphs: Graphs,
    settings: EngineSettings,
    sample: Callable[[], Sequence[Clip]],
    files: SampleFiles | None = None,
) -> EngineChoice:
    """Choose the engine of the settings, or the fastest verified one.

    Candidates are ordered by speed as measured (docs/design/performance.md). They are not timed
    again, because the choice would then depend on the load of the machine. On first use, a
    candidate and the reference, TensorFlow in float32, embed and label a sample. The pretrained
    model has stored outputs of the reference. A candidate is rejected with a warning if the cosine
    of an embedding to that of the reference is below 0.999, if a label changes, or if it fails. The
    result is cached under a hash of graphs, processor and library versions.

    Args:
        graphs: The graphs.
        settings: Requested engine and precision.
        sample: Function that returns clips for the verification, called without a cached result. If
            it returns none, the reference is used for this run.
        files: The files of the run, to calibrate and prove int8 with (`avel_tf.engines.int8`). None
            excludes int8: several machines would calibrate networks of their own.

    Returns:
        The choice, for `make_engine`.

    Raises:
        EngineUnavailableError: The requested engine is not installed or crashed on this processor,
            or no engine supports the precision, or int8 is requested and cannot be calibrated.
    """
    candidates = _not_crashed(engines_for(settings), graphs, settings)
    known = graphs.known_outputs()
    if known and settings.precision in (AUTO, *known.precisions):
        candidates = [each for each in candidates if each.precision in known.precisions]
    else:
        known = None
    if candidates[0].precision == INT8 and files is not None:

        def reference() -> EngineChoice:
            float32 = replace(settings, precision="float32")
            found = choose_engine(graphs, float32, sample)
            _verified.pop((found, graphs.key, float32), None)
            return found

        if chosen := choose_int8(candidates[0], reference, graphs, settings, files):
            return chosen
        if settings.precision == INT8:
            return reference()
    elif settings.precision == INT8 and candidates[0].precision == INT8:
        raise EngineUnavailableError(
            "engine.precision=int8 is not available with --ray, because each machine would "
            "calibrate a network of its own. Choose another precision."
        )
    # It is not verified as the others are, and after an engine of a GPU not considered.
    candidates = [each for each in candidates if each.precision != INT8]
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


def make_engine(choice: EngineChoice, graphs: Graphs, settings: EngineSettings) -> FallbackEngine:
    """Load or compile the networks with the libraries of the chosen engine only.

    If the process of the engine crashes, the next engine takes over; see `FallbackEngine`.
    """
    return FallbackEngine(
        choice, graphs, settings, _verified.pop((choice, graphs.key, settings), None)
    )


def _not_crashed(
    candidates: list[EngineChoice], graphs: Graphs, settings: EngineSettings
) -> list[EngineChoice]:
    """Candidates that have not crashed on this processor; the reference if all have.

    Raises:
        EngineUnavailableError: The settings demand an engine and precision that crashed.
    """
    # A crash counts for any quantized network of these graphs.
    crashes = {crash.choice[:2]: crash for crash in recorded_crashes(settings, graphs)}
    left = [each for each in candidates if each[:2] not in crashes]
    if not left and AUTO not in (settings.name, settings.precision):
        crash = crashes[candidates[0][:2]]
        raise EngineUnavailableError(
            f"The engine {crash.choice.description} crashed with this model on this processor "
            f"({crash.fault}, {crash.date}). Choose --engine auto, or delete {crash.path} to try "
            "it again."
        )
    return left or [REFERENCE]


def _key(graphs: Graphs, candidates: list[EngineChoice], settings: EngineSettings) -> str:
    content = {
        "graphs": graphs.key,
        "candidates": candidates,
        "batch_pictures": settings.batch_pictures,
        "processors": len(os.sched_getaffinity(0)),
        **machine(),
        "versions": {name: version(name) for name in _VERSIONS},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
        engine = load_engine(REFERENCE, graphs, settings)
        if any(each.precision == "float16" for each in candidates) and not engine.device:
            logger.warning("This machine has a GPU that TensorFlow cannot use.")
            without_gpu = _not_crashed(engines_for(settings, gpu=False), graphs, settings)
            candidates = [each for each in without_gpu if each.precision != INT8]
        expected = _outputs(engine, graphs, clips)
    findings: list[dict[str, Any]] = []
    for choice in candidates:
        if choice == REFERENCE:
            break
        try:
            engine = load_engine(choice, graphs, settings)
            found = _outputs(engine, graphs, clips)
        except EngineCrashed as crash:
            record_crash(choice, crash, graphs, settings)
            findings.append({**choice._asdict(), "crashed": str(crash)})
            logger.warning(
                "The engine %s is not used: it crashed (%s). No media file is the cause.",
                *(choice.description, crash),
            )
            continue
        except RuntimeError as error:  # OpenVINO does not compile every network everywhere
            findings.append({**choice._asdict(), "failed": str(error)})
            logger.warning(
                "The engine %s is not used: %s",
                *(choice.description, str(error).strip().replace("\n", " ")),
            )
            continue
        cosine = min(smallest_cosine(a, b) for a, b in zip(expected[:2], found[:2], strict=True))
        changed = int((expected[2] != found[2]).sum())
        findings.append({**choice._asdict(), "cosine": cosine, "labels_changed": changed})
        if cosine >= MIN_COSINE and not changed:
            _verified[choice, graphs.key, settings] = engine
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
