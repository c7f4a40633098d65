"""Main program of a training: `python -m avel_tf.serving.teaching_worker REQUEST.json`.

It prints a line of JSON for each step, `{"done", "total", "message"}`, and at the end `{"result"}`
or `{"error"}`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from avel_tf.serving.analysis import Analysis
from avel_tf.serving.teaching import (
    Request,
    Stretch,
    exchanged_stretches,
    held_out,
    measure,
    other_stretches,
    stretches_of,
    taught_classes,
    write_store,
)
from avel_tf.utils import lazy_imports

# Background from other videos, in stretches; more would outweigh a few corrections.
_MOST_OTHERS = 50

Report = Callable[[int, int, str], None]


def teach(request: Request, report: Report) -> dict[str, Any]:
    """Train on the corrections, measure against the present model, and export the next one.

    Args:
        request: The request.
        report: Called with the steps done, the number of steps, and a message.

    Returns:
        The result of the job; see docs/guide/serving.md.

    Raises:
        ValueError: There is nothing to learn from.
    """
    import avel_tf
    from avel_tf.events.postprocessing import Postprocessing
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.export.postprocessing import replace_postprocessing
    from avel_tf.pretrained import find_pretrained

    corrections = [row for _, _, rows in request.corrected for row in rows]
    taught = taught_classes(corrections)
    if not taught:
        raise ValueError(
            "There is no event to learn from: accept, change or add at least one. Rejected events "
            "alone cannot teach a class; propose a threshold in the review instead."
        )
    corrected = [
        stretch
        for video, path, rows in request.corrected
        for stretch in stretches_of(video, Analysis(Path(path)), rows, taught)
    ]
    others = [
        stretch
        for video, path, rows in request.others
        for stretch in other_stretches(video, Analysis(Path(path)), rows, taught)
    ][:_MOST_OTHERS]
    tested = held_out(corrected)
    base = ExportedModel(request.base or find_pretrained(class_table=request.class_table))
    present = ExportedModel(request.present)
    work = Path(request.work)
    rounds = 2 if tested else 1
    total = rounds * request.epochs
    done = 0

    def on_epoch(row: dict[str, float]) -> None:
        nonlocal done
        done += 1
        message = "Training on all corrections" if done > total - request.epochs else "Measuring"
        report(done, total, message)

    def run_on(known: Sequence[Stretch], name: str) -> Any:
        stretches = [*known, *others, *exchanged_stretches(known)]
        shutil.rmtree(work / name, ignore_errors=True)  # of a process that was killed
        store = work / name / "features"
        write_store(store, base, taught, stretches)
        return avel_tf.train(
            store, work / name / "run", {"training.epochs": request.epochs}, on_epoch=on_epoch
        )

    report(0, total, "Preparing")
    measured = None
    if tested:
        train = [each for each in corrected if each.name not in tested]
        run = run_on(train, "measured")
        left = [each for each in corrected if each.name in tested]
        measured = measure(left, run, base, present, request.selected, taught)
    run = run_on(corrected, "final")
    report(total, total, "Exporting")
    folder = avel_tf.export_run(run, request.folder, extends=base)
    # Thresholds that people set for the present model stay, but not those of taught classes.
    scores = {
        name: score
        for name, score in present.postprocessing.events.min_scores.items()
        if name not in taught
    }
    events = replace(ExportedModel(folder).postprocessing.events, min_scores=scores)
    replace_postprocessing(folder, Postprocessing(events=events))
    touched = sum(row.status != "predicted" for row in corrections)
    return {
        "model": ExportedModel(folder).name,
        "classes": taught,
        "corrections": touched,
        "held_out": None,
        "present": None,
        "next": None,
        "difference": None,
        **(measured or {}),
    }


def main() -> None:
    """Run the request whose file is the last argument of the command line."""
    lazy_imports.is_command = True
    request = Request.load(Path(sys.argv[-1]))
    output = sys.stdout
    # Libraries that print do not disturb the lines of JSON.
    sys.stdout = sys.stderr

    def say(**content: Any) -> None:
        print(json.dumps(content), file=output, flush=True)

    try:
        result = teach(
            request,
            lambda done, total, message: say(done=done, total=total, message=message),
        )
        say(result=result)
    except (ValueError, OSError) as error:
        say(error=str(error))


if __name__ == "__main__":
    main()
