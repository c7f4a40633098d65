"""Audit of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from avel_tf.datasets import Dataset
from avel_tf.datasets.audit.balance import AVE_SECONDS, measure_balance
from avel_tf.datasets.audit.class_checks import check_classes
from avel_tf.datasets.audit.event_checks import check_events
from avel_tf.datasets.audit.file_checks import check_files
from avel_tf.datasets.audit.file_facts import Decode, Probe, Progress, inspect_files
from avel_tf.datasets.audit.leak_checks import check_leaks
from avel_tf.datasets.audit.report import SEVERITIES, AuditReport, Finding
from avel_tf.datasets.audit.settings import AuditSettings
from avel_tf.video.decode import decode_blocks, read_header
from avel_tf.video.decode_settings import DecodeSettings


def audit(
    dataset: Dataset,
    settings: AuditSettings | None = None,
    probe: Probe | None = None,
    decode: Decode | None = None,
    progress: Progress | None = None,
    media: DecodeSettings | None = None,
) -> AuditReport:
    """Checks a data set for defects that affect training or evaluation.

    Args:
        dataset: The data set.
        settings: Settings of the audit; None uses the defaults.
        probe: Function that reads the header of a file to a `MediaInfo`; None uses `read_header`
            with `media`.
        decode: Function that decodes a file to `Clip`s, unused with `settings.quick`; None uses
            `decode_blocks` with `media`.
        progress: Called with the number of files done and in total.
        media: Limits and isolation of decoding; None uses the defaults.

    Returns:
        The findings, the most severe first, and the class balance of each split.

    Example:
        >>> print(audit(load_dataset("data/AVE_Dataset")).to_text())
    """
    settings = settings or AuditSettings()
    media = media or DecodeSettings()
    probe = probe or partial(read_header, settings=media)
    # Damage is also reported in frames that are not sampled.
    decode = partial(decode or decode_blocks, settings=replace(media, every_picture=True))
    facts = inspect_files(
        (video.path for video in dataset.videos),
        probe,
        None if settings.quick else decode,
        settings.workers,
        progress,
    )
    balances = measure_balance(dataset, facts, settings.seconds)
    expected = AVE_SECONDS if dataset.layout == "ave" else settings.seconds
    findings = [
        *_reading(dataset),
        *check_files(dataset, facts, expected),
        *check_leaks(dataset, facts, settings.seconds),
        *check_events(dataset, facts, settings.seconds),
        *check_classes(dataset, balances, settings.minimum_examples),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return AuditReport(dataset, tuple(findings), balances, facts)


def _reading(dataset: Dataset) -> Iterator[Finding]:
    """Reports how a table in an undocumented dialect was read."""
    if dataset.notes:
        yield Finding(
            "table-spelling",
            "note",
            "The annotations deviate from the documented form and were interpreted as follows:",
            "Correct the table if this is wrong (docs/reference/datasets.md).",
            tuple(("annotations", note) for note in dataset.notes),
        )
