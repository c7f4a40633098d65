"""Auxiliary outputs for training, and the losses of all outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from avel_tf.models.heads import is_multi_label
from avel_tf.models.layers import (
    BackgroundContrast,
    ClassActivation,
    ClipEvidence,
    EventGate,
    PositiveSamplePropagation,
)
from avel_tf.models.layers.background_gate import joint_gate_logits
from avel_tf.models.layers.class_activation import pool_class_activation
from avel_tf.models.layers.propagation import similarity
from avel_tf.models.losses import (
    ClipCrossEntropy,
    ContrastLoss,
    EventCrossEntropy,
    MultipleInstanceBinaryCrossEntropy,
    MultipleInstanceCrossEntropy,
    SegmentBinaryCrossEntropy,
    SegmentCrossEntropy,
    SimilarityLoss,
)
from avel_tf.utils.text import did_you_mean

LOGITS = "logits"
# The localizer's own output, where the loss does not apply to it.
OUTPUT = "output"
SUPERVISION = ("full", "weak")


@dataclass(frozen=True)
class _Auxiliary:
    """An output that only training needs.

    Attributes:
        layer: type of the layers it is computed from.
        output: function of the model and these layers, in the order of the graph.
        loss: function of the number of classes that creates the loss.
        needs_times: True if the loss needs the times of events.
    """

    layer: type[keras.layers.Layer]
    output: Callable[[keras.Model, list[keras.layers.Layer]], Any]
    loss: Callable[[int], keras.losses.Loss]
    needs_times: bool


# Each loss has the weight 1 of its paper; the factor of PSP is part of its loss.
_AUXILIARIES = {
    "background_gate": _Auxiliary(
        EventGate,
        lambda model, gates: joint_gate_logits(gates[0].output, gates[1].output),
        EventCrossEntropy,
        True,
    ),
    "class_activation": _Auxiliary(
        ClassActivation,
        lambda model, found: pool_class_activation(
            found[0].output, found[1].output, model.input["valid"]
        ),
        ClipCrossEntropy,
        False,
    ),
    "similarity": _Auxiliary(
        PositiveSamplePropagation,
        lambda model, found: similarity(found[0].output),
        SimilarityLoss,
        True,
    ),
    "contrast": _Auxiliary(
        BackgroundContrast, lambda model, found: found[0].output[1], ContrastLoss, True
    ),
}


def training_outputs(model: keras.Model, names: Sequence[str] | None = None) -> keras.Model:
    """Return a model with the same inputs and weights whose outputs are those of the losses.

    Args:
        model: a model from `build` or `load_model`.
        names: outputs, such as the keys of `losses_for`; all by default.

    Returns:
        A model to a dict: `logits` float32 `[B, T, C+1]`, those of the network alone if there is
        clip evidence; `output`, then, those of the model; and, with these layers,
        `background_gate` `[B, T, 1]`, `class_activation` `[B, C]`, `similarity` `[B, T]` and
        `contrast` `[B, T, 2, D]`.

    Raises:
        ValueError: If the model has no output of a given name.

    Example:
        >>> losses, weights = losses_for(model, label_smoothing=0.1)
        >>> trainee = training_outputs(model, tuple(losses))
        >>> trainee.compile("adamw", loss=losses, loss_weights=weights, jit_compile=False)
    """
    auxiliaries = {LOGITS: model.output, **_auxiliaries_of(model)}
    # The evidence fits its own training clips perfectly, so the network would learn nothing from
    # the sum of both.
    for layer in model.layers:
        if isinstance(layer, ClipEvidence):
            auxiliaries |= {LOGITS: layer.input[0], OUTPUT: model.output}
    known = tuple(auxiliaries)
    for name in names or ():
        if name not in known:
            raise ValueError(
                f"The model {model.name!r} has no training output {name!r}."
                f"{did_you_mean(name, known)} It has {', '.join(known)}."
            )
    outputs = {name: auxiliaries[name] for name in (known if names is None else names)}
    return keras.Model(model.input, outputs, name=f"{model.name}_training")


def losses_for(
    model: keras.Model,
    *,
    supervision: str = "full",
    label_smoothing: float = 0.0,
    auxiliary_weight: float = 1.0,
) -> tuple[dict[str, keras.losses.Loss], dict[str, float]]:
    """The losses of the outputs of `training_outputs`, and their weights.

    All take the same targets, int `[B, T]` or distributions float `[B, T, C+1]`, and the same
    sample weight, valid as float32 `[B, T]`.

    Args:
        model: a model from `build` or `load_model`.
        supervision: `full`: targets per segment; `weak`: only the set of events of a clip is used,
            and auxiliary losses that need times are left out.
        label_smoothing: share of the target spread evenly over the classes, for the logits.
        auxiliary_weight: weight of each auxiliary loss.

    Returns:
        Losses and weights by the name of the output; `logits` is always included.

    Raises:
        ValueError: If supervision or label_smoothing is invalid.
    """
    if supervision not in SUPERVISION:
        raise ValueError(
            f"supervision must be one of {', '.join(SUPERVISION)}. Received: {supervision!r}."
            f"{did_you_mean(str(supervision), SUPERVISION)}"
        )
    classes = model.output.shape[-1] - 1
    weak = supervision == "weak"
    losses = {LOGITS: _loss_of_logits(classes, label_smoothing, weak, is_multi_label(model))}
    for name in _auxiliaries_of(model):
        if not (weak and _AUXILIARIES[name].needs_times):
            losses[name] = _AUXILIARIES[name].loss(classes)
    weights = {name: 1.0 if name == LOGITS else auxiliary_weight for name in losses}
    return losses, weights


def _loss_of_logits(
    classes: int, label_smoothing: float, weak: bool, multi_label: bool
) -> keras.losses.Loss:
    if multi_label:
        if weak:
            return MultipleInstanceBinaryCrossEntropy(classes, label_smoothing)
        return SegmentBinaryCrossEntropy(label_smoothing)
    if weak:
        return MultipleInstanceCrossEntropy(classes, label_smoothing)
    return SegmentCrossEntropy(label_smoothing)


def _auxiliaries_of(model: keras.Model) -> dict[str, Any]:
    """The auxiliary outputs of a model, by name."""
    outputs = {}
    for name, each in _AUXILIARIES.items():
        if found := [layer for layer in model.layers if isinstance(layer, each.layer)]:
            outputs[name] = each.output(model, found)
    return outputs
