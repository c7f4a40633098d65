"""ELAN: an annotation document with a tier per label."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable
from typing import TextIO
from urllib.parse import quote
from xml.etree import ElementTree

from avel_tf.events.formats.text import label_text, milliseconds, tiers
from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
# ELAN requires a date. A fixed one keeps the bytes the same for the same results.
_DATE = "1970-01-01T00:00:00+00:00"


def write_eaf(results: Iterable[Result], file: TextIO) -> None:
    """Write a document that links the video; without tiers of labels if there is no event.

    Args:
        results: One result.
        file: A text file.

    Reference:
        Max Planck Institute for Psycholinguistics: EAF 3.0 annotation format.
    """
    (result,) = results
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "avel-tf",
            "DATE": _DATE,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _media(result.video))
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = annotations = 0
    for name, events in (tiers(result.events) or {"default": []}).items():
        tier = ElementTree.SubElement(root, "TIER", TIER_ID=name, LINGUISTIC_TYPE_REF="default-lt")
        for event in events:
            for time in (event.start, event.end):
                slots += 1
                ElementTree.SubElement(
                    order,
                    "TIME_SLOT",
                    TIME_SLOT_ID=f"ts{slots}",
                    TIME_VALUE=str(milliseconds(time)),
                )
            annotations += 1
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{annotations}",
                TIME_SLOT_REF1=f"ts{slots - 1}",
                TIME_SLOT_REF2=f"ts{slots}",
            )
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            value.text = label_text(event.label)
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID="default-lt",
        TIME_ALIGNABLE="true",
        GRAPHIC_REFERENCES="false",
    )
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    file.write('<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n")


def _media(video: str) -> dict[str, str]:
    try:
        # Percent escapes keep file names exact that are not UTF-8 or hold control characters.
        url = quote(os.fsencode(video))
    except UnicodeEncodeError:  # a surrogate that no file name contains
        url = quote(valid_unicode(video))
    kind = mimetypes.guess_type(f"x{os.path.splitext(video)[1]}")[0] or "video/mp4"
    if os.path.isabs(video):
        return {"MEDIA_URL": f"file://{url}", "MIME_TYPE": kind}
    return {"MEDIA_URL": url, "RELATIVE_MEDIA_URL": f"./{url}", "MIME_TYPE": kind}
