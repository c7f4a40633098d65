"""Batch runs: many files into one results folder, resumable by its journal."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from avel_tf import __version__
from avel_tf.config import Config, Configuration, resolve_config
from avel_tf.engines.reuse import FrameCount
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.formats import check_formats, write_formats
from avel_tf.events.result import Result
from avel_tf.export.exported_model import ExportedModel
from avel_tf.inference.inputs import require_inputs
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.run_journal import LEDGER, RunJournal
from avel_tf.inference.stop_signal import StopSignal
from avel_tf.pretrained import find_pretrained
from avel_tf.reports.results_report import write_results_report
from avel_tf.utils.settings import Settings

if TYPE_CHECKING:
    from avel_tf.inference.webhook import Delivery, EventSender

# Files handed to the decoders at a time. At the end of a chunk the decoders run empty, for less
# than one file in this many. It also bounds the number of files in progress where most are broken
# and none has a segment.
CHUNK_FILES = 1_024
# The page of `avel report`, as a format beside those of `avel_tf.events.formats`.
PAGE = "html"


@dataclass(frozen=True)
class BatchSummary:
    """Summary of a batch run.

    Attributes:
        inputs: Number of input files.
        counts: Number of results by status: `ok`, `partial`, `quarantined`.
        resumed: Number of results that an earlier run had recorded.
        skipped: macOS sidecar files that were left out.
        written: Output files and folders by format; an address where the results are in a bucket.
        complete: False if a signal stopped the run; the same call resumes it.
        events: Events posted to `on_event`; None without it.
        frame_count: Frames of this run, and those of them that were embedded.
    """

    inputs: int
    counts: Counter[str]
    resumed: int
    skipped: list[str]
    written: Mapping[str, Path | str]
    complete: bool
    events: Delivery | None = None
    frame_count: FrameCount = FrameCount()

    @property
    def opened_again(self) -> int:
        """Number of times that a cluster opened an input again; see `ClusterSummary`."""
        return 0

    @property
    def done(self) -> int:
        """Number of files with a result."""
        return sum(self.counts.values())


def localize_to_folder(
    paths: list[str],
    folder: str | Path,
    model: str | Path | ExportedModel | None = None,
    *,
    classes: str | Sequence[str] | None = None,
    class_table: str | Path | None = None,
    config: Configuration = None,
    formats: Sequence[str] = ("jsonl", "csv", "vtt", PAGE),
    fresh: bool = False,
    trust_model: bool = False,
    on_engine: Callable[[InferencePipeline], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_event: str | None = None,
    screen: str | Path | ExportedModel | None = None,
) -> BatchSummary:
    """Label files and write their results to a folder.

    An interrupted run resumes where it stopped: files with a recorded result are not labelled
    again. SIGINT or SIGTERM finishes the files in progress and writes what is done.

    Args:
        paths: Files, and folders of any depth.
        folder: Results folder.
        model: An exported model, or its folder; the pretrained one when None.
        classes: Classes that are labelled, as of `resolve_classes`; the others become background.
            All, or those that a zero-shot model labels by default, when None.
        class_table: A CSV file with further classes for the pretrained model.
        config: Settings of inference, decoder and engine; the defaults when None.
        formats: Output formats; `jsonl` is always written.
        fresh: Discard the results of an earlier run in the folder.
        trust_model: Use a model whose files do not match its manifest.
        on_engine: Called with the pipeline, whose engine is chosen, before the first file.
        progress: Called after each file with the number done and the total.
        on_event: URL to which each event is posted, as of `avel_tf.inference.webhook`.
        screen: A small exported model, or its folder, that screens for `model`, as of
            `avel_tf.inference.cascade`.

    Returns:
        Counts and output files.

    Raises:
        ModelError: The model cannot be opened, or does not match its manifest.
        ValueError: There are no such files, or a format or the URL is not valid.
        RunJournalError: Another run writes to the folder, or its results were made with another
            model or other settings.
        OSError: The folder cannot be written.
    """
    config, folder = resolve_config(config), Path(folder)
    names = check_formats(formats, also=[PAGE])
    sender = event_sender(on_event, folder, config)
    skipped: list[str] = []
    inputs = require_inputs(paths, skipped=skipped)
    model = open_exported(model, trust=trust_model, engine=config.engine, class_table=class_table)
    pipeline = pipeline_of(model, config, classes, open_screen(screen, config, trust=trust_model))
    pipeline.choose_engine(inputs)
    if on_engine:
        on_engine(pipeline)
    with open_journal(folder, inputs, pipeline, config, fresh=fresh) as journal, sender as events:
        resumed, before = journal.done, pipeline.frame_count
        complete = localize_into_journal(pipeline, journal, progress=progress)
        counts, written = write_outputs(journal, names)
        delivery = drain_events(events, wait=complete)
    frame_count = pipeline.frame_count.since(before)
    return BatchSummary(
        len(inputs), counts, resumed, skipped, written, complete, delivery, frame_count
    )


def open_journal(
    folder: Path,
    inputs: Sequence[str],
    pipeline: InferencePipeline,
    config: Config,
    *,
    fresh: bool,
    keep: bool = False,
) -> RunJournal:
    """The journal of a run with a model and a configuration, as a context."""
    return RunJournal(
        folder,
        inputs,
        setup=run_setup(pipeline, config),
        model=pipeline.name,
        fresh=fresh,
        follow_links=config.media.follow_links,
        keep=keep,
        crashed_engines=pipeline.crashed_engines,
    )


def write_outputs(
    journal: RunJournal, names: Sequence[str]
) -> tuple[Counter[str], dict[str, Path]]:
    """Write the results of a journal in all formats.

    Returns:
        Number of results by status, and the output files and folders by format.

    Raises:
        OSError: The folder cannot be written.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Result]:
        for result in journal.results():
            counts[result.status] += 1
            yield result

    try:
        written = write_formats(with_jsonl(names), counted(), journal.folder)
        if PAGE in names:
            written[PAGE] = write_results_report(journal.folder)
    except OSError as error:
        raise OSError(
            f"The results cannot be written to {journal.folder}: {error.strerror or error}. Fix "
            "that and run the same command again; the results so far are kept in the journal."
        ) from error
    return counts, written


