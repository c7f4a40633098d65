"""HTML report of a training run: results, baselines, figures, recipe and configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from avel_tf.evaluation.predictions_file import FILE as PREDICTIONS
from avel_tf.evaluation.predictions_file import read_predictions
from avel_tf.events.labels import Labels
from avel_tf.reports.clips_section import draw_boundary_errors, worst_clips
from avel_tf.reports.comparison_section import compare_runs
from avel_tf.reports.html import render_page
from avel_tf.reports.training_figures import (
    MOST_CLASSES,
    best_epoch,
    draw_confusion,
    draw_curves,
    draw_per_class,
    draw_reliability,
    read_history,
)
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.text import printable

FILES = ("metrics.json", "history.csv", "config.yaml", "labels.txt", "manifest.json")

# Columns in order: key in metrics.json, heading, True for a share.
HEADLINE = (
    ("segment_accuracy", "segment accuracy", True),
    ("segment_f1", "segment F1", True),
    ("event_f1", "event F1", True),
    ("background_recall", "background recall", True),
    ("onset_error_s", "onset error, s", False),
    ("offset_error_s", "offset error, s", False),
)
# Columns after the segment F1, for multi-label models.
MULTI_LABEL = (
    ("segment_f1_macro", "segment F1, macro", True),
    ("segment_map", "segment mAP", True),
)
# The model with plain postprocessing.
PLAIN = "plain postprocessing"
# Explanations of the rows below the model; see docs/reference/metrics.md.
EXPLAINED = {
    PLAIN: "the model, events from runs of equal labels, as for the baselines",
    "all_background": "background in every segment",
    "majority_class": "the most frequent class of the training split in every segment",
    "right_class_everywhere": "the true class of the clip in every segment",
}
MOST_SKIPPED = 200


def write_training_report(
    run_folder: Path, *, beside: Sequence[Path] = (), out: Path | None = None
) -> Path:
    """Write `report.html` about a training run, of one seed or of several.

    Args:
        run_folder: RUN, as `avel train` leaves it.
        beside: Run folders to compare with, as in an ablation.
        out: The page to write; `report.html` in the run when None.

    Returns:
        The page.

    Raises:
        ValueError: If a file of the run is missing or invalid. The message names the file.

    Example:
        >>> write_training_report(Path("RUN"))
        PosixPath('RUN/report.html')
    """
    folder = Path(run_folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} is not a finished training run. Missing: {', '.join(missing)}. Start a "
            "run with avel train DATA --out RUN, or continue an interrupted one with --resume."
        )
    labels = Labels.load(folder / "labels.txt")
    metrics = _metrics(folder / "metrics.json", labels)
    history = read_history(folder / "history.csv")
    config = (folder / "config.yaml").read_text("utf-8", errors="replace")
    # Runs of earlier versions have no predictions file; their page omits single clips.
    path = folder / PREDICTIONS
    outcomes = read_predictions(path, labels) if path.is_file() else []
    calibration = metrics.get("calibration")
    page = folder / "report.html" if out is None else Path(out)
    html = render_page(
        "training.html",
        name=folder.resolve().name,
        metrics=metrics,
        model=_model_name(config),
        verdict=_verdict(metrics),
        headline=_headline(metrics),
        thresholds=_thresholds(metrics),
        rows=_rows(metrics),
        explained=EXPLAINED,
        drawings={
            "curves": draw_curves(history),
            "confusion": draw_confusion(metrics["confusion"], labels)
            if metrics["confusion"]
            else None,
            "per_class": draw_per_class(metrics["per_class"], labels),
            "boundaries": draw_boundary_errors(outcomes),
            "reliability": draw_reliability(calibration["bins"]) if calibration else None,
        },
        calibration=calibration,
        measured_clips=len(outcomes),
        worst=worst_clips(outcomes, labels),
        compared=compare_runs(folder, outcomes, labels, beside),
        most_classes=MOST_CLASSES if len(labels) > MOST_CLASSES else None,
        epochs=len(history),
        kept=best_epoch(history),
        per_class=metrics["per_class"],
        recipe=_recipe(folder / "manifest.json"),
        skipped=metrics["skipped"][:MOST_SKIPPED],
        config=config,
        shown=printable,
        number=_number,
        percent=_percent,
    )
    with atomic_text(page) as file:
        file.write(html)
    return page


def _metrics(path: Path, labels: Labels) -> dict[str, Any]:
    metrics = _json(path)
    needed = ["segments", "videos", "skipped", "per_class", "confusion", "baselines"]
    missing = [key for key in (*needed, *(key for key, *_ in HEADLINE)) if key not in metrics]
    if missing:
        raise ValueError(
            f"{path} is not the metrics file of a run. Missing keys: {', '.join(missing)}. "
            "avel train and avel evaluate write it."
        )
    # Multi-label runs have no confusion matrix.
    if metrics["confusion"] and len(metrics["confusion"]) != len(labels) + 1:
        raise ValueError(
            f"{path} has {len(metrics['confusion']) - 1} classes, but labels.txt in the same "
            f"folder has {len(labels)}. One of the two files belongs to another run."
        )
    return metrics


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must contain a JSON object. Received: {type(content).__name__}.")
    return content


def _model_name(config: str) -> str | None:
    try:
        return str(yaml.safe_load(config)["model"]["name"])
    except (yaml.YAMLError, KeyError, TypeError):
        # The heading then omits the name; the page shows the configuration as it is.
        return None


def _verdict(metrics: Mapping[str, Any]) -> str:
    """Sentence that compares the model with the best baseline."""
    accuracy = metrics["segment_accuracy"]
    known = {
        name: values["segment_accuracy"]
        for name, values in metrics["baselines"].items()
        if values and values["segment_accuracy"] is not None
    }
    if accuracy is None or not known:
        return "No baseline is available for comparison."
    best = max(known, key=lambda name: known[name])
    better = "above" if accuracy > known[best] else "not above"
    event = metrics["event_f1"], (metrics["baselines"][best] or {}).get("event_f1")
    events = (
        f"; event F1 {_percent(event[0])} against {_percent(event[1])}" if None not in event else ""
    )
    return (
        f"Segment accuracy {_percent(accuracy)}, {better} the best trivial baseline, "
        f"{best.replace('_', ' ')}, with {_percent(known[best])}{events}."
    )


def _headline(metrics: Mapping[str, Any]) -> tuple[tuple[str, str, bool], ...]:
    """Columns of the first table; multi-label runs have the means over classes as well."""
    if "segment_map" not in metrics:
        return HEADLINE
    place = [key for key, *_ in HEADLINE].index("segment_f1") + 1
    return HEADLINE[:place] + MULTI_LABEL + HEADLINE[place:]


def _thresholds(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    """Threshold of each class of a multi-label run with one seed."""
    decoder = metrics.get("decoder")
    return decoder.get("thresholds", {}) if isinstance(decoder, Mapping) else {}


def _rows(metrics: Mapping[str, Any]) -> list[tuple[str, list[dict[str, str]]]]:
    """Rows of the first table: the model, then the baselines."""
    spread = metrics.get("standard_deviation") or {}
    interval = metrics.get("segment_accuracy_ci95")
    rows = []
    plain = metrics.get("plain_events")
    again = [(PLAIN, {**metrics, **plain})] if plain else []
    for name, values in (("model", metrics), *again, *metrics["baselines"].items()):
        cells = []
        for key, _, share in _headline(metrics):
            form = _percent if share else _number
            value = None if values is None else values.get(key)
            cell = {"value": form(value), "spread": "", "interval": ""}
            if name == "model" and value is not None:
                if spread.get(key) is not None:
                    cell["spread"] = f"± {form(spread[key])}"
                if key == "segment_accuracy" and interval:
                    cell["interval"] = f"{_percent(interval[0])} to {_percent(interval[1])}"
            cells.append(cell)
        rows.append((name, cells))
    return rows


def _recipe(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Recipe of the features, as (name, value) pairs."""
    recipe = _json(path).get("recipe")
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} has no recipe of the features. avel train writes it.")
    words = {
        "frames_per_second": "frames per second, F",
        "size": "size, pixels",
        "width": "feature width, D",
        "sample_rate": "sample rate, Hz",
        "sha256": "sha256 of the weights",
    }
    parts: dict[str, list[tuple[str, str]]] = {}
    for part, title in (("visual", "Frames"), ("audio", "Audio")):
        values = recipe.get(part)
        if not isinstance(values, dict) or "module" not in values:
            raise ValueError(f"The recipe in {path} has no entry {part!r} with a module.")
        module = str(values["module"])
        parts[title] = [
            (words.get(str(key), str(key)), module if key == "module" else str(value))
            for key, value in values.items()
        ]
    parts["Made with"] = [
        (name, str(version)) for name, version in sorted(dict(recipe.get("versions", {})).items())
    ]
    return parts


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"
