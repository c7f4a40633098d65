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
        temperature: Divisor of the logits before the activation; 1 has no effect. The graph of an
            exported model applies it already.
        events: Conversion of segment scores to events.
        fitted_on: The split that both were fitted on; None for the defaults.
        clips: Number of clips in that split.
        thresholds: Smallest probability of each label, `[C]`, in (0, 1), of a model whose segments
            have any number of labels (`model.head=multi_label`). None for a model whose segments
            have one label, the most probable.

    Raises:
        ValueError: The temperature is not positive, or a threshold is out of range.
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
                    f"The threshold of a class must be in (0, 1). Received: {wrong[0]}."
                )
        if not 0.0 < self.temperature < float("inf"):
            raise ValueError(
                f"The temperature must be a positive number. Received: {self.temperature}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Content of `decoder.json`."""
        content = {"schema": SCHEMA, **dataclasses.asdict(self)}
        if self.thresholds is None:
            del content["thresholds"]  # as in files of versions without multi-label models
        if not self.events.min_scores:
            del content["events"]["min_scores"]
        return content

    @property
    def multi_label(self) -> bool:
        """True if a segment may have several labels, each class with its own probability."""
        return self.thresholds is not None

    def scores(self, probabilities: np.ndarray) -> Scores:
        """Convert probabilities to scores, the input of labels and events.

        Args:
            probabilities: A model's output for one video, float `[T, C+1]`.

        Raises:
            ValueError: The number of thresholds is not the number of classes.
        """
        if self.thresholds is None:
            return SegmentScores.from_probabilities(probabilities)
        return MultiLabelScores.from_probabilities(probabilities, self.thresholds)

    def save(self, folder: str | Path) -> None:
        """Write `decoder.json` to a folder, atomically."""
        with atomic_text(Path(folder) / FILE) as file:
            file.write(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Postprocessing:
        """Read the `decoder.json` of a folder.

        Args:
            folder: A run, or the `assets/` of an exported model.

        Returns:
            Its content; the defaults if the file is missing, as in models of older versions.

        Raises:
            ValueError: The file is damaged or of a newer schema.
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
                f"{path} is not a valid postprocessing file "
                f"({type(error).__name__}: {error}). avel train writes it beside the model."
            ) from error
