"""Settings of models; importing them does not load Keras."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields

MODELS = ("avel", "bi_avatt", "bi_vaatt", "audio_only", "visual_only")
HEADS = ("per_second", "factorised", "multi_label")
CROSS_MODAL = ("attention", "propagation", "none")
# The pieces between the modalities, which the baselines stay without.
AVEL_PIECES = ("cross_modal", "background_gate", "class_activation", "contrast")
SWITCHES = ("linear_path", "background_gate", "class_activation", "contrast", "spatial_attention")
# Message for features of one vector per segment.
NO_MAPS = (
    "model.spatial_attention needs visual maps, but these features have one vector per segment. "
    "Extract features with embeddings.visual.maps=true, or set model.spatial_attention to "
    "false."
)


@dataclass(frozen=True)
class ModelSettings:
    """Network, sizes and optional pieces of a model.

    Args:
        name: one of `MODELS`.
        width: D, the width of every stream after its projection. 128: half of it, with half the
            LSTM, lost 0.02 of accuracy (docs/design/models.md).
        heads: attention heads; they share the width, so they must divide it. 4: heads of 32, not
            tuned.
        lstm_units: units of the bidirectional LSTM in each direction; 0: none. 64: half of `width`,
            as its output is concatenated with its input; 128 was no better
            (docs/design/accuracy.md).
        dropout: share of values dropped after the projection, in the attention blocks and before
            the last layer. 0.4 with 0.3 below: 0.2 and 0.1 lost 0.02 on 110 clips.
        input_dropout: share of the normalised features dropped before the projection.
        head: one of `HEADS`: `per_second` decides each second by itself; `factorised` says once per
            clip which event it holds and per second whether it is there, and is refused for clips
            of several events (`check_head`); `multi_label` gives each second any number of labels.
            `per_second`: on real sounds it names more clips right, and it takes every data set
            (docs/design/accuracy.md).
        linear_path: whether the factorised head also reads the clip's mean features directly, as a
            logistic regression does.
        cross_modal: one of `CROSS_MODAL`, how the modalities of `avel` exchange information.
        background_gate: whether each modality of `avel` weakens what the other takes for
            background.
        class_activation: whether what each modality of `avel` holds for the clip's class by itself
            is added to the head's logits.
        contrast: whether events and background of a clip are driven apart in `avel` before the
            head.
        spatial_attention: pool the places of visual maps by audio-guided attention; for
            features that are maps (`embeddings.visual.maps`). Without it, places are averaged.

    Raises:
        ValueError: a value is out of its range, the name is none of `MODELS`, or a baseline is
            asked for a piece that it cannot have.

    Example:
        >>> ModelSettings(name="audio_only", width=64).heads
        4
    """

    name: str = "avel"
    width: int = 128
    heads: int = 4
    lstm_units: int = 64
    dropout: float = 0.4
    input_dropout: float = 0.3
    head: str = "per_second"
    linear_path: bool = True
    cross_modal: str = "attention"
    background_gate: bool = False
    class_activation: bool = False
    contrast: bool = False
    spatial_attention: bool = False

    def __post_init__(self) -> None:
        _require_known("model", self.name, MODELS)
        _require_known("head", self.head, HEADS)
        _require_known("cross_modal", self.cross_modal, CROSS_MODAL)
        for field, least in (("width", 1), ("heads", 1), ("lstm_units", 0)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{field} must be a whole number of at least {least}. Received: {value!r}."
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
        for field in SWITCHES:
            if not isinstance(getattr(self, field), bool):
                raise ValueError(
                    f"{field} must be true or false. Received: {getattr(self, field)!r}."
                )
        self._require_pieces_of_avel()
        if self.multi_label and self.class_activation:
            raise ValueError(
                "class_activation is trained by a softmax over the classes of a clip, which suits "
                "clips with one event, and the head multi_label is for clips with several. Leave "
                "one of the two at its default."
            )
        if self.spatial_attention and self.name in ("audio_only", "visual_only"):
            raise ValueError(
                "spatial_attention lets sound pick places of the picture, and the baseline "
                f"{self.name} has one of the two. Leave it out: visual_only averages the places."
            )

    @property
    def multi_label(self) -> bool:
        """True if a segment may have several labels, each with a probability of its own."""
        return self.head == "multi_label"

    def _require_pieces_of_avel(self) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        for piece in AVEL_PIECES:
            value = getattr(self, piece)
            if self.name != "avel" and value != defaults[piece]:
                raise ValueError(
                    f"{piece} is a piece of the model avel. Received: {piece}={value!r} for the "
                    f"baseline {self.name}. Leave it out, or choose model.name=avel."
                )


def _require_known(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"There is no {what} named {value!r}; the nearest is {near!r}. "
            f"Choose one of {', '.join(known)}."
        )
