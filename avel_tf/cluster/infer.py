"""Inference on a cluster: many files into shards of results, each input exactly once."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from avel_tf.cluster.inputs import Inputs, blocks_of, find_cluster_inputs
from avel_tf.cluster.journal import ClusterJournal
from avel_tf.cluster.ray_session import map_blocks, ray_session, workers_of
from avel_tf.cluster.remote_files import DownloadedInputs, stamp_of
from avel_tf.cluster.result_store import ResultStore
from avel_tf.cluster.worker import LabelWorker, OpensModel, Work, model_files, open_pipeline
from avel_tf.config import Config, Configuration, resolve_config
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.formats import check_formats, write_formats
from avel_tf.events.result_shards import SHARDS, read_all_results
from avel_tf.export.exported_model import ExportedModel
from avel_tf.inference.batch import (
    PAGE,
    BatchSummary,
    open_exported,
    pipeline_of,
    run_setup,
)
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.stop_signal import StopSignal
from avel_tf.reports.results_report import write_results_report
from avel_tf.utils.storage import is_remote, local_path, open_storage

# Most blocks in a pass, so that the start does not take longer with more inputs: Ray takes 2 ms of
# processor time for each. Workers open the networks once in a pass.
_PASS_BLOCKS = 4_096
# Most inputs that are downloaded to verify engines with, some of which may be damaged.
_MOST_DOWNLOADS = 8
# Interval in seconds at which the driver asks for progress.
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ClusterSummary(BatchSummary):
    """Summary of a run on a cluster.

    Attributes:
        workers: Number of workers.
        repetitions: Counts of inputs that were lost in the hands of a worker (`lost in hand`), and
            of results that arrived twice (`labelled again`).
    """

    workers: int = 0
    repetitions: dict[str, int] = field(default_factory=dict)

    @property
    def opened_again(self) -> int:
        """Number of times that an input was opened again, because its worker had ended."""
        return self.repetitions.get("lost in hand", 0)


def localize_on_cluster(
    paths: Sequence[str],
    out: str | Path,
    model: str | Path | ExportedModel | None = None,
    *,
    address: str,
    manifest: str | None = None,
    classes: str | Sequence[str] | None = None,
    class_table: str | Path | None = None,
    config: Configuration = None,
    formats: Sequence[str] = (),
    fresh: bool = False,
    trust_model: bool = False,
    on_engine: Callable[[InferencePipeline], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClusterSummary:
    """Label files on a Ray cluster and write their results in shards.

    The run may be killed at any moment: this process, a worker, a machine or the head of the
    cluster. The same call then resumes it, and each input gets one result. SIGINT or SIGTERM
    finishes the files in progress and commits what is done.

    Args:
        paths: Files, folders of any depth, and addresses; see `find_cluster_inputs`.
        out: Results folder, or an address `s3://` or `gs://`.
        model: An exported model, or its folder; the pretrained one when None. It is sent to the
            workers.
        address: `local`, `auto`, or the address of a cluster; see `ray_session`.
        manifest: A list of further inputs; see `read_manifest`.
        classes: Classes that are labelled; see `localize_to_folder`.
        class_table: A CSV file with further classes for the pretrained model.
        config: Settings; the defaults when None.
        formats: Formats to write besides the shards, if `out` is a folder.
        fresh: Discard earlier results.
        trust_model: Use a model whose files do not match its manifest.
        on_engine: Called with the pipeline, whose engine is chosen, before the first file.
        progress: Called with the number of inputs done and in total.

    Returns:
        Counts and output files.

    Raises:
        ClusterError: There is no such cluster, or its workers cannot open the model.
        ModelError: The model cannot be opened, or does not match its manifest.
        RunJournalError: The results were made with another setup, or another run has begun.
        ValueError: There are no inputs, or a format cannot be written.

    Example:
        >>> localize_on_cluster(["s3://clips/2026/"], "s3://labels/2026", address="auto").counts
        Counter({'ok': 999871, 'quarantined': 129})
    """
    config = resolve_config(config)
    names = _check_formats(formats, out)
    skipped: list[str] = []
    inputs = find_cluster_inputs(paths, manifest, skipped=skipped)
    model = open_exported(model, trust=trust_model, engine=config.engine, class_table=class_table)
    pipeline = pipeline_of(model, config, classes)
    with tempfile.TemporaryDirectory() as folder:
        choice = pipeline.choose_engine(_sample(inputs.names, folder, config), int8=False)
    if on_engine:
        on_engine(pipeline)
    engine = EngineSettings(
        choice.engine,  # type: ignore[arg-type]
        choice.precision,  # type: ignore[arg-type]
        config.engine.batch_pictures,
        config.engine.cache,
    )
    run = ClusterRun(
        model_name=model.name,
        files=lambda: model_files(model.folder),
        setup=run_setup(pipeline, config),
        config=replace(config, engine=engine),
        classes=classes,
        crashed_engines=pipeline.crashed_engines,
    )
    summary = run(inputs, out, address=address, fresh=fresh, progress=progress)
    return replace(summary, skipped=skipped, written={**summary.written, **_write(names, out)})


@dataclass
class ClusterRun:
    """Run of a model over inputs; `localize_on_cluster` is the interface for users.

    Args:
        model_name: Name of the model in results.
        files: Function that returns the files of the model.
        setup: Model and settings that affect results.
        config: Settings of the workers.
        classes: Classes that are labelled.
        open_model: Function with which a worker makes its pipeline.
        crashed_engines: Descriptions of engines that crashed; a run of theirs is resumed.
    """

    model_name: str
    files: Callable[[], dict[str, bytes]]
    setup: dict[str, Any]
    config: Config
    classes: str | Sequence[str] | None = None
    open_model: OpensModel = open_pipeline
    crashed_engines: Sequence[str] = ()

    def __call__(
        self,
        inputs: Inputs,
        out: str | Path,
        *,
        address: str,
        fresh: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> ClusterSummary:
        """Process the inputs; see `localize_on_cluster`."""
        store = ResultStore(open_storage(out))
        store.begin(self.setup, fresh=fresh, crashed_engines=self.crashed_engines)
        done = self._unchanged(store, inputs)
        waiting = [name for name in inputs.names if name not in done]
        counts: Counter[str] = Counter(done.values())
        resumed = len(done)
        workers, repetitions = 0, {}
        if waiting:
            with ray_session(address) as ray, StopSignal() as stop:
                journal = self._start_journal(ray, store, waiting)

                def report(count: int) -> None:
                    if progress:
                        progress(resumed + count, len(inputs.names))

                with _Watch(ray, journal, stop, report):
                    workers = self._passes(ray, journal, inputs, waiting, stop)
                _, found = ray.get(journal.progress.remote())
            counts.update({each: n for each, n in found.items() if " " not in each})
            repetitions = {each: n for each, n in found.items() if " " in each}
        return ClusterSummary(
            len(inputs.names),
            counts,
            resumed,
            [],
            {"shards": _shards_in(str(out))},
            sum(counts.values()) == len(inputs.names),
            workers=workers,
            repetitions=repetitions,
        )

    def _unchanged(self, store: ResultStore, inputs: Inputs) -> dict[str, str]:
        """Status of the inputs with a result; results of changed files are discarded.

        Objects are not asked for again, because that takes a request for each. Those that could not
        be downloaded are tried again.
        """
        committed = store.committed()
        links = self.config.media.follow_links
        done = {}
        changed = set()
        for name in inputs.names:
            stamp, status = committed.get(name, (None, ""))
            if not status:
                continue
            now = stamp if is_remote(name) else stamp_of(name, follow_links=links)
            if stamp == now and not (is_remote(name) and stamp is None):
                done[name] = status
            else:
                changed.add(name)
        if changed:
            store.discard(changed)
        return done

    def _start_journal(self, ray: ModuleType, store: ResultStore, waiting: list[str]) -> Any:
        """Start the journal on this machine, which has the results folder."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = ray.get_runtime_context().get_node_id()
        return (
            ray.remote(ClusterJournal)
            .options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            )
            .remote(
                store,
                waiting,
                model=self.model_name,
                shard_bytes=self.config.cluster.shard_megabytes * 10**6,
                commit_seconds=self.config.cluster.commit_seconds,
                follow_links=self.config.media.follow_links,
                # A reference in a list is handed on as it is.
                model_files=[ray.put(self.files())],
            )
        )

    def _passes(
        self,
        ray: ModuleType,
        journal: Any,
        inputs: Inputs,
        names: list[str],
        stop: StopSignal,
    ) -> int:
        """Process the inputs until each has a result; returns the number of workers."""
        settings = self.config.cluster
        most = 0
        try:
            while not stop.asked:
                together, alone = ray.get(journal.settle.remote())
                together = together[: _PASS_BLOCKS * settings.block_files]
                blocks = [(each, False) for each in blocks_of(inputs, together, names, settings)]
                blocks += [([index], True) for index in alone]
                if not blocks:
                    break
                workers = workers_of(ray, settings)
                data = self.config.data
                if data.workers is None:
                    data = replace(data, workers=workers.cpus)
                work = Work(
                    journal,
                    self.model_name,
                    replace(self.config, data=data),
                    self.classes,
                    self.open_model,
                )
                tables = [_table(*each, names) for each in blocks]
                for _ in map_blocks(ray, LabelWorker, work, tables, workers):
                    # The blocks that are left would be handed out only to be refused.
                    if stop.asked:
                        ray.get(journal.stop.remote())
                        if not ray.get(journal.in_hand.remote()):
                            break
                most = max(most, min(workers.count, len(blocks)))
            # Files that a stopped worker had open are no suspects.
            ray.get((journal.commit if stop.asked else journal.settle).remote())
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return most


