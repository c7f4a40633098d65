"""Export of a training run together with an exported model, whose other classes it keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.extractor import FeatureExtractor
from avel_tf.engines.engine import LoadedGraphs
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import CLASS_WORDS, DEFAULT_CLASSES, EXTENDS
from avel_tf.export.saved_model import export_saved_model
from avel_tf.models import is_multi_label, probabilities_from
from avel_tf.training.run import Run

# Smallest probability, so that logarithms are finite.
_SMALLEST = 1e-9


class _ServedHead(layers.Layer):
    """Head of an exported model as a layer; it cannot be saved in a `.keras` file."""

    def __init__(self, graphs: LoadedGraphs, classes: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self._graphs = graphs
        self._classes = classes

    def call(self, visual: Any, audio: Any, valid: Any) -> Any:
        assert self._graphs.label is not None  # an exported model has a head
        probabilities = self._graphs.label(visual, audio, valid)
        return tf.ensure_shape(probabilities, [None, None, self._classes + 1])  # [B, T, C+1]

    def compute_output_shape(
        self, visual_shape: Any, audio_shape: Any, valid_shape: Any
    ) -> tuple[Any, ...]:
        return (*visual_shape[:2], self._classes + 1)


class _ExtendedLogits(layers.Layer):
    """Logarithms of the probabilities of taught and other classes; see `extended_head`."""

    def __init__(self, others: list[int], **kwargs: Any) -> None:
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self._others = others  # columns of the base model, background last

    def call(self, taught: Any, base: Any) -> Any:
        rest = ops.take(base, self._others, axis=-1)  # [B, T, number of others + 1]
        rest = rest / ops.maximum(ops.sum(rest, axis=-1, keepdims=True), _SMALLEST)
        probabilities = ops.concatenate([taught[..., :-1], taught[..., -1:] * rest], axis=-1)
        return ops.log(ops.maximum(probabilities, _SMALLEST))

    def compute_output_shape(self, taught_shape: Any, base_shape: Any) -> tuple[Any, ...]:
        return (*taught_shape[:-1], taught_shape[-1] - 1 + len(self._others))


def extended_head(
    taught: keras.Model, temperature: float, base: ExportedModel, others: list[int]
) -> keras.Model:
    """Head that labels the classes of a run, and where it finds none, those of another model.

    With p the run's probabilities and q those of the base model over its other classes and
    background, normalised: P(class of the run) = p(class), P(other class) = p(background) q(class),
    and P(background) = p(background) q(background).

    Args:
        taught: Keras model of the run, features to logits.
        temperature: Divisor of its logits.
        base: The exported model.
        others: Indices of the classes of `base` that are kept.

    Returns:
        A functional model of the same inputs to logits float32 [B, T, C+1]: the classes of the
        run, the kept ones, background.
    """
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in taught.input.items()
    }
    p = probabilities_from(taught(inputs) * (1.0 / temperature), multi_label=False)  # [B, T, C'+1]
    served = _ServedHead(base.load_graphs(), len(base.labels), name="base")
    q = served(inputs["visual"], inputs["audio"], inputs["valid"])  # [B, T, C''+1]
    logits = _ExtendedLogits([*others, len(base.labels)], name="logits")(p, q)
    return keras.Model(inputs, logits, name=f"extended_{taught.name}")


def export_extended(
    run: Run, base: ExportedModel | str | Path, extractor: FeatureExtractor, folder: str | Path
) -> Path:
    """Export a training run that adds its classes to an exported model.

    Classes that both have are labelled by the run. See `extended_head` for the combination.

    Args:
        run: The run, trained on features of the backbones of `base`.
        base: The exported model, such as the pretrained one.
        extractor: The backbones.
        folder: Folder of the versions of the new model.

    Returns:
        Folder of the new version.

    Raises:
        ValueError: One of them is multi-label, or their features differ.
        ModelError: `base` is no exported model.
    """
    base = base if isinstance(base, ExportedModel) else ExportedModel(base)
    taught = run.model()
    if is_multi_label(taught) or base.postprocessing.multi_label:
        which = f"The run {run.folder}" if is_multi_label(taught) else f"The model {base.folder}"
        raise ValueError(
            f"{which} is multi-label. Only models with one label per segment can be extended or "
            "extend others; export the run by itself."
        )
    run.recipe.require_same(
        base.recipe, ours=f"The run {run.folder}", theirs=f"The model {base.folder}"
    )
    others = [i for i, name in enumerate(base.labels.names) if name not in run.labels.names]
    kept = [base.labels.names[i] for i in others]
    details: dict[str, Any] = {
        EXTENDS: {
            "model": base.name,
            "fingerprint": base.fingerprint,
            "taught": list(run.labels.names),
        }
    }
    if base.class_words:
        details[CLASS_WORDS] = {
            name: base.class_words.get(name, [name]) for name in (*run.labels.names, *kept)
        }
    if base.default_classes is not None:
        chosen = dict.fromkeys([*run.labels.names, *base.default_classes])
        details[DEFAULT_CLASSES] = list(chosen)
    return export_saved_model(
        extended_head(taught, run.postprocessing.temperature, base, others),
        extractor,
        folder,
        labels=Labels([*run.labels.names, *kept]),
        config_yaml=run.config_yaml,
        metrics=run.metrics,
        postprocessing=_postprocessing(run, base),
        columns=base.columns and _columns(base.columns, base.labels, run.labels, others),
        details=details,
    )


def _postprocessing(run: Run, base: ExportedModel) -> Postprocessing:
    """Event rules of the base model; the temperature of the run is in the head."""
    events = base.postprocessing.events
    kept = {
        name: score for name, score in events.min_scores.items() if name not in run.labels.names
    }
    return Postprocessing(events=dataclasses.replace(events, min_scores=kept))


def _columns(
    columns: ClassColumns, labels: Labels, taught: Labels, others: list[int]
) -> ClassColumns:
    """Columns of the base model's classes; classes that only the run has get none."""
    of_class = {name: index for index, name in enumerate(labels.names)}
    order = [*(of_class.get(name) for name in taught.names), *others]

    def picked(values: Any, empty: Any) -> tuple[Any, ...]:
        return tuple(empty if index is None else values[index] for index in order)

    return ClassColumns(
        picked(columns.visual, ()),
        picked(columns.audio, ()),
        picked(columns.chance, 0.0) if columns.chance else (),
    )
