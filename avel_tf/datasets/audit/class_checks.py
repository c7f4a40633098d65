"""Defects of the class vocabulary and the class balance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from avel_tf.datasets import Dataset
from avel_tf.datasets.audit.balance import Balance
from avel_tf.datasets.audit.report import Finding

# Above this ratio of segments, a model gains more from predicting the common class than from
# learning the rare one. The ratio of AVE is 6.
_IMBALANCE = 20


def check_classes(
    dataset: Dataset, balances: Sequence[Balance], minimum_examples: int
) -> Iterator[Finding]:
    """Checks for splits and classes that are too small for training or evaluation.

    Args:
        dataset: The data set.
        balances: Train, validation and test.
        minimum_examples: A class with fewer videos in a split is reported.

    Yields:
        One finding per kind of defect.
    """
    empty = [balance.split for balance in balances if not balance.videos]
    if empty:
        yield Finding(
            "empty-split",
            "error" if "train" in empty else "warning",
            f"There is no video in {' and none in '.join(empty)}.",
            "Training needs train, early stopping needs validation, and evaluation needs test.",
            (),
        )
    filled = [balance for balance in balances if balance.videos]
    silent = [balance.split for balance in filled if not balance.examples.any()]
    if silent:
        yield Finding(
            "no-events",
            "warning",
            f"No event is annotated in {' and none in '.join(silent)}.",
            "Its videos count as background throughout. Where the events of a split are withheld, "
            "as in ActivityNet's testing subset, measure on another split.",
            (),
        )
    for balance in filled:
        if balance.split not in silent:
            yield from _check_counts(dataset, balance, minimum_examples)
    for balance in filled[:1]:
        yield from _check_training(dataset, balance)

    folded: dict[str, list[str]] = {}
    for name in dataset.labels:
        folded.setdefault(" ".join(name.casefold().replace("_", " ").split()), []).append(name)
    alike = [tuple(names) for names in folded.values() if len(names) > 1]
    if alike:
        yield Finding(
            "similar-classes",
            "warning",
            "Some classes differ only in capitals, spaces or underscores.",
            "If they mean the same, spell them alike; they are learned as different classes.",
            tuple((names[0], f"also {', '.join(names[1:])}") for names in alike),
        )


def _check_counts(dataset: Dataset, balance: Balance, minimum_examples: int) -> Iterator[Finding]:
    counts = sorted(zip(balance.examples.tolist(), dataset.labels, strict=True))
    missing = [name for count, name in counts if count == 0]
    train = balance.split == "train"
    if missing:
        yield Finding(
            f"class-missing-{balance.split}",
            "error" if train else "warning",
            f"Classes without an example in {balance.split}: {len(missing):,} of "
            f"{len(dataset.labels):,}.",
            "They cannot be learned." if train else "They cannot be evaluated there.",
            tuple((name, "no example") for name in missing),
        )
    few = [(name, count) for count, name in counts if 0 < count < minimum_examples]
    if few:
        yield Finding(
            f"class-few-{balance.split}",
            "warning",
            f"Classes with fewer than {minimum_examples} examples in {balance.split}: "
            f"{len(few):,} of {len(dataset.labels):,}.",
            "Their accuracy will be low." if train else "Their metrics there are mostly chance.",
            tuple((name, f"{count} example{'s' * (count > 1)}") for name, count in few),
        )


def _check_training(dataset: Dataset, balance: Balance) -> Iterator[Finding]:
    counts = sorted(
        (count, name)
        for count, name in zip(balance.seconds[:-1].tolist(), dataset.labels, strict=True)
        if count
    )
    if counts and balance.seconds[-1] == 0:
        yield Finding(
            "no-background",
            "warning",
            f"No segment of {balance.split} is background.",
            "A model trained on it never predicts background; add videos, or parts of videos, "
            "without an event.",
            (),
        )
    if counts and counts[-1][0] > _IMBALANCE * counts[0][0]:
        yield Finding(
            "imbalance",
            "note",
            f"The most common class has {counts[-1][0] / counts[0][0]:.0f} times the segments of "
            f"the rarest in {balance.split}.",
            "Compare the metrics per class, not only the overall accuracy.",
            (
                (counts[-1][1], f"{counts[-1][0]:,} s"),
                (counts[0][1], f"{counts[0][0]:,} s"),
            ),
        )
