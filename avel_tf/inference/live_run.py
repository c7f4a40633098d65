"""Live runs: one stream into a results folder."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from avel_tf.config import Configuration, resolve_config
from avel_tf.events.event import Event
from avel_tf.events.formats import check_formats, write_formats
from avel_tf.events.result import Result, span_record
from avel_tf.export.exported_model import ExportedModel
from avel_tf.inference.batch import PAGE, open_exported, pipeline_of, with_jsonl
from avel_tf.inference.live import LiveSegment, localize_live
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.run_journal import LEDGER, LOCK, RESULTS, RunJournal
from avel_tf.inference.webhook import Delivery, EventSender, event_payload
from avel_tf.utils.durable_files import JournalFile
from avel_tf.video.decode_request import without_login

logger = logging.getLogger(__name__)

# Events of a stream with `on_event`, one payload a line, until they are posted.
EVENTS = "events.jsonl"


class LiveRun(NamedTuple):
    """Outcome of a live run.

    Attributes:
        result: The result of the whole stream.
        written: Output files and folders by format.
        events: Events posted to `on_event`; None without it.
    """

    result: Result
    written: dict[str, Path]
    events: Delivery | None = None


def localize_live_to_folder(
    source: str,
    folder: str | Path,
    model: str | Path | ExportedModel | None = None,
    *,
    on_segment: Callable[[LiveSegment], None],
    should_stop: Callable[[], bool] = lambda: False,
    classes: str | Sequence[str] | None = None,
    class_table: str | Path | None = None,
    config: Configuration = None,
    formats: Sequence[str] = ("jsonl", "csv", "vtt"),
    fresh: bool = False,
    trust_model: bool = False,
    on_engine: Callable[[InferencePipeline], None] | None = None,
    on_event: str | None = None,
) -> LiveRun:
    """Label a live stream and write its result to a folder when it ends.

    Args:
        source: `-` for standard input, or an address.
        folder: Results folder.
        model: An exported model, or its folder; the pretrained one when None.
        on_segment: Called with each segment as soon as it is labelled.
        should_stop: Called several times a second; once it returns True, the stream is closed.
        classes, class_table: As of `localize_to_folder`.
        config: Settings of inference, decoder and engine; the defaults when None.
        formats: Output formats; `jsonl` is always written, `html` never.
        fresh: Discard the results of an earlier run in the folder.
        trust_model: Use a model whose files do not match its manifest.
        on_engine: Called with the pipeline, whose engine is chosen, before the stream is opened.
        on_event: URL to which each event is posted once it is over; its `id` is made from the
            source and the time at which the run began.

    Raises:
        ModelError: The model cannot be opened, or does not match its manifest.
        ValueError: The folder holds results and `fresh` is False, or a format or the URL is not
            valid.
    """
    config, folder = resolve_config(config), Path(folder)
    names = check_formats(formats, also=[PAGE])
    for name in (RESULTS, LEDGER):
        if (folder / name).exists() and not fresh:
            raise ValueError(
                f"{folder} holds results already ({name}). Give another --out, or write over them "
                "with --fresh."
            )
    outbox = folder / EVENTS
    sender = None if on_event is None else EventSender(on_event, outbox, config.webhook)
    # Created now, so that an error is not raised after the stream is over.
    folder.mkdir(parents=True, exist_ok=True)
    exported = open_exported(
        model, trust=trust_model, engine=config.engine, class_table=class_table
    )
    pipeline = pipeline_of(exported, config, classes)
    if fresh:
        discard_batch_run(folder)
        outbox.unlink(missing_ok=True)
        outbox.with_suffix(".sent").unlink(missing_ok=True)
    pipeline.choose_engine()
    if on_engine:
        on_engine(pipeline)
    if sender is None:
        result = localize_live(pipeline, source, on_segment=on_segment, should_stop=should_stop)
        return LiveRun(result, write_formats(with_jsonl(names), [result], folder))
    began, shown = time.time_ns(), without_login(source)
    with contextlib.closing(JournalFile(outbox, sync_seconds=1.0)) as journal, sender:
        for _ in journal.lines():  # events of a run that was killed, which are posted as well
            pass

        def keep(event: Event) -> None:
            record = event_payload(shown, began, span_record(event), exported.name)
            try:
                journal.append(record)
            except OSError as error:
                logger.warning("%s cannot be written: %s.", outbox, error.strerror)

        result = localize_live(
            pipeline, source, on_segment=on_segment, on_event=keep, should_stop=should_stop
        )
        written = write_formats(with_jsonl(names), [result], folder)
        return LiveRun(result, written, sender.drain(should_stop))


def discard_batch_run(folder: Path) -> None:
    """Remove the journal and the per-video files of a batch run on files.

    Without this a later run on files would resume from that journal and write over the results of
    the stream. `results.jsonl` stays until it is replaced.

    Raises:
        RunJournalError: Another run is writing there.
    """
    from avel_tf.events.formats import remove_video_files

    if any((folder / name).exists() for name in (RESULTS, LEDGER)):
        # Opened, so that nothing is removed while another run writes there.
        with RunJournal(folder, [], setup={}, model="", fresh=True):
            for name in (LEDGER, LOCK):
                os.unlink(folder / name)
            remove_video_files(folder)
