"""What can be chosen about a model; standard library only, so that a command line can read it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

MODELS = ("avel", "bi_avatt", "bi_vaatt", "audio_only", "visual_only")


@dataclass(frozen=True)
class ModelSettings:
    """Which network, and how large.

    Args:
        name: one of `MODELS`.
        width: D, the width of every stream after its projection. 128: half of it, with half the
            LSTM, lost 0.02 of accuracy (docs/models.md).
        heads: attention heads; they share the width, so they must divide it. 4: heads of 32, not
            tuned.
        lstm_units: units of the bidirectional LSTM in each direction. 128: as `width`.
        dropout: share of values dropped after the projection, in the attention blocks and before
            the last layer. 0.4 with 0.3 below: 0.2 and 0.1 lost 0.02 on 110 clips.
        input_dropout: share of the normalised features dropped before the projection.

    Raises:
        ValueError: a value is out of its range, or the name is none of `MODELS`.

    Example:
        >>> ModelSettings(name="audio_only", width=64).heads
        4
    """

    name: str = "avel"
    width: int = 128
    heads: int = 4
    lstm_units: int = 128
    dropout: float = 0.4
    input_dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.name not in MODELS:
            near = difflib.get_close_matches(str(self.name), MODELS, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"There is no model named {self.name!r}; the nearest is {near!r}. "
                f"Choose one of {', '.join(MODELS)}."
            )
        for field in ("width", "heads", "lstm_units"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{field} must be a whole number of at least 1. Received: {value!r}."
                )
        if self.width % self.heads:
            raise ValueError(
                f"The heads share the width, so width must be a multiple of heads. "
                f"Received: width={self.width}, heads={self.heads}."
            )
        for field in ("dropout", "input_dropout"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(
                    f"{field} is a share and must be at least 0 and below 1. Received: {value!r}."
                )
