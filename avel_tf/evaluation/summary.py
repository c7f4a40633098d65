"""Text summary of `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COLUMNS = (
    "segment_accuracy",
    "segment_f1",
    "event_f1",
    "event_map",
    "clip_accuracy",
    "background_recall",
)
_FIRST = 24  # characters of the first column


def summary(metrics: Mapping[str, Any]) -> str:
    """Table of metrics and baselines, with remarks.

    Args:
        metrics: Content of `metrics.json`.

    Returns:
        Lines of text.
    """
    rows = [("model", metrics), *metrics["baselines"].items()]
    if metrics.get("standard_deviation"):
        rows.insert(1, (f"± over {metrics['seeds']} seeds", metrics["standard_deviation"]))
    lines = [
        f"{metrics['split']}: {metrics['videos']} videos, {metrics['segments']} segments",
        " " * _FIRST + "".join(f"  {name.replace('_', ' ')}" for name in _COLUMNS),
    ]
    for name, values in rows:
        cells = ""
        for column in _COLUMNS:
            number = values.get(column) if values else None
            cells += f"{'-' if number is None else f'{number:.3f}':>{len(column) + 2}}"
        lines.append(f"{name.replace('_', ' '):{_FIRST}}{cells}")
    lines += _intervals(metrics)
    if metrics.get("segment_map") is not None:
        lines.append(
            f"mean over the classes: segment F1 {metrics['segment_f1_macro']:.3f}, average "
            f"precision {metrics['segment_map']:.3f}"
        )
    if "against" in metrics:
        lines += against_sentences(metrics["against"])
    lines += _fitted(metrics)
    return "\n".join(lines)


def _intervals(metrics: Mapping[str, Any]) -> list[str]:
    names = ("segment_accuracy", "event_f1", "clip_accuracy")
    known = [(name, metrics.get(f"{name}_ci95")) for name in names]
    return [
        f"95 % interval of the {name.replace('_', ' ')}: {ends[0]:.3f} to {ends[1]:.3f}"
        for name, ends in known
        if ends
    ]


def _fitted(metrics: Mapping[str, Any]) -> list[str]:
    """Lines about the fitted postprocessing and the metrics without it, for one seed."""
    lines = []
    decoder, calibration = metrics.get("decoder"), metrics.get("calibration")
    fitted_on = decoder.get("fitted_on") if isinstance(decoder, Mapping) else None
    if calibration and fitted_on:
        lines.append(
            f"calibration error {calibration['uncalibrated']['ece']:.3f}, with temperature "
            f"{calibration['temperature']:.2f} fitted on {fitted_on}: {calibration['ece']:.3f}"
        )
    plain = metrics.get("plain_events", {}).get("event_f1")
    if fitted_on and plain is not None:
        lines.append(
            f"events by postprocessing fitted on {fitted_on}; event F1 without it: {plain:.3f}"
        )
    if calibration and isinstance(decoder, Mapping) and not fitted_on:
        lines.append(
            f"calibration error {calibration['ece']:.3f}; temperature and postprocessing were not "
            "fitted, because there is no validation split with labelled segments"
        )
    if fitted_on and fitted_on == metrics["split"]:
        lines.append(
            f"Temperature and postprocessing were fitted on {fitted_on}, the evaluated split: "
            "calibration and event F1 are optimistic."
        )
    return lines


def against_sentences(against: Mapping[str, Any]) -> list[str]:
    """One line for each compared metric.

    Args:
        against: The entry of `metrics.json`.

    Returns:
        The sentences.
    """
    sentences = [f"compared with {against['model']} on the same {against['clips']} clips:"]
    for name, one in against["numbers"].items():
        if one["difference"] is None or one["ci95"] is None:
            continue
        low, high = one["ci95"]
        verdict = (
            "the same on every clip"
            if low == high == 0
            else "higher"
            if low > 0
            else "lower"
            if high < 0
            else "no significant difference"
        )
        sentences.append(
            f"  {name.replace('_', ' ')}: {one['ours']:.3f} and {one['theirs']:.3f}, difference "
            f"{one['difference']:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, "
            f"p = {one['p']:.4f}): {verdict}"
        )
    return sentences
