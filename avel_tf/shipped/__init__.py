"""The place of a localizer that comes with the package, so that `avel infer` needs no download.

Where `avel_tf/shipped/1/` is there, it is an exported model like any other; what it knows, and how
well it did, stands in its sealed manifest under `"measured"`, written by the recipe in
`pipelines/distill/localizer.py`. docs/shipped-model.md says how it is made, and whether this copy
has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avel_tf.export.manifest import ModelError, find_version, read_manifest

FOLDER = Path(__file__).resolve().parent
MODEL_CARD = FOLDER / "model_card.md"
# Where the recipe writes in a manifest what it measured.
MEASURED = "measured"


def find_shipped() -> Path:
    """The folder of the shipped model.

    Returns:
        Its highest version, as an absolute path.

    Raises:
        ModelError: When this copy of the package was made without it.

    Example:
        >>> find_shipped().name
        '1'
    """
    try:
        return find_version(FOLDER)
    except ModelError:
        raise ModelError(
            f"This copy of avel-tf comes with no model of its own: there is none in {FOLDER}. Name "
            "one with --model SAVED_MODEL (avel export RUN --out saved_models/NAME makes one), or "
            "make the one that belongs there: docs/shipped-model.md says how."
        ) from None


def describe(folder: Path) -> list[str]:
    """What a person has to know before believing the shipped model, a line each.

    Args:
        folder: What `find_shipped` returned.

    Returns:
        Which classes it knows, how well it did on held-out montage and on real clips, and where
        its model card is.

    Raises:
        ModelError: When its manifest does not say.
    """
    manifest = read_manifest(folder)
    try:
        measured: dict[str, Any] = manifest[MEASURED]
        montage, real = measured["montage"], measured["real_clips"]
        offered, others = real["offered"], real["others"]
        return [
            f"Model: the one that comes with avel-tf. It knows {_listed(manifest['labels'])}; all "
            "else is background to it. Name another with --model.",
            f"  On {montage['videos']} made clips of pictures and sounds it was not trained on: "
            f"{montage['segment_accuracy']:.0%} of {montage['segments']} seconds right (all "
            f"background: {montage['all_background']:.0%}).",
            f"  On {offered['clips'] + others['clips']} real clips: {offered['right']} of "
            f"{offered['seconds']} seconds of what it knows named right, in {offered['clips']} "
            f"clips; a false alarm in {others['false_alarms']} of {others['seconds']} other "
            "seconds.",
            f"  What it is and what it cannot do: {MODEL_CARD}",
        ]
    except (LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"The manifest of {folder} does not say how well the model did ({error!r}); get the "
            "package anew."
        ) from error


def _listed(names: list[str]) -> str:
    """Names that may hold commas themselves."""
    return "; ".join(names)
