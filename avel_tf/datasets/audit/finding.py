"""One kind of defect, with every place where it was found."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One kind of defect, with every place where it was found.

    Args:
        kind: A short name that stays the same, such as `"missing-file"`.
        severity: `"error"` (examples are lost, or results will be wrong), `"warning"` (probably
            not meant), or `"note"` (good to know).
        title: A sentence that says what is the matter.
        advice: A sentence that says what to do.
        items: Name and detail of each place, the worst first.
    """

    kind: str
    severity: str
    title: str
    advice: str
    items: tuple[tuple[str, str], ...]