def event_sender(
    url: str | None, folder: Path, config: Config
) -> contextlib.AbstractContextManager[EventSender | None]:
    """The sender of a run's events as a context; of None without a URL.

    Raises:
        ValueError: The URL is not valid.
    """
    if url is None:
        return contextlib.nullcontext()
    from avel_tf.inference.webhook import EventSender

    return EventSender(url, folder / LEDGER, config.webhook)


def drain_events(events: EventSender | None, *, wait: bool) -> Delivery | None:
    """Wait for the receiver of events; for the request in progress alone unless `wait`."""
    if events is None:
        return None
    with StopSignal("request") as stop:
        return events.drain(lambda: stop.asked or not wait)


def open_exported(
    model: str | Path | ExportedModel | None,
    *,
    trust: bool,
    engine: EngineSettings,
    class_table: str | Path | None = None,
) -> ExportedModel:
    """Open an exported model, the pretrained one when None, and check it unless trusted.

    Raises:
        ModelError: The model cannot be opened, or does not match its manifest.
        ValueError: There is a class table, but the model is not the pretrained one.
    """
    if class_table is not None and model is not None:
        raise ValueError(
            f"The class table {class_table} extends the pretrained model; the model {model} has "
            "its own classes. Leave out one of them."
        )
    if not isinstance(model, ExportedModel):
        model = ExportedModel(find_pretrained(engine, class_table) if model is None else model)
    if not trust:
        model.check()
    return model


def open_screen(
    screen: str | Path | ExportedModel | None, config: Config, *, trust: bool
) -> ExportedModel | None:
    """Open the small model of a cascade, if there is one; see `open_exported`."""
    if screen is None:
        return None
    return open_exported(screen, trust=trust, engine=config.engine)


