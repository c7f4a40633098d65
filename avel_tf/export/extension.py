"""Export of a training run together with an exported model, whose other classes it keeps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
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
from avel_tf.models import probabilities_from
from avel_tf.training.run import Run

# Smallest probability, so that logarithms are finite.
_SMALLEST = 1e-9
# Training clips per class at which run and base have the same weight, as in `ClipEvidence`.
HALF_WEIGHT_CLIPS = 10.0


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
    """Logarithms of the probabilities of both models together; see `extend`."""

    def __init__(self, own: list[int], others: list[int], weight: float, **kwargs: Any) -> None:
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self._own = own  # column of each class of the run among those of the base; -1 for none
        self._others = others  # columns of the other classes of the base
        self._weight = weight

    def call(self, taught: Any, base: Any) -> Any:
        p, p_none = taught[..., :-1], taught[..., -1:]
        others, q_none = ops.take(base, self._others, axis=-1), base[..., -1:]
        own = ops.stack(
            [base[..., i] if i >= 0 else ops.zeros_like(base[..., 0]) for i in self._own], axis=-1
        )
        base_first = ops.concatenate([own + q_none * p, others, q_none * p_none], axis=-1)
        rest = ops.concatenate([others, q_none], axis=-1)
        rest = rest / ops.maximum(ops.sum(rest, axis=-1, keepdims=True), _SMALLEST)
        run_first = ops.concatenate([p, p_none * rest], axis=-1)
        probabilities = self._weight * run_first + (1.0 - self._weight) * base_first
        return ops.log(ops.maximum(probabilities, _SMALLEST))  # [B, T, C+1]

    def compute_output_shape(self, taught_shape: Any, base_shape: Any) -> tuple[Any, ...]:
        return (*taught_shape[:-1], taught_shape[-1] + len(self._others))


@dataclass(frozen=True)
class Extension:
    """A run and an exported model together.

    Attributes:
        head: Functional model, features to logits float32 [B, T, C+1].
        labels: The classes of the run, then the other classes of the base.
        columns: Columns of the class scores of `labels`, if the base has such; classes that only
            the run has get none.
    """

    head: keras.Model
    labels: Labels
    columns: ClassColumns | None


def extend(run: Run, base: ExportedModel) -> Extension:
    """Combine the head of a run with that of an exported model.

    Let p be the run's probabilities, q those of the base, and w the weight of the run, n / (n + 10)
    for n training clips with an event per class. The result is w R + (1 - w) Q of two
    distributions:

    - Q asks the base first, and the run about what the base calls background: Q(class) = q(class) +
      q(background) p(class).
    - R asks the run first, and the base about what the run calls background: R(class) = p(class)
      for classes of the run, p(background) q(class) for others, with q normalised without the
      classes of the run.

    So a few examples add to what the base knows, and many replace it.

    Args:
        run: The run.
        base: The exported model.
    """
    taught, names = run.model(), list(base.labels.names)
    own = [names.index(name) if name in names else -1 for name in run.labels.names]
    others = [i for i in range(len(names)) if i not in own]
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in taught.input.items()
    }
    sharpness = 1.0 / run.postprocessing.temperature
    p = probabilities_from(taught(inputs) * sharpness, multi_label=False)  # [B, T, C'+1]
    served = _ServedHead(base.load_graphs(), len(names), name="base")
    q = served(inputs["visual"], inputs["audio"], inputs["valid"])  # [B, T, C''+1]
    logits = _ExtendedLogits(own, others, run_weight(run), name="logits")(p, q)  # [B, T, C+1]
    order = [*own, *others]
    return Extension(
        keras.Model(inputs, logits, name=f"extended_{taught.name}"),
        Labels([*run.labels.names, *(names[i] for i in others)]),
        base.columns and _columns(base.columns, order),
    )


def run_weight(run: Run) -> float:
    """Weight of a run against the model that it extends; 1 if its features are gone."""
    features = run.features
    if features is None:
        return 1.0
    records = features.seconds("train").as_numpy_iterator()
    clips = sum(bool(record["active"].any()) for record in records) / len(run.labels)
    return clips / (clips + HALF_WEIGHT_CLIPS)


def export_extended(
    run: Run, base: ExportedModel | str | Path, extractor: FeatureExtractor, folder: str | Path
) -> Path:
    """Export a training run that adds its classes to an exported model; see `extend`.

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
    run_multi_label = run.postprocessing.multi_label
    if run_multi_label or base.postprocessing.multi_label:
        which = f"The run {run.folder}" if run_multi_label else f"The model {base.folder}"
        raise ValueError(
            f"{which} is multi-label. Only models with one label per segment can be extended or "
            "extend others; export the run by itself."
        )
    run.recipe.in_float().require_same(
        base.recipe, ours=f"The run {run.folder}", theirs=f"The model {base.folder}"
    )
    extension = extend(run, base)
    origin = {"model": base.name, "fingerprint": base.fingerprint}
    details: dict[str, Any] = {EXTENDS: {**origin, "taught": list(run.labels.names)}}
    if base.class_words:
        words = base.class_words
        details[CLASS_WORDS] = {name: words.get(name, [name]) for name in extension.labels.names}
    if base.default_classes is not None:
        chosen = dict.fromkeys([*run.labels.names, *base.default_classes])
        details[DEFAULT_CLASSES] = list(chosen)
    return export_saved_model(
        extension.head,
        extractor,
        folder,
        labels=extension.labels,
        config_yaml=run.config_yaml,
        metrics=run.metrics,
        postprocessing=_postprocessing(run, base),
        columns=extension.columns,
        details=details,
    )


def _postprocessing(run: Run, base: ExportedModel) -> Postprocessing:
    """Event rules of the base model; the temperature of the run is in the head."""
    events = base.postprocessing.events
    kept = {
        name: score for name, score in events.min_scores.items() if name not in run.labels.names
    }
    return Postprocessing(events=dataclasses.replace(events, min_scores=kept))


def _columns(columns: ClassColumns, order: list[int]) -> ClassColumns:
    """Columns of the base model's classes in another order; none for -1."""

    def picked(values: Any, empty: Any) -> tuple[Any, ...]:
        return tuple(values[index] if index >= 0 else empty for index in order)

    return ClassColumns(
        picked(columns.visual, ()),
        picked(columns.audio, ()),
        picked(columns.chance, 0.0) if columns.chance else (),
    )
