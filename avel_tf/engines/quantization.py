"""Quantized networks in the cache: made on first use, calibrated on the user's files, and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avel_tf.engines.available import INT8, EngineChoice, cache_folder, version
from avel_tf.engines.engine import Graphs
from avel_tf.engines.sample import SampleFiles
from avel_tf.engines.settings import EngineSettings
from avel_tf.utils.durable_files import atomic_text, exclusive_lock, publish
from avel_tf.video.clip import Clip

logger = logging.getLogger(__name__)

# Number of images over which the ranges of activations are measured, and the most that come from
# one file. docs/design/engines.md has the cost.
IMAGES = 128
IMAGES_OF_A_FILE = 8
# Seconds of a file that are decoded: one window of the localizer.
SECONDS = 10


class QuantizedNetwork(NamedTuple):
    """A quantized network in the cache.

    Attributes:
        choice: The engine in int8 with the digest of this network.
        files: Number of the first files of the run that it was calibrated on.
        content: Content of its JSON file.
    """

    choice: EngineChoice
    files: int
    content: dict[str, Any]


def find_quantized(graphs: Graphs, settings: EngineSettings) -> QuantizedNetwork | None:
    """The quantized network of some graphs in the cache, or None."""
    try:
        content = json.loads(_record(graphs, settings).read_text(encoding="utf-8"))
        choice = EngineChoice("openvino", INT8, str(content["network"]))
        return QuantizedNetwork(choice, int(content["calibration"]["files"]), content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.info("The quantized network cannot be read (%s); it is made again.", error)
        return None


def quantize(graphs: Graphs, settings: EngineSettings, files: SampleFiles) -> QuantizedNetwork:
    """Quantize the backbones of some graphs, unless the cache has it already.

    The network is kept, so all runs with these graphs use the same one, whatever their files. It is
    made in a child process of its own.

    Args:
        graphs: The graphs.
        settings: Settings of the cache.
        files: The files to calibrate on.

    Raises:
        ValueError: None of the files can be read.
        EngineCrashed: The child process has ended, for instance for a lack of memory.
        RuntimeError: NNCF or OpenVINO cannot quantize the network.
    """
    from avel_tf.engines.openvino_engine import QUANTIZED, OpenVinoEngine

    engine = OpenVinoEngine(graphs, cache=cache_folder(settings))
    record = _record(graphs, settings)
    with exclusive_lock(record.with_suffix(".lock")):
        if found := find_quantized(graphs, settings):
            return found
        count, frames, waveform = _calibration_segments(files, graphs)
        digest = hashlib.sha256(frames.data)
        digest.update(waveform.data)
        with tempfile.TemporaryDirectory(dir=record.parent) as folder:
            sample, made = Path(folder, "sample.npz"), Path(folder, f"{QUANTIZED}.xml")
            np.savez(sample, frames=frames, waveform=waveform)
            layers = engine.quantize(sample, made)
            network = hashlib.sha256(made.read_bytes())
            network.update(made.with_suffix(".bin").read_bytes())
            # Those of an earlier network, with a fixed batch size.
            for path in record.parent.glob(f"{QUANTIZED}-*"):
                path.unlink()
            for path in (made.with_suffix(".bin"), made):
                publish(path, record.parent / path.name)
        name = network.hexdigest()[:12]
        calibration = {"files": count, "segments": len(frames), "sha256": digest.hexdigest()}
        content = {
            "network": name,
            "calibration": calibration,
            "layers": layers,
            "nncf": version("nncf"),
        }
        # It is last, so that it exists only with a complete network.
        with atomic_text(record) as file:
            file.write(json.dumps(content, indent=2) + "\n")
    return QuantizedNetwork(EngineChoice("openvino", INT8, name), count, content)


def _record(graphs: Graphs, settings: EngineSettings) -> Path:
    from avel_tf.engines.openvino_engine import QUANTIZED, network_folder

    return network_folder(graphs, cache_folder(settings)) / f"{QUANTIZED}.json"


def _calibration_segments(files: SampleFiles, graphs: Graphs) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of files used, frames uint8 [N, F, H, W, 3] and waveform float32 [N, 16000]."""
    rate = graphs.recipe.visual.frames_per_second
    segments = max(1, IMAGES // rate)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    count = 0
    for clip in files.clips(SECONDS):
        places = np.flatnonzero(clip.valid)
        most = min(len(places), max(1, IMAGES_OF_A_FILE // rate))
        places = places[np.linspace(0, len(places) - 1, most).astype(int)]
        parts.append((clip.frames[places], clip.waveform.reshape(clip.seconds, -1)[places]))
        count += 1
        if sum(len(frames) for frames, _ in parts) >= segments:
            break
    if not any(len(frames) for frames, _ in parts):
        raise ValueError("no frame could be read to calibrate the network with")
    frames, waveform = (np.concatenate(column) for column in zip(*parts, strict=True))
    return count, np.ascontiguousarray(frames), np.ascontiguousarray(waveform)


def later_clips(clips: Iterable[Clip], files: int) -> Iterator[Clip]:
    """The clips after those that a network was calibrated on; all if there are no others."""
    seen: list[Clip] = []
    rest = iter(clips)
    for clip in rest:
        if len(seen) == files:
            seen.clear()
            yield clip
            yield from rest
            return
        seen.append(clip)
    yield from seen
