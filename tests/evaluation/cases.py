"""Random splits, seeded, for comparing with other libraries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avel_tf.evaluation.event_metrics import Criterion
from avel_tf.events.event import Event, seconds_to_events
from avel_tf.events.labels import Labels

NAMES = ("Bark", "Cat, meow", "Flute", "Truck", "Shofar")


def random_cases(
    count: int, seed: int
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray], Labels]]:
    """True and predicted seconds of one to four clips, and the vocabulary."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        labels = Labels(NAMES[: generator.integers(1, len(NAMES) + 1)])
        truth, guess = [], []
        for _ in range(generator.integers(1, 5)):
            seconds = int(generator.integers(1, 15))
            truth.append(_stretches(generator, seconds, labels))
            # From the truth itself to something that has nothing to do with it.
            swap = generator.random(seconds) < generator.random()
            guess.append(np.where(swap, _stretches(generator, seconds, labels), truth[-1]))
        yield truth, guess, labels


def events_of(clips: list[np.ndarray], labels: Labels) -> list[tuple[Event, ...]]:
    return [seconds_to_events(clip, np.ones(len(clip)), labels) for clip in clips]


def random_spans(generator: np.random.Generator, count: int, label: str) -> list[Event]:
    """Spans that may overlap each other, which the seconds of one clip cannot."""
    starts = generator.integers(0, 8, count) / 2
    lengths = generator.integers(1, 8, count) / 2
    return [
        Event(label, float(start), float(start + length), 1.0)
        for start, length in zip(starts, lengths, strict=True)
    ]


def most_pairs(allowed: np.ndarray) -> int:
    """Size of the largest matching, by trying every one: bool [N, M] -> count."""
    if allowed.shape[0] == 0:
        return 0
    best = most_pairs(allowed[1:])
    for column in np.flatnonzero(allowed[0]):
        best = max(best, 1 + most_pairs(np.delete(allowed[1:], column, axis=1)))
    return best


def allowed_pairs(reference: list[Event], predicted: list[Event], accept: Criterion) -> np.ndarray:
    """Ask the criterion about one pair at a time: bool [N, M]."""
    return np.array(
        [
            [
                truth.label == guess.label
                and accept(
                    np.array([[truth.start, truth.end]]), np.array([[guess.start, guess.end]])
                )[0, 0]
                for guess in predicted
            ]
            for truth in reference
        ],
        bool,
    ).reshape(len(reference), len(predicted))


def _stretches(generator: np.random.Generator, seconds: int, labels: Labels) -> np.ndarray:
    values = generator.integers(0, len(labels) + 1, seconds)
    lengths = generator.integers(1, 5, seconds)
    return np.repeat(values, lengths)[:seconds]
