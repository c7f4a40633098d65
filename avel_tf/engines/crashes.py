"""Record of the engines that crashed on this machine, so that they are not tried again."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from avel_tf.engines.available import EngineChoice, cache_folder, machine, version
from avel_tf.engines.engine import EngineCrashed, Graphs
from avel_tf.engines.settings import EngineSettings
from avel_tf.utils.durable_files import atomic_text


class Crash(NamedTuple):
    """A crash of an engine. It counts for one model on one processor with one OpenVINO version.

    Attributes:
        choice: The engine.
        fault: Name of the signal, as in `SIGILL`.
        date: Day as `YYYY-MM-DD`.
        graphs: Key of the graphs.
        path: File of the record; the engine is tried again when it is deleted.
    """

    choice: EngineChoice
    fault: str
    date: str
    graphs: str
    path: Path


def record_crash(
    choice: EngineChoice, crash: EngineCrashed, graphs: Graphs, settings: EngineSettings
) -> None:
    """Record a crash, unless something else than the engine may be the cause."""
    if crash.fault is None:
        return
    content = {
        "choice": choice,
        "fault": crash.fault,
        "date": datetime.date.today().isoformat(),
        "graphs": graphs.key,
    }
    name = hashlib.sha256(f"{choice.description} {graphs.key}".encode()).hexdigest()
    with atomic_text(_folder(settings) / f"{name}.json") as file:
        file.write(json.dumps(content, indent=2) + "\n")


def recorded_crashes(settings: EngineSettings, graphs: Graphs | None = None) -> Iterator[Crash]:
    """Crashes on this processor with this version of OpenVINO, of all graphs or the given ones."""
    for path in sorted(_folder(settings).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            record["choice"] = EngineChoice(*record["choice"])
            crash = Crash(**record, path=path)
        except (OSError, ValueError, TypeError, KeyError):
            continue  # it is damaged: the engine is tried again
        if graphs is None or crash.graphs == graphs.key:
            yield crash


def _folder(settings: EngineSettings) -> Path:
    """Folder of the records of this processor and this version of OpenVINO."""
    here = json.dumps([machine(), version("openvino")], sort_keys=True)
    return cache_folder(settings) / "crashes" / hashlib.sha256(here.encode()).hexdigest()[:16]
