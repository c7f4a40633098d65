"""Postprocessing fitted on the validation split and stored with a model."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.segment_scores import MultiLabelScores, Scores, SegmentScores
from avel_tf.utils.durable_files import atomic_text

FILE = "decoder.json"
SCHEMA = 1


@dataclass(frozen=True)
class Postprocessing:
    """Calibration of logits to probabilities, and their postprocessing into events.

    Args:
        temperature: What logits are divided by before they become probabilities; 1 leaves them. An
            exported model has it in its graph.
        events: Which seconds make an event.
        fitted_on: The split that both were fitted on; None where they are the defaults.
        clips: How many clips that split has.
        thresholds: Of a model that gives a second any number of labels (`model.head=multi_label`):
            the probability from which on a second has each class, `[C]`, in (0, 1). None for a
            model that gives a second one label, the most probable.

    Raises:
        ValueError: If the temperature is not positive, or a threshold lies outside of its range.
    """

    temperature: float = 1.0
    events: EventPostprocessor = field(default_factory=EventPostprocessor)
    fitted_on: str | None = None
    clips: int = 0
    thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.thresholds is not None:
            object.__setattr__(self, "thresholds", tuple(map(float, self.thresholds)))
            wrong = [each for each in self.thresholds if not 0.0 < each < 1.0]
            if wrong:
                raise ValueError(
                    f"The threshold of a class must lie in (0, 1). Received: {wrong[0]}."
                )
        if not 0.0 < self.temperature < float("inf"):
            raise ValueError(
                f"The temperature must be a positive number. Received: {self.temperature}."
            )

    def to_dict(self) -> dict[str, Any]:
        """As `decoder.json` holds it."""
        content = {"schema": SCHEMA, **dataclasses.asdict(self)}
        if self.thresholds is None:
            del content["thresholds"]  # as before there were such models
        return content

    @property
    def multi_label(self) -> bool:
        """True if a segment may have several labels, each class with its own probability."""
        return self.thresholds is not None

    def scores(self, probabilities: np.ndarray) -> Scores:
        """Scores that labels and events are made from.

        Args:
            probabilities: A model's output for one video, float `[T, C+1]`.

        Raises:
            ValueError: If there is not one threshold for each class.
        """
        if self.thresholds is None:
            return SegmentScores.from_probabilities(probabilities)
        return MultiLabelScores.from_probabilities(probabilities, self.thresholds)

    def save(self, folder: str | Path) -> None:
        """Write `decoder.json` into a folder, whole or not at all."""
        with atomic_text(Path(folder) / FILE) as file:
            file.write(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Postprocessing:
        """Read the `decoder.json` of a folder.

        Args:
            folder: A run, or the `assets/` of an exported model.

        Returns:
            What it holds; the defaults where there is none, as in models of before there was one.

        Raises:
            ValueError: If the file is damaged or of a newer schema; the sentence names it.
        """
        path = Path(folder) / FILE
        if not path.exists():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema") != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}; another version of avel-tf wrote it")
            return cls(**{**content, "events": EventPostprocessor(**content["events"])})
        except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} is no description of how events are decoded "
                f"({type(error).__name__}: {error}). avel train writes it beside the model."
            ) from error