def pipeline_of(
    model: ExportedModel,
    config: Config,
    classes: str | Sequence[str] | None = None,
    screen: ExportedModel | None = None,
) -> InferencePipeline:
    """The pipeline of a model, or of a cascade, with the settings of a configuration."""
    settings: dict[str, Any] = {
        "inference": config.inference,
        "data": config.data,
        "media": config.media,
        "engine": config.engine,
        "classes": classes,
        "reuse": config.embeddings.visual.reuse,
    }
    if screen is None:
        return InferencePipeline(model, **settings)
    from avel_tf.inference.cascade import CascadePipeline

    return CascadePipeline(model, screen, config.screen, **settings)


def with_jsonl(names: Sequence[str]) -> tuple[str, ...]:
    """Formats to write: `jsonl`, from which reports are made, and the others but the page."""
    return ("jsonl", *(name for name in names if name not in ("jsonl", PAGE)))


class LabelsFiles(Protocol):
    """Interface of an `InferencePipeline` that a journal needs."""

    def label_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[tuple[int, Result], None, None]: ...


def localize_into_journal(
    pipeline: LabelsFiles,
    journal: RunJournal,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Label the files that a journal has no result of.

    Files that were in progress when a process died are labelled last, one at a time.

    Args:
        pipeline: The model.
        journal: An open journal.
        progress: Called after each file with the number done and the total.

    Returns:
        True if all files are done, False if a signal stopped the run. The files in progress are
        finished then, and no further one is opened. A second signal abandons those in progress.
    """
    done = journal.done
    chunks: list[Sequence[str]] = [
        journal.waiting[first : first + CHUNK_FILES]
        for first in range(0, len(journal.waiting), CHUNK_FILES)
    ]
    with StopSignal() as stop:
        for chunk in itertools.chain(chunks, ([path] for path in journal.retry_alone)):
            for result in label_files(pipeline, journal, chunk, stop):
                journal.record(result)
                done += 1
                if progress:
                    progress(done, len(journal.inputs))
    return done == len(journal.inputs)


def label_files(
    pipeline: LabelsFiles, journal: RunJournal, paths: Sequence[str], stop: StopSignal
) -> Iterator[Result]:
    """Label files whose attempts are written to a journal; their results are the caller's to write.

    Once a signal has come, no further file is opened.
    """
    if stop.asked:
        return
    try:
        with contextlib.closing(
            pipeline.label_files(paths, on_open=journal.attempt, should_stop=lambda: stop.asked)
        ) as results:
            for _, result in results:
                yield result
    except Exception as error:
        # The failure to write the journal is the cause of any error that followed it.
        if journal.failure is not None:
            raise journal.failure from error
        raise


def run_setup(pipeline: InferencePipeline, config: Config) -> dict[str, Any]:
    """Settings that affect results and so must not change within a results folder."""
    setup: dict[str, Any] = {
        "avel_tf": __version__,
        "model": pipeline.model.name,
        "model sha256": pipeline.model.fingerprint,
        "engine": pipeline.choose_engine().description,
        "engine.batch_pictures": config.engine.batch_pictures,
    }
    if config.embeddings.visual.reuse != "exact":  # journals of older versions lack it
        setup["embeddings.visual.reuse"] = config.embeddings.visual.reuse
    if pipeline.selected is not None:
        setup["classes"] = list(pipeline.selected)
    sections: dict[str, Settings] = {"inference": config.inference, "media": config.media}
    if pipeline.screen is not None:
        setup["screen"] = pipeline.screen.model.name
        setup["screen sha256"] = pipeline.screen.model.fingerprint
        setup["screen engine"] = pipeline.screen.choose_engine().description
        sections["screen"] = config.screen
    for section, settings in sections.items():
        for key, value in settings.result_settings().items():
            setup[f"{section}.{key}"] = value
    return setup
