"""Loading of data sets, with detection of their layout."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from avel_tf.datasets.activitynet import ANNOTATIONS_FILE as UNAV_FILE
from avel_tf.datasets.activitynet import load_activitynet, load_unav
from avel_tf.datasets.annotations_csv import load_table
from avel_tf.datasets.ave import ANNOTATIONS_FILE, SPLIT_FILES, find_ave_files, load_ave
from avel_tf.datasets.dataset import Dataset, DatasetError
from avel_tf.datasets.llp import find_llp_files, load_llp
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.datasets.splits import remove_leaks

TABLE_FILE = "annotations.csv"
_LAYOUTS = (
    f"{ANNOTATIONS_FILE} with {', '.join(SPLIT_FILES.values())} (AVE), {TABLE_FILE} (a table), "
    f'AVVP_train.csv (LLP), {UNAV_FILE}, or a .json file with a "database" (ActivityNet)'
)
# ActivityNet's own files name "database" within their first line, behind "version" and "taxonomy";
# the taxonomy of version 1.3 takes 30 kB.
_SNIFFED_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def load_dataset(path: str | Path, settings: DatasetSettings | None = None) -> Dataset:
    """Loads an annotated data set and detects its layout.

    Args:
        path: The folder of the data set, or its annotation file.
        settings: Settings of splits and leaks; None uses the defaults.

    Returns:
        The data set. Videos are not checked; `avel audit` does that.

    Raises:
        DatasetError: There are no annotations or several layouts, or the annotations cannot be
            read. The message names file and line.

    Example:
        >>> dataset = load_dataset("data/AVE_Dataset", DatasetSettings(deleaked=True))
        >>> len(dataset.split("train"))
        3320
    """
    settings = settings or DatasetSettings()
    given = Path(os.path.abspath(path))
    if not given.exists():
        raise DatasetError(f"{given} does not exist; expected a folder with {_LAYOUTS}.")
    source = _find(given) if given.is_dir() else given
    if source in find_llp_files(source.parent).values():
        dataset = load_llp(source.parent)
    elif source.suffix.casefold() == ".csv":
        dataset = load_table(source, settings)
    elif source.name.casefold() == UNAV_FILE:
        dataset = load_unav(source, settings)
    elif source.suffix.casefold() == ".json":
        dataset = load_activitynet(source, settings)
    elif source in find_ave_files(source.parent).values():
        dataset = load_ave(source.parent, settings)
    else:
        raise DatasetError(f"{source} is not a file of annotations; expected {_LAYOUTS}.")
    if settings.deleaked:
        kept = remove_leaks(dataset.videos)
        _log.info(
            "%s: %d of %d examples removed, because their file is also in another split",
            given,
            len(dataset.videos) - len(kept),
            len(dataset.videos),
        )
        dataset = replace(dataset, videos=kept)
    return dataset


def _find(folder: Path) -> Path:
    """Finds the annotation file of a folder; for AVE and LLP, the first of several."""
    found = list(find_ave_files(folder).values())[:1]
    found += list(find_llp_files(folder).values())[:1]
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    found += [entry for entry in entries if entry.name.casefold() == TABLE_FILE]
    found += [entry for entry in entries if _is_activitynet(entry)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(entry.name for entry in found)
        raise DatasetError(
            f"{folder} has annotations in several layouts ({names}); "
            "pass the annotation file instead of the folder."
        )
    names = ", ".join(sorted(os.listdir(folder))[:5]) or "nothing"
    hint = ""
    if find_ave_files(folder.parent):
        hint = f" The parent folder has annotations: pass {folder.parent}."
    raise DatasetError(f"{folder} has no annotations: expected {_LAYOUTS}; found {names}.{hint}")


def _is_activitynet(path: Path) -> bool:
    if path.suffix.casefold() != ".json":
        return False
    with path.open("rb") as file:
        return b'"database"' in file.read(_SNIFFED_BYTES)