class _Watch:
    """Thread that reports progress and passes a signal on to the workers."""

    def __init__(
        self, ray: ModuleType, journal: Any, stop: StopSignal, report: Callable[[int], None]
    ) -> None:
        self._ray = ray
        self._journal = journal
        self._stop = stop
        self._report = report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        told = False
        last = 0
        while not self._ended.wait(_POLL_SECONDS):
            try:
                if self._stop.asked and not told:
                    self._ray.get(self._journal.stop.remote())
                    told = True
                done, _ = self._ray.get(self._journal.progress.remote())
            except self._ray.exceptions.RayError:
                return  # the main thread fails with the same error
            if done > last:
                self._report(done)
            last = done


def _table(indices: list[int], alone: bool, names: list[str]) -> Any:
    import pyarrow

    return pyarrow.table(
        {
            "index": pyarrow.array(indices, pyarrow.int64()),
            "name": pyarrow.array([os.fsencode(names[each]) for each in indices], pyarrow.binary()),
            "alone": pyarrow.array([alone] * len(indices)),
        }
    )


def _sample(names: Sequence[str], folder: str, config: Config) -> Sequence[str]:
    """Files to verify engines with: the local ones, or the first of the remote ones."""
    if local := [name for name in names if not is_remote(name)]:
        return local
    return DownloadedInputs(
        names[:_MOST_DOWNLOADS],
        folder,
        settings=config.cluster,
        most_bytes=config.media.max_file_bytes,
    )


def _shards_in(out: str) -> Path | str:
    """Folder, or address, of the shards."""
    return f"{out.rstrip('/')}/{SHARDS}" if is_remote(out) else Path(local_path(out), SHARDS)


def _check_formats(formats: Sequence[str], out: str | Path) -> tuple[str, ...]:
    names = check_formats(formats, also=[PAGE])
    if names and is_remote(str(out)):
        raise ValueError(
            f"A bucket receives shards in jsonl and parquet, and no other format. Received: "
            f"{', '.join(names)}. avel convert reads the shards."
        )
    return names


def _write(names: Sequence[str], out: str | Path) -> dict[str, Path]:
    """Write formats from the shards."""
    folder = Path(local_path(str(out)))
    written = (
        write_formats([name for name in names if name != PAGE], read_all_results(out), folder)
        if any(name != PAGE for name in names)
        else {}
    )
    if PAGE in names:
        written[PAGE] = write_results_report(folder)
    return written
