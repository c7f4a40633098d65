"""Watch runs: new files of folders into one results folder, until a signal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from avel_tf.config import Configuration, resolve_config
from avel_tf.events.formats import check_formats
from avel_tf.events.result import Result
from avel_tf.export.exported_model import ExportedModel
from avel_tf.inference.batch import (
    PAGE,
    BatchSummary,
    event_sender,
    label_files,
    open_exported,
    open_journal,
    open_screen,
    pipeline_of,
    write_outputs,
)
from avel_tf.inference.folder_watch import FolderWatch
from avel_tf.inference.inputs import find_inputs
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.stop_signal import StopSignal

# Files labelled between two listings of the folders.
_CHUNK_FILES = 64
# The results are written after each group of files, but no more than this share of the time.
_WRITING_SHARE = 0.05


def watch_folders(
    folders: Sequence[str],
    out: str | Path,
    model: str | Path | ExportedModel | None = None,
    *,
    classes: str | Sequence[str] | None = None,
    class_table: str | Path | None = None,
    config: Configuration = None,
    formats: Sequence[str] = ("jsonl", "csv", "vtt", PAGE),
    fresh: bool = False,
    trust_model: bool = False,
    on_engine: Callable[[InferencePipeline], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
    on_event: str | None = None,
    screen: str | Path | ExportedModel | None = None,
) -> BatchSummary:
    """Label the videos in folders, and each new or changed one once it has stopped growing.

    The run ends by SIGINT or SIGTERM, after the files in progress. The next run continues: no file
    is labelled twice unless it has changed. Results of files that have been removed are kept. The
    output files are written after each group of files; with thousands of results, less often.

    Args:
        folders: The folders, of any depth.
        out: Results folder.
        model, classes, class_table, config, formats: As of `localize_to_folder`.
        fresh, trust_model, on_engine, on_event, screen: As of `localize_to_folder`.
        on_result: Called with each result as soon as it is recorded.

    Returns:
        Counts and output files.

    Raises:
        ModelError: The model cannot be opened, or does not match its manifest.
        ValueError: A path is not a folder, or a format or the URL is not valid.
        RunJournalError: Another run writes to the folder, or its results were made with another
            model or other settings.
        OSError: The folder cannot be written.
    """
    config, out = resolve_config(config), Path(out)
    names = check_formats(formats, also=[PAGE])
    for folder in folders:
        if not os.path.isdir(folder):
            raise ValueError(f"--watch takes folders that exist. Received: {folder}")
    sender = event_sender(on_event, out, config)
    exported = open_exported(
        model, trust=trust_model, engine=config.engine, class_table=class_table
    )
    small = open_screen(screen, config, trust=trust_model)
    pipeline = pipeline_of(exported, config, classes, small)
    pipeline.choose_engine(find_inputs(folders))
    if on_engine:
        on_engine(pipeline)
    with (
        StopSignal() as stop,
        open_journal(out, [], pipeline, config, fresh=fresh, keep=True) as journal,
        sender as events,
    ):
        resumed = journal.done
        watch = FolderWatch(folders, config.watch, config.media, journal.is_done)
        counts, written = write_outputs(journal, names)
        unwritten, next_writing = False, 0.0
        while not stop.asked:
            ready = watch.ready()[:_CHUNK_FILES]
            alone = [[path] for path in ready if path in journal.retry_alone]
            others = [path for path in ready if path not in journal.retry_alone]
            for chunk in [others, *alone] if others else alone:
                for result in label_files(pipeline, journal, chunk, stop):
                    if not os.path.lexists(result.video):
                        journal.forget(result.video)
                        continue
                    journal.add(result.video)
                    journal.record(result)
                    unwritten = True
                    if on_result:
                        on_result(result)
            if unwritten and time.monotonic() >= next_writing:
                began = time.monotonic()
                counts, written = write_outputs(journal, names)
                ended = time.monotonic()
                unwritten, next_writing = False, ended + (ended - began) / _WRITING_SHARE
            if not ready:
                stop.wait(config.watch.poll_seconds)
        if unwritten:
            counts, written = write_outputs(journal, names)
        delivery = events.drain(lambda: True) if events else None
    return BatchSummary(journal.done, counts, resumed, [], written, True, delivery)
