"""Class scores of a backbone, appended to its features.

Features with scores are one vector: the embedding, then the scores. So every interface between
packages is that of features without scores, and the recipe says where the scores begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# Names and sizes of the vocabularies, by modality. ImageNet classifiers of TF-Slim have a class
# "background" before the thousand; YAMNet leaves out six of AudioSet's classes.
VOCABULARIES = {
    "visual": {1000: "imagenet-1000", 1001: "imagenet-1001"},
    "audio": {521: "yamnet-521", 527: "audioset-527"},
}
# Attributes of a module that may compute scores beside its call.
_METHODS = ("scores", "logits")
# Tolerance of the test whether scores are probabilities.
_ROUNDING = 1e-3


def columns_of(classes: Sequence[str], vocabulary: str) -> tuple[int, ...] | None:
    """Indices of the scores that belong to classes of the class table.

    Args:
        classes: Names of `avel classes`.
        vocabulary: A name of `VOCABULARIES`.

    Returns:
        Sorted indices; None for all, if there are no classes.

    Raises:
        ValueError: The table lacks a class.
    """
    if not classes:
        return None
    from avel_tf.vocabulary.class_table import ClassTable

    table = ClassTable.load()
    found = [table.indices(table.find(name), vocabulary) for name in classes]
    return tuple(sorted({index for indices in found for index in indices}))


def vocabulary_of_built_in(name: str, vocabularies: dict[str, str]) -> str:
    """Name of the vocabulary of a built-in backbone's scores.

    Args:
        name: Name of the backbone.
        vocabularies: Vocabulary of each built-in backbone that has scores.

    Raises:
        ValueError: The backbone has no scores.
    """
    if name not in vocabularies:
        raise ValueError(
            f"The backbone {name} has no class scores, which embeddings.scores=true needs. Use "
            f"{' or '.join(vocabularies)}, or set embeddings.scores=false."
        )
    return vocabularies[name]


def with_scores(model: keras.Model, columns: Sequence[int] | None) -> keras.Model:
    """Append class scores to the features of a built-in backbone.

    Args:
        model: A model with a dictionary of outputs: `features` float32 [N, D] and `scores` float32
            [N, K].
        columns: Indices of the classes whose scores are kept; all when None.

    Returns:
        A model with one output float32 [N, D + K], or [N, D + len(columns)].
    """
    scores = model.output["scores"]
    if columns is not None:
        scores = keras.ops.take(scores, list(columns), axis=-1)
    joined = keras.layers.Concatenate(name="features_and_scores")(
        [model.output["features"], scores]
    )
    joined = keras.Model(model.input, joined, name=model.name)
    joined.trainable = False
    return joined


class ModuleWithScores(tf.Module):
    """TF-Hub module whose output is followed by its class scores.

    Args:
        module: Result of `hub.load`.
        embed: Function of the module's input that returns vectors float32 [N, D].
        score: Function of the same input that returns scores float32 [N, K] in [0, 1].
        columns: Indices of the classes whose scores are kept; all when None.
    """

    def __init__(
        self,
        module: Any,
        embed: Callable[[Any], Any],
        score: Callable[[Any], Any],
        columns: Sequence[int] | None,
    ) -> None:
        super().__init__(name="module_with_scores")
        self.module = module
        self._embed = embed
        self._score = score
        self._columns = None if columns is None else list(columns)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inputs of the module to vectors and scores float32 [N, D + K]."""
        scores = self._score(inputs)
        if self._columns is not None:
            scores = tf.gather(scores, self._columns, axis=-1)
        return tf.concat([self._embed(inputs), scores], axis=-1)


def find_scores(
    module: Any, name: str, example: tf.Tensor, modality: str
) -> tuple[Callable[[Any], Any], str]:
    """Find the class scores of a TF-Hub module.

    They are an output of the module's call whose width is that of a known vocabulary, or the result
    of its method `scores` or `logits`. Logits of images become probabilities by a softmax.

    Args:
        module: Result of `hub.load`.
        name: Name of the module, for messages.
        example: Input for one call.
        modality: `visual` or `audio`.

    Returns:
        A function of the module's input that returns float32 [N, K] in [0, 1], and the name of the
        vocabulary.

    Raises:
        ValueError: The module has no scores of a known vocabulary.
    """
    sizes = VOCABULARIES[modality]
    outputs = tf.nest.flatten(module(example))
    candidates: list[tuple[Callable[[Any], Any], tf.Tensor]] = [
        (output_of(module, place), output) for place, output in enumerate(outputs)
    ]
    for method in _METHODS:
        function = getattr(module, method, None)
        if callable(function):
            candidates.append((function, function(example)))
    for function, output in candidates:
        if output.shape.rank == 2 and output.dtype.is_floating and output.shape[-1] in sizes:
            if _are_probabilities(output, modality):
                return function, sizes[output.shape[-1]]
            if modality == "visual":
                return _softmax_of(function), sizes[output.shape[-1]]
    shapes = ", ".join(str(output.shape) for _, output in candidates)
    raise ValueError(
        f"embeddings.scores=true needs a module with scores of a known vocabulary: "
        f"{', '.join(f'{vocabulary} [N, {size}]' for size, vocabulary in sizes.items())}. The "
        f"{modality} module {name} has the outputs {shapes}. Use another module, or set "
        "embeddings.scores=false."
    )


def output_of(module: Any, place: int) -> Callable[[Any], Any]:
    """Function of a module's input that returns one of its outputs."""
    return lambda inputs: tf.nest.flatten(module(inputs))[place]


def _softmax_of(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda inputs: tf.nn.softmax(function(inputs))


def _are_probabilities(output: tf.Tensor, modality: str) -> bool:
    if not bool(tf.reduce_all((output >= 0.0) & (output <= 1.0 + _ROUNDING))):
        return False
    # Scores of sounds are independent; those of images are a distribution.
    total = tf.reduce_sum(output, -1)
    return modality == "audio" or bool(tf.reduce_all(tf.abs(total - 1.0) < _ROUNDING))
