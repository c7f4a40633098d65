"""Decision whether an engine in int8 is used."""

from __future__ import annotations

import logging
from collections.abc import Callable

from avel_tf.engines.available import EngineChoice, EngineUnavailableError
from avel_tf.engines.crashes import record_crash
from avel_tf.engines.engine import EngineCrashed, Graphs
from avel_tf.engines.fallback import load_engine
from avel_tf.engines.int8_proof import (
    FEWEST,
    SEGMENTS,
    Int8Finding,
    compare,
    find_finding,
    save_finding,
)
from avel_tf.engines.quantization import (
    SECONDS,
    QuantizedNetwork,
    find_quantized,
    later_clips,
    quantize,
)
from avel_tf.engines.sample import SampleFiles
from avel_tf.engines.settings import AUTO, EngineSettings

logger = logging.getLogger(__name__)

# `auto` quantizes a network only for a run of this many files, so that calibration and proof are a
# small part of it (docs/design/engines.md).
FEWEST_FILES = 500


def choose_int8(
    candidate: EngineChoice,
    reference: Callable[[], EngineChoice],
    graphs: Graphs,
    settings: EngineSettings,
    files: SampleFiles,
) -> EngineChoice | None:
    """Quantize the backbones, compare their labels with float32, and decide.

    Both are done once; the network and the finding are kept in the cache.

    Args:
        candidate: The engine in int8.
        reference: Function that returns the verified engine in float32, called if it is needed.
        graphs: The graphs.
        settings: Requested engine and precision. If the precision is `int8`, the finding is logged
            but does not decide.
        files: The files of the run; empty if they are not known.

    Returns:
        The engine with the digest of its network; None if int8 is not used.

    Raises:
        EngineUnavailableError: int8 is requested, and there are no files to calibrate on, or frames
            are reused that only resemble each other; or the engine is requested by name as well,
            and the quantization failed.
    """
    demanded = settings.precision != AUTO
    if graphs.reuse is not None and graphs.reuse.threshold is not None:
        if demanded:
            raise EngineUnavailableError(
                "engine.precision=int8 cannot be combined with embeddings.visual.reuse=near, "
                "because it embeds whole segments. Choose another precision, or reuse=exact."
            )
        return None
    network = find_quantized(graphs, settings)
    if network is None:
        if not demanded and (files is None or len(files) < FEWEST_FILES or not graphs.name_classes):
            return None
        network = _quantize(candidate, graphs, settings, files)
        if network is None:
            return None
    finding = find_finding(graphs.key, network.choice.network, settings)
    if files and (finding is None or _is_too_short(finding)) and (demanded or _is_long(files)):
        finding = _compare(network, reference(), graphs, settings, files) or finding
        if finding and not finding.accepted and not demanded:
            logger.warning("The engine openvino int8 is not used: %s.", finding)
    if not demanded:
        return network.choice if finding and finding.accepted else None
    if finding is None or not finding.accepted:
        logger.warning(
            "engine.precision=int8 is not proven for this model: %s.",
            finding or "it was not compared with float32 on this processor",
        )
    return network.choice


def _is_too_short(finding: Int8Finding) -> bool:
    return finding.flips is not None and finding.segments < FEWEST


def _is_long(files: SampleFiles) -> bool:
    return len(files) >= FEWEST_FILES


def _quantize(
    candidate: EngineChoice, graphs: Graphs, settings: EngineSettings, files: SampleFiles
) -> QuantizedNetwork | None:
    if not files:
        raise EngineUnavailableError(
            "engine.precision=int8 has no quantized network for this model in the cache, and no "
            "files to calibrate one on. Run avel infer on some files with this setting first, or "
            "choose another precision."
        )
    logger.info("Quantizing the backbones; this is done once.")
    try:
        return quantize(graphs, settings, files)
    except (EngineCrashed, RuntimeError, ValueError) as error:
        if isinstance(error, EngineCrashed):
            record_crash(candidate, error, graphs, settings)
        if AUTO not in (settings.name, settings.precision):
            raise EngineUnavailableError(
                f"The backbones cannot be quantized ({error}). No media file is the cause. "
                "Choose another engine.precision."
            ) from error
        logger.warning(
            "The engine openvino int8 is not used: the backbones cannot be quantized (%s). "
            "No media file is the cause.",
            error,
        )
        return None


def _compare(
    network: QuantizedNetwork,
    reference: EngineChoice,
    graphs: Graphs,
    settings: EngineSettings,
    files: SampleFiles,
) -> Int8Finding | None:
    try:
        engines = (
            load_engine(network.choice, graphs, settings),
            load_engine(reference, graphs, settings),
        )
        clips = later_clips(files.clips(SECONDS), network.files)
        finding = compare(
            network.choice,
            reference,
            engines,
            graphs,
            ((clip, None) for clip in clips),
            most=SEGMENTS,
        )
    except EngineCrashed as crash:
        record_crash(network.choice, crash, graphs, settings)
        logger.warning(
            "The engine openvino int8 cannot be compared with float32: it crashed (%s). No media "
            "file is the cause.",
            crash,
        )
        return None
    except ValueError as error:
        logger.warning("The engine openvino int8 cannot be compared with float32: %s.", error)
        return None
    save_finding(finding, settings)
    return finding
