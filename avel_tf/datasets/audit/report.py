"""Findings of an audit and their text report."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avel_tf.datasets import Dataset
from avel_tf.datasets.audit.balance import Balance
from avel_tf.datasets.audit.file_facts import FileFacts
from avel_tf.utils.text import printable

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One kind of defect, with every place where it was found.

    Args:
        kind: Identifier of the kind of defect, such as `"missing-file"`.
        severity: `"error"` (examples are lost, or results will be wrong), `"warning"` (probably a
            mistake), or `"note"` (information).
        title: The defect as a sentence.
        advice: The remedy as a sentence.
        items: Name and detail of each place, the worst first.
    """

    kind: str
    severity: str
    title: str
    advice: str
    items: tuple[tuple[str, str], ...]


_WORST_IN_TEXT = 10
_CLASSES_IN_TEXT = 40


@dataclass(frozen=True)
class AuditReport:
    """Findings of an audit. `avel_tf.reports.audit_report` renders them as a page.

    Args:
        dataset: The dataset.
        findings: The defects, the most severe first.
        balances: Seconds of each class in train, validation and test.
        facts: Properties of each file.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    balances: tuple[Balance, ...]
    facts: Mapping[Path, FileFacts]

    @property
    def verdict(self) -> str:
        """Number of defects of each severity, as a sentence."""
        if not self.findings:
            return "No defects found."
        counts = {
            severity: sum(finding.severity == severity for finding in self.findings)
            for severity in SEVERITIES
        }
        parts = [
            f"{count} {severity}{'s' * (count > 1)}" for severity, count in counts.items() if count
        ]
        return ", ".join(parts) + "."

    def to_text(self) -> str:
        """Writes the report for a terminal.

        Returns:
            Lines of text: the data set, the splits, the classes, then each finding with its ten
            worst cases. Control characters in names are escaped.
        """
        lines = [
            f"Data set  {printable(str(self.dataset.root))} ({self.dataset.layout}): "
            f"{self.headline()}",
            "",
            *_table(self.split_rows()),
            "",
            *_table(self._class_rows()),
            "",
            self.verdict,
        ]
        for finding in self.findings:
            lines += ["", f"{finding.severity.upper():8}{printable(finding.title)}"]
            lines.append(f"{'':8}{finding.advice}")
            shown = finding.items[:_WORST_IN_TEXT]
            lines += [f"{'':10}{line}" for line in _table(shown, numbers=False)]
            if len(finding.items) > len(shown):
                lines.append(f"{'':10}and {len(finding.items) - len(shown):,} more")
        return "\n".join(lines) + "\n"

    def headline(self) -> str:
        """Number of videos, files and classes."""
        videos = self.dataset.videos
        files = len({video.media_id for video in videos})
        examples = f"{len(videos):,} videos"
        if files < len(videos):
            examples = f"{len(videos):,} examples from {files:,} files"
        return f"{examples}, {len(self.dataset.labels):,} classes"

    def split_rows(self) -> list[tuple[str, ...]]:
        """Describes each split.

        Returns:
            A header, then a row for each split.
        """
        rows: list[tuple[str, ...]] = [
            ("split", "examples", "files", "seconds", "background", "shortest", "median", "longest")
        ]
        for balance in self.balances:
            durations = sorted(self.durations(balance.split))
            lengths = ("–", "–", "–")
            if durations:
                ends = (durations[0], statistics.median(durations), durations[-1])
                lengths = tuple(f"{length:.1f} s" for length in ends)  # type: ignore[assignment]
            share = f"{balance.background:.1%}" if balance.total else "–"
            sizes = (f"{n:,}" for n in (balance.videos, balance.files, balance.total))
            rows.append((balance.split, *sizes, share, *lengths))
        return rows

    def class_rows(self) -> list[tuple[str, ...]]:
        """Counts the seconds of each class in each split.

        Returns:
            A header, then a row for each class, in the order of the labels, background last.
        """
        header = ("seconds", *(balance.split for balance in self.balances))
        names = (*self.dataset.labels, "background")
        counts = zip(*(balance.seconds.tolist() for balance in self.balances), strict=True)
        return [
            header,
            *(
                (name, *(f"{count:,}" for count in row))
                for name, row in zip(names, counts, strict=True)
            ),
        ]

    def durations(self, split: str) -> list[float]:
        """Lists the known durations of the files of a split.

        Args:
            split: `"train"`, `"validation"` or `"test"`.

        Returns:
            Seconds, one per file.
        """
        paths = dict.fromkeys(video.path for video in self.dataset.split(split))
        found = (self.facts[path].duration for path in paths)
        return [duration for duration in found if duration is not None]

    def _class_rows(self) -> list[tuple[str, ...]]:
        header, *rows = self.class_rows()
        if len(rows) <= _CLASSES_IN_TEXT:
            return [header, *rows]
        # Sorted by seconds in train, which limits what a model can learn.
        order = sorted(
            range(len(rows) - 1), key=lambda index: -int(self.balances[0].seconds[index])
        )
        half = _CLASSES_IN_TEXT // 2
        left_out = (f"… {len(order) - 2 * half:,} classes …", *("" for _ in self.balances))
        ends = [rows[i] for i in order[:half]], [rows[i] for i in order[-half:]]
        return [header, *ends[0], left_out, *ends[1], rows[-1]]


def _table(rows: Sequence[Sequence[str]], numbers: bool = True) -> list[str]:
    """Aligns columns: the first to the left, numbers to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = (
            cell.rjust(width) if numbers and column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return lines
