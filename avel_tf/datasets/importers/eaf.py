"""ELAN: time-aligned annotations of all tiers."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.reading import read_bytes


def read_eaf(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read an annotation document.

    The label of an event is the text of the annotation, or the name of its tier where it is empty.
    Annotations without a time of their own, which refer to another one, are left out.

    Args:
        path: The document.
        video: The video of a document that links none.

    Returns:
        The events of its first linked media file.

    Raises:
        DatasetError: The file is not such a document.
    """
    raw = read_bytes(path)
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise DatasetError(f"{path} declares XML entities, which ELAN does not write.")
    try:
        root = ElementTree.fromstring(raw)
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path} is not XML: {error}.") from error
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    if media is not None and media.get("MEDIA_URL"):
        url = media.get("MEDIA_URL", "").removeprefix("file://")
        video = os.fsdecode(unquote_to_bytes(url))
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    events = []
    for tier in root.iter("TIER"):
        for each in tier.iter("ALIGNABLE_ANNOTATION"):
            text = (each.findtext("ANNOTATION_VALUE") or "").strip() or tier.get("TIER_ID", "")
            try:
                start, end = (
                    int(times[each.get(f"TIME_SLOT_REF{number}")] or "") / 1000 for number in (1, 2)
                )
            except (KeyError, ValueError) as error:
                raise DatasetError(
                    f"{path}: an annotation {text!r} has no start or end; align it in ELAN."
                ) from error
            events.append(Annotation(text, start, end))
    return {video: events}
