"""The UnAV-100 layout: `unav100_annotations.json`, whose events may overlap.

Reference:
    Geng, Wang, Duan, Cong, Zheng: Dense-Localizing Audio-Visual Events in Untrimmed Videos: A
    Large-Scale Benchmark and Baseline, CVPR 2023 (https://arxiv.org/abs/2303.12930).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avel_tf.datasets.activitynet import load_activitynet, read_database
from avel_tf.datasets.dataset import Dataset
from avel_tf.datasets.errors import DatasetError
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.events.labels import Labels

ANNOTATIONS_FILE = "unav100_annotations.json"


def load_unav(path: Path, settings: DatasetSettings) -> Dataset:
    """Reads UnAV-100, an ActivityNet file in which each annotation has a `label_id` as well.

    Args:
        path: The JSON file. Videos lie beside it, in `videos/` or in `raw_videos/`.
        settings: The split, where no video has a subset.

    Returns:
        The data set; classes in the order of `label_id`, which published features and results
        count in.

    Raises:
        DatasetError: The file is not of this form, or the ids contradict each other.
    """
    dataset = load_activitynet(path, settings)
    ids: dict[str, float] = {}
    for name, entry in read_database(path).items():
        for item in entry.get("annotations") or ():
            label, number = item["label"].strip(), item.get("label_id")
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise DatasetError(
                    f"{path}, video {name!r}: expected a number as 'label_id' of {label!r}; "
                    f"received {number!r}. Rename the file to read it as ActivityNet, which has no "
                    "such numbers."
                )
            if ids.setdefault(label, number) != number:
                raise DatasetError(
                    f"{path}, video {name!r}: {label!r} has the label_id {number:g} here and "
                    f"{ids[label]:g} elsewhere; a class has one."
                )
    if len(set(ids.values())) < len(ids):
        raise DatasetError(f"{path}: two classes have the same label_id.")
    labels = Labels(sorted(ids, key=lambda name: ids[name]))
    return replace(dataset, layout="unav100", labels=labels)
