"""The pretrained localizer, part of the package, so that `avel infer` needs no download.

`1/` is an exported model. The key `"measured"` of its hashed manifest is its accuracy, written by
`pipelines/distill/localizer.py`; docs/design/pretrained.md describes how it is made. `openvino/`
holds the same graphs converted for OpenVINO, so that a first use needs no TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from avel_tf.export.manifest import ModelError, find_version, read_manifest

FOLDER = Path(__file__).resolve().parent
MODEL_CARD = FOLDER / "model_card.md"
# Key of the measured accuracy in the manifest.
MEASURED = "measured"
# Folder of the converted graphs, and the file in it with the fingerprint of their model.
CONVERTED, CONVERTED_MANIFEST = "openvino", "manifest.json"


def find_pretrained() -> Path:
    """Find the folder of the pretrained model.

    Returns:
        Its highest version, as an absolute path.

    Raises:
        ModelError: This copy of the package was built without it.

    Example:
        >>> find_pretrained().name
        '1'
    """
    try:
        return find_version(FOLDER)
    except ModelError:
        raise ModelError(
            f"This copy of avel-tf has no pretrained model: there is none in {FOLDER}. Give one "
            "with --model SAVED_MODEL (avel export RUN --out saved_models/NAME makes it), or build "
            "the pretrained one as docs/design/pretrained.md describes."
        ) from None


def find_converted(fingerprint: str) -> Path | None:
    """Find the graphs of the pretrained model, converted for OpenVINO.

    Args:
        fingerprint: `ExportedModel.fingerprint` of the model to run.

    Returns:
        Folder of the graphs; None for another model, or if a file is missing or has changed.
    """
    folder = FOLDER / CONVERTED
    try:
        manifest = json.loads((folder / CONVERTED_MANIFEST).read_text(encoding="utf-8"))
        if manifest["fingerprint"] != fingerprint:
            return None
        for name, expected in manifest["sha256"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return folder


def describe(folder: Path) -> list[str]:
    """Classes, accuracy and limits of the pretrained model, one line each.

    Args:
        folder: What `find_pretrained` returned.

    Returns:
        Classes, accuracy on held-out montage and on real clips, and the path of the model card.

    Raises:
        ModelError: The manifest lacks the accuracy.
    """
    manifest = read_manifest(folder)
    try:
        measured: dict[str, Any] = manifest[MEASURED]
        montage, real = measured["montage"], measured["real_clips"]
        new = measured["real_clips_unseen"]
        return [
            f"Model: the pretrained one of avel-tf, with the classes {_listed(manifest['labels'])};"
            " everything else is labelled background. Use another with --model.",
            f"  On {montage['videos']} composed clips of held-out images and sounds: "
            f"{montage['segment_accuracy']:.0%} of {montage['segments']} seconds correct (all "
            f"background: {montage['all_background']:.0%}).",
            f"  On {_clips(real)} real clips: {_right(real)} seconds of its classes correct, "
            f"a false alarm in {_false(real)} other seconds. On the {_clips(new)} of them that are "
            f"also unknown to its backbones: {_right(new)}, and {_false(new)}.",
            f"  Model card with limits: {MODEL_CARD}",
        ]
    except (LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"The manifest of {folder} lacks the measured accuracy of the model ({error!r}). "
            "Install the package again."
        ) from error


def _clips(found: dict[str, Any]) -> int:
    return found["offered"]["clips"] + found["others"]["clips"]


def _right(found: dict[str, Any]) -> str:
    return f"{found['offered']['right']} of {found['offered']['seconds']}"


def _false(found: dict[str, Any]) -> str:
    return f"{found['others']['false_alarms']} of {found['others']['seconds']}"


def _listed(names: list[str]) -> str:
    """Joins names, which may contain commas."""
    return "; ".join(names)
