"""Worker of a cluster: an actor of Ray that opens a model once and labels blocks of files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from avel_tf.cluster.remote_files import DownloadError, download, stamp_of
from avel_tf.cluster.result_store import Stamp
from avel_tf.config import Config
from avel_tf.events.result import Result
from avel_tf.utils.process_folder import ProcessFolder
from avel_tf.utils.storage import is_remote

if TYPE_CHECKING:
    import pyarrow

    from avel_tf.inference.batch import LabelsFiles


class OpensModel(Protocol):
    """Function that makes a pipeline from the folder of a model."""

    def __call__(
        self, folder: Path, config: Config, classes: Sequence[str] | None
    ) -> LabelsFiles: ...


def open_pipeline(folder: Path, config: Config, classes: Sequence[str] | None) -> LabelsFiles:
    """The pipeline of `avel infer`, with its networks loaded."""
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.inference.batch import pipeline_of

    return pipeline_of(ExportedModel(folder), config, classes)


@dataclass(frozen=True)
class Work:
    """All that a worker needs; it is sent to each of them.

    Args:
        journal: Handle of the actor that runs the `ClusterJournal`.
        model_name: Name of the model, as in `demo/1`.
        config: Settings, with the engine that the driver has chosen.
        classes: Classes that are labelled.
        open_model: Function that makes the pipeline.
    """

    journal: Any
    model_name: str
    config: Config
    classes: Sequence[str] | None = None
    open_model: OpensModel = open_pipeline


def model_files(folder: Path) -> dict[str, bytes]:
    """Files of a model by their path in its folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class LabelWorker:
    """Callable class for `Dataset.map_batches`, which labels the inputs of a block.

    A result goes to the journal as soon as there is one, so the death of a worker loses only files
    that it had open. An error that is not about one file ends the process as a crash would.

    Args:
        work: The run.
    """

    def __init__(self, work: Work) -> None:
        import ray

        self._ray = ray
        self._work = work
        self._journal = work.journal
        # Ray kills workers that it does not need any more.
        self._folder = ProcessFolder("avel-worker-")
        self.downloads = self._folder.path / "downloads"
        self.downloads.mkdir()
        (reference,) = ray.get(self._journal.model_files.remote())
        model = self._folder.path / "model" / work.model_name
        for name, content in ray.get(reference).items():
            path = model / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._pipeline = work.open_model(model, work.config, work.classes)

    def __call__(self, block: pyarrow.Table) -> pyarrow.Table:
        """Label the inputs of a block.

        Args:
            block: Rows with the `index` of an input, its `name` as bytes, and `alone`.

        Returns:
            An empty table; results go to the journal.
        """
        names = {
            index: os.fsdecode(name)
            for index, name in zip(
                block["index"].to_pylist(), block["name"].to_pylist(), strict=True
            )
        }
        alone = any(block["alone"].to_pylist())
        claimed = self._ray.get(self._journal.claim.remote(list(names)))
        files = _OpenFiles(self, {index: names[index] for index in claimed}, alone=alone)
        try:
            files.label(self._pipeline)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            self._ray.get([self._journal.failed.remote(each, message) for each in files.in_hand])
            if not files.in_hand:
                raise
            # Decoding threads may still be at work on the other files.
            os._exit(1)
        return block.slice(0, 0)

    # Called by `_OpenFiles` from its decoding threads.
    def attempt(self, index: int, stamp: Stamp, *, alone: bool) -> bool:
        """Record an attempt; see `ClusterJournal.attempt`."""
        return self._ray.get(self._journal.attempt.remote(index, stamp, alone=alone))

    def record(self, index: int, result: Result) -> Callable[[], object]:
        """Send a result to the journal; see `ClusterJournal.record`.

        Returns:
            Function that waits until it is recorded.
        """
        sent = self._journal.record.remote(index, result.status, result.to_json())
        return partial(self._ray.get, sent)

    @property
    def config(self) -> Config:
        """Settings of the run."""
        return self._work.config


@dataclass
class _OpenFiles:
    """The inputs of a block, downloaded where they are remote."""

    worker: LabelWorker
    names: dict[int, str]
    alone: bool
    in_hand: set[int] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    stop: bool = False

    def label(self, pipeline: LabelsFiles) -> None:
        """Label the inputs and record their results."""
        with tempfile.TemporaryDirectory(dir=self.worker.downloads) as folder:
            self.paths = {
                index: os.path.join(folder, f"{index}{os.path.splitext(name)[1]}")
                if is_remote(name)
                else name
                for index, name in self.names.items()
            }
            self.indices = {path: index for index, path in self.paths.items()}
            results = pipeline.label_files(
                list(self.indices), on_open=self.open, should_stop=lambda: self.stop
            )
            # The journal records a result while the next one is computed.
            sent: tuple[int, Callable[[], object]] | None = None
            try:
                for _, result in results:
                    index = self.indices[result.video]
                    self._finish(sent)
                    sent = index, self.worker.record(index, self._renamed(result))
            finally:
                self._finish(sent)

    def _finish(self, sent: tuple[int, Callable[[], object]] | None) -> None:
        """Wait until the result of an input, if there is one, is recorded."""
        if sent is None:
            return
        index, recorded = sent
        recorded()
        self.in_hand.discard(index)
        if is_remote(self.names[index]):
            Path(self.paths[index]).unlink(missing_ok=True)

    def open(self, path: str) -> None:
        """Download an input where it is remote, and record the attempt to open it."""
        index = self.indices[path]
        name = self.names[index]
        media = self.worker.config.media
        if is_remote(name):
            stamp = None
            try:
                stamp = download(
                    name,
                    Path(path),
                    settings=self.worker.config.cluster,
                    most_bytes=media.max_file_bytes,
                )
            except DownloadError as error:
                self.errors[path] = str(error)
        else:
            stamp = stamp_of(name, follow_links=media.follow_links)
        self.in_hand.add(index)
        if not self.worker.attempt(index, stamp, alone=self.alone):
            self.stop = True

    def _renamed(self, result: Result) -> Result:
        """The result under the address of the input."""
        path = result.video
        name = self.names[self.indices[path]]
        if path in self.errors:
            return Result(name, "quarantined", self.errors[path], model=result.model)
        reason = result.reason and result.reason.replace(path, name)
        return replace(result, video=name, reason=reason)
