"""Files through a localizer into a ledger."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from avel_tf.events.result import Result
from avel_tf.inference.run_journal import RunJournal
from avel_tf.inference.stop_signal import StopSignal

# Files given to the decoders at a time. At its end the decoders run empty, for less than one file
# in this many; and it bounds how many files can be in hand, also where most of them are broken
# and none gives a second of video.
CHUNK_FILES = 1_024


class LocalizesFiles(Protocol):
    """Interface of a `Localizer` that a batch run uses."""

    def localize_unordered(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[tuple[int, Result], None, None]: ...


def localize_into_journal(
    localizer: LocalizesFiles,
    journal: RunJournal,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Label what a ledger says is missing; suspects one at a time, when all others are done.

    Args:
        localizer: The model at work.
        journal: An open ledger.
        progress: Called after each file with how many inputs are done, and of how many.

    Returns:
        Whether all was done; `False` when a signal stopped it. The files in hand are finished
        then, and no further one is opened. A second signal gives up those in hand as well.
    """
    done = journal.done
    chunks: list[Sequence[str]] = [
        journal.waiting[first : first + CHUNK_FILES]
        for first in range(0, len(journal.waiting), CHUNK_FILES)
    ]
    with StopSignal() as stop:
        for chunk in itertools.chain(chunks, ([path] for path in journal.retry_alone)):
            if stop.asked:
                break
            try:
                with contextlib.closing(
                    localizer.localize_unordered(
                        chunk, on_open=journal.attempt, should_stop=lambda: stop.asked
                    )
                ) as results:
                    for _, result in results:
                        journal.record(result)
                        done += 1
                        if progress:
                            progress(done, len(journal.inputs))
            except Exception as error:
                # Whatever it led to, the user wants to read why the ledger could not be written.
                if journal.failure is not None:
                    raise journal.failure from error
                raise
    return done == len(journal.inputs)
