"""Settings of models; importing them does not load Keras."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from avel_tf.utils.settings import Settings, fields_of

ModelName = Literal["avel", "bi_avatt", "bi_vaatt", "audio_only", "visual_only"]
MODELS: tuple[str, ...] = get_args(ModelName)
# Options of the exchange between the modalities, which the baselines do not have.
AVEL_PIECES = ("cross_modal", "background_gate", "class_activation", "contrast")
# Message for features of one vector per segment.
NO_MAPS = (
    "model.spatial_attention needs visual maps, but these features have one vector per segment. "
    "Extract features with embeddings.visual.maps=true, or set model.spatial_attention to "
    "false."
)


class ModelSettings(Settings, section="model"):
    """Network, sizes and optional pieces of a model.

    Example:
        >>> ModelSettings(name="audio_only", width=64).heads
        4
    """

    name: ModelName = Field(
        default="avel",
        description="`avel`, or one of the baselines: attention in one direction (`bi_avatt`, "
        "`bi_vaatt`) or one modality.",
    )
    # 128: half of it, with half the LSTM, lost 0.02 of accuracy (docs/design/models.md).
    width: int = Field(
        default=128, ge=1, description="D, the width of every stream after its projection."
    )
    # 4: heads of 32, not tuned.
    heads: int = Field(
        default=4, ge=1, description="Attention heads; `width` must be a multiple of them."
    )
    # 64: half of `width`, as the output is concatenated with the input; 128 was no better
    # (docs/design/accuracy.md).
    lstm_units: int = Field(
        default=64,
        ge=0,
        description="Units of the bidirectional LSTM in each direction. 0: no LSTM.",
    )
    # 0.4 and 0.3: 0.2 and 0.1 lost 0.02 on 110 clips.
    dropout: float = Field(
        default=0.4,
        ge=0,
        lt=1,
        description="Share of values dropped after the projection, in the attention blocks and "
        "before the last layer.",
    )
    input_dropout: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="Share of the normalized features dropped before the projection.",
    )
    # per_second: with real sounds it classifies more clips correctly, and it accepts every data set
    # (docs/design/accuracy.md).
    head: Literal["per_second", "factorised", "multi_label"] = Field(
        default="per_second",
        description="`per_second`: classifies each segment by itself. `factorised`: one event "
        "class per clip and its presence per segment; refused for clips with several events. "
        "`multi_label`: any number of labels per segment.",
    )
    linear_path: bool = Field(
        default=True,
        description="Add a linear classifier of the clip's mean features to the factorised head.",
    )
    clip_evidence: bool = Field(
        default=True,
        description="Add to the class logits of the head `per_second` those of a linear classifier "
        "of the clip's mean features, fitted in closed form before training, and zero-shot "
        "evidence for the classes that `avel classes` has, if the features have class scores. The "
        "fewer clips per class, the larger its share.",
        json_schema_extra={"before": False},
    )
    cross_modal: Literal["attention", "propagation", "none"] = Field(
        default="attention",
        description="Exchange between the modalities of `avel`.",
    )
    background_gate: bool = Field(
        default=False,
        description="Each modality of `avel` attenuates the other where it detects background.",
    )
    class_activation: bool = Field(
        default=False,
        description="Add the evidence of each modality of `avel` for the clip's class to the "
        "head's logits.",
    )
    contrast: bool = Field(
        default=False,
        description="Contrastive loss between events and background of a clip of `avel`, before "
        "the head.",
    )
    spatial_attention: bool = Field(
        default=False,
        description="Audio-guided attention over the places of visual maps; requires "
        "`embeddings.visual.maps`. Without it, places are averaged.",
    )

    @property
    def multi_label(self) -> bool:
        """True if a segment may have several labels, each with a probability of its own."""
        return self.head == "multi_label"

    @model_validator(mode="after")
    def _check_combination(self) -> ModelSettings:
        if self.width % self.heads:
            raise ValueError(
                "model.width must be a multiple of model.heads. "
                f"Received: width={self.width}, heads={self.heads}."
            )
        for piece in AVEL_PIECES:
            value = getattr(self, piece)
            if self.name != "avel" and value != fields_of(ModelSettings)[piece].default:
                raise ValueError(
                    f"model.{piece} is an option of the model avel. Received: {piece}={value!r} "
                    f"for the baseline {self.name}. Leave it at its default, or set "
                    "model.name=avel."
                )
        if self.multi_label and self.class_activation:
            raise ValueError(
                "model.class_activation cannot be combined with model.head=multi_label, because "
                "its softmax over the classes of a clip allows one event per clip. Leave one of "
                "the two at its default."
            )
        if self.spatial_attention and self.name in ("audio_only", "visual_only"):
            raise ValueError(
                "model.spatial_attention needs audio and video, but the baseline "
                f"{self.name} has one of the two. Set it to false: visual_only averages the places."
            )
        return self
