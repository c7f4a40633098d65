"""Checkpoint of an extraction: finished groups of videos, and a journal of attempts."""

from __future__ import annotations

import dataclasses
import glob
import io
import json
import logging
import shutil
import threading
import zipfile
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from avel_tf.features.feature_store import FeatureStoreError
from avel_tf.features.features import Features
from avel_tf.utils.durable_files import JournalFile, RunLock, write_atomically
from avel_tf.video.segment_loader import DecodeStatus

ATTEMPTS = "attempts.jsonl"


class Attempts:
    """Append-only journal with a line before each file is decoded and one after its features.

    A killed process leaves attempts without an end, and each of these files may have crashed it.
    `died_together` counts such attempts while other files were in progress, `died_alone` those of a
    file on its own. An incomplete last line is removed.

    Args:
        folder: Folder of the journal.
        died: Whether the last process that wrote to it was killed or failed.

    Attributes:
        failure: Error of an attempt that could not be written, kept for the main thread.

    Raises:
        OSError: The log cannot be read or written.

    Example:
        >>> attempts = Attempts(Path(".features.resume"), died=False)
        >>> attempts.begin("train/17")
        >>> attempts.end("train/17")
        >>> attempts.close()
    """

    def __init__(self, folder: Path, *, died: bool) -> None:
        self.died_together: Counter[str] = Counter()
        self.died_alone: Counter[str] = Counter()
        self.failure: OSError | None = None
        self._unfinished: dict[
            str, bool
        ] = {}  # name of each unfinished attempt, and whether it was alone
        self._lock = threading.Lock()  # attempts come from the decoding threads
        self._closed = False
        self._file = JournalFile(folder / ATTEMPTS)
        try:
            self._read()
            self._settle(died)
            self._file.append({"died": died})
        except BaseException:
            self._file.close()
            raise

    def begin(self, name: str, *, alone: bool = False) -> None:
        """Record that a file is about to be decoded; any thread may call it.

        Args:
            name: Name of the file, the same in every run.
            alone: No other file is in progress until it has ended.

        Raises:
            OSError: It cannot be written, so the file must not be decoded.
            ValueError: The log is closed.
        """
        with self._lock:
            if self._closed:
                # A decoding thread may outlive a stopped run; it must not open its file.
                raise ValueError("The extraction has ended.")
            try:
                self._file.append({"begin": name, "alone": alone})
            except OSError as error:
                self.failure = error
                raise

    def end(self, name: str) -> None:
        """Record that a file is finished.

        Raises:
            OSError: It cannot be written.
        """
        with self._lock:
            self._file.append({"end": name})

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._file.close()

    def _read(self) -> None:
        for _, line in self._file.lines():
            try:
                record = json.loads(line)
                if "begin" in record:
                    self._unfinished[record["begin"]] = bool(record["alone"])
                elif "end" in record:
                    self._unfinished.pop(record["end"], None)
                else:
                    self._settle(record["died"])
            except (ValueError, TypeError, KeyError):
                continue  # a power cut can leave such a line

    def _settle(self, died: bool) -> None:
        """End a run; if it died, its unfinished files are suspects."""
        for name, alone in self._unfinished.items():
            if died:
                (self.died_alone if alone else self.died_together)[name] += 1
        self._unfinished.clear()


logger = logging.getLogger(__name__)

PLAN = "plan.json"
LOCK = "lock"
# Videos in a group. A killed run loses at most one group: ten seconds of work at F = 2, some
# minutes at F = 16 without a GPU.
GROUP_VIDEOS = 64
Group = list[tuple[Features | None, DecodeStatus]]


def encode_group(group: Group) -> bytes:
    """The content of the file of a group."""
    arrays: dict[str, Any] = {
        "outcomes": json.dumps([dataclasses.asdict(outcome) for _, outcome in group])
    }
    for place, (features, _) in enumerate(group):
        if features is not None:
            arrays[f"{place}/visual"] = features.visual
            arrays[f"{place}/audio"] = features.audio
            arrays[f"{place}/valid"] = features.valid
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def decode_group(content: bytes) -> Group:
    """The group that `encode_group` has encoded."""
    group: Group = []
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for place, outcome in enumerate(json.loads(str(arrays["outcomes"]))):
            features = None
            if f"{place}/valid" in arrays:
                columns = (arrays[f"{place}/{key}"] for key in ("visual", "audio", "valid"))
                features = Features(*columns)
            outcome["audio_track"] = tuple(outcome.get("audio_track", ()))
            group.append((features, DecodeStatus(**outcome)))
    return group


class ExtractionCheckpoint:
    """Checkpoint folder of an extraction, `.NAME.resume`, with a file for each group of videos.

    One process at a time holds it. Groups of another plan are removed. An unexpected exception
    counts like a killed process, because a file may be its cause.

    Args:
        store: Path of the feature store.
        plan: Everything that determines the features: recipe, files, settings.

    Attributes:
        attempts: Journal of attempts, also of earlier runs on the same plan.

    Raises:
        FeatureStoreError: Another process is extracting to the same place.

    Example:
        >>> with ExtractionCheckpoint(Path("features"), plan) as groups:
        ...     group = groups.load("train-00000")
        ...     if group is None:
        ...         groups.save("train-00000", [...])
        ...     groups.discard()
    """

    def __init__(self, store: Path, plan: dict[str, Any]) -> None:
        self.store = store
        self.folder = store.with_name(f".{store.name}.resume")
        self._plan = json.dumps(plan, sort_keys=True, ensure_ascii=True)

    def __enter__(self) -> ExtractionCheckpoint:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = RunLock(self.folder / LOCK)
        except BlockingIOError:
            raise FeatureStoreError(
                f"Another run is extracting features to {self.store}. Wait for it to end, or give "
                "another --out."
            ) from None
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begin(self) -> None:
        plan = self.folder / PLAN
        if not plan.is_file() or plan.read_text(encoding="utf-8") != self._plan:
            for path in self.folder.iterdir():
                if path.name != LOCK:
                    path.unlink()
            write_atomically(plan, self._plan.encode())
        # Left by killed `FeatureStoreWriter`s; the lock excludes a running one.
        for partial in self.folder.parent.glob(f".{glob.escape(self.store.name)}.*.partial"):
            shutil.rmtree(partial)
        self.attempts = Attempts(self.folder, died=self._lock.last_state == "open")
        self._lock.mark("open")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.attempts.close()
        # Ctrl-C and a full disk are not caused by a file.
        in_order = kind is None or issubclass(kind, OSError) or not issubclass(kind, Exception)
        if in_order and self.folder.is_dir():
            self._lock.mark("shut")
            suspects = self.attempts.died_together or self.attempts.died_alone
            if not suspects and not any(self.folder.glob("*.npz")):
                self.discard()  # nothing to resume
        self._lock.release()

    def discard(self) -> None:
        """Remove the folder, after the feature store is complete."""
        shutil.rmtree(self.folder)

    def load(self, name: str) -> Group | None:
        """Load the videos of a group in order; None if the group is not finished."""
        path = self.folder / f"{name}.npz"
        if not path.is_file():
            return None
        try:
            return decode_group(path.read_bytes())
        except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            logger.warning("%s is damaged (%s); its videos are extracted again.", path, error)
            return None

    def save(self, name: str, group: Group) -> None:
        """Save a finished group atomically."""
        write_atomically(self.folder / f"{name}.npz", encode_group(group))
