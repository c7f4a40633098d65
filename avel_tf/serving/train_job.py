"""Jobs that train from corrections, in a process of their own."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avel_tf.serving.annotations import Annotation
from avel_tf.serving.jobs import JobFailed, Progress
from avel_tf.serving.model_process import ModelProcess
from avel_tf.serving.models import Models
from avel_tf.serving.state import Job, now
from avel_tf.serving.teaching import EPOCHS, Request
from avel_tf.utils.child_process import child_environment

logger = logging.getLogger(__name__)

_ATTEMPTS = 2
# Of the folders of trainings in progress, in the state folder.
WORK_PREFIX = "teach-"


# Identifier of a video, path of its analysis, annotations.
Corrections = list[tuple[str, str, list[Annotation]]]


async def train(
    model: ModelProcess,
    models: Models,
    folder: Path,
    corrections: Callable[[], tuple[Corrections, Corrections]],
    job: Job,
    progress: Progress,
) -> dict[str, Any]:
    """Handler of `train` jobs.

    Args:
        model: The present model.
        models: Receives the next one.
        folder: Folder for temporary files.
        corrections: Returns the videos with corrections, and the others.
        job: Its `parameters` may have `epochs`.
        progress: Receives the steps.

    Returns:
        Result of `teach`.

    Raises:
        JobFailed: There is nothing to learn from, or the process died twice.
    """
    if not model.ready:
        progress(message="Waiting for the model")
    info = await model.described()
    corrected, others = await asyncio.to_thread(corrections)
    if not corrected:
        raise JobFailed("No video has corrections yet. Accept, change or add an event first.")
    work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=folder))
    try:
        request = Request(
            base=models.original.model,
            class_table=models.original.class_table,
            present=info["folder"],
            selected=info["labels"],
            folder=str(models.folder),
            work=str(work),
            epochs=(job.parameters or {}).get("epochs") or EPOCHS,
            corrected=corrected,
            others=others,
        )
        file = work / "request.json"
        await asyncio.to_thread(request.save, file)
        for attempt in range(_ATTEMPTS):
            result = await _run(file, progress)
            if result is not None:
                break
            logger.warning("the training process died (attempt %d)", attempt + 1)
        else:
            raise JobFailed("The training process died twice, as it does without memory.")
    finally:
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    note = f"{result['corrections']} corrections: {', '.join(result['classes'])}"
    await asyncio.to_thread(models.add_note, result["model"], now(), note)
    return result


async def _run(file: Path, progress: Progress) -> dict[str, Any] | None:
    """Run the process once; returns its result, None if it died.

    Raises:
        JobFailed: It reports an error.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "avel_tf.serving.teaching_worker", str(file)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
        start_new_session=True,
    )
    result = None
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            message = json.loads(line)
            if "error" in message:
                raise JobFailed(message["error"])
            if "result" in message:
                result = message["result"]
            else:
                progress(**message)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return result
