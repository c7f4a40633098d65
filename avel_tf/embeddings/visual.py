"""Visual embedding: frames to vectors or maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from avel_tf.embeddings import compact, efficientnet_lite2
from avel_tf.embeddings.built_in_weights import sha256_of_weights
from avel_tf.embeddings.hub_module import load_module, sha256_of_folder
from avel_tf.embeddings.scores import (
    ModuleWithScores,
    columns_of,
    find_scores,
    vocabulary_of_built_in,
    with_scores,
)
from avel_tf.embeddings.settings import COMPACT, VisualSettings
from avel_tf.utils.text import did_you_mean


class EndpointMap(tf.Module):
    """Feature map of a TF-Hub image module, in place of its vector.

    TF-Hub modules made with TF-Slim (ResNet, Inception, MobileNet) return a dict of inner layers
    with `return_endpoints=True`. That of `resnet_v2_152/feature_vector/5` contains
    `resnet_v2_152/block4`, [B, 7, 7, 2048] at 224 pixels, layers within that block such as
    `resnet_v2_152/block4/unit_3/bottleneck_v2/conv3`, and the pooled vector, [B, 1, 1, 2048].

    Args:
        module: Result of `hub.load`.
        endpoint: Name of the end point.
    """

    def __init__(self, module: Any, endpoint: str) -> None:
        super().__init__(name="endpoint_map")
        self.module = module
        self.endpoint = endpoint

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Images float32 [N, H, W, 3] in [0, 1] to maps float [N, rows, columns, channels]."""
        return self.module(images, return_endpoints=True)[self.endpoint]


def find_map(module: Any, name: str, size: int, endpoint: str | None = None) -> EndpointMap:
    """Select the end point of a module that is its feature map.

    It is the map of the fewest places, which is the latest in the network, and among those of the
    most channels. Layers within a block have its shape and a longer name, so the shortest name is
    used, and of equally long ones the last (`Mixed_7c`, not `Mixed_7b`).

    Args:
        module: Result of `hub.load`.
        name: Name of the module, for messages.
        size: Height and width of the images in pixels.
        endpoint: End point to use instead.

    Returns:
        The module up to that end point.

    Raises:
        ValueError: The module has no end points or no map, or `endpoint` is not a map.
    """
    try:
        found = module(tf.zeros([1, size, size, 3]), return_endpoints=True)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"embeddings.visual.maps needs a module with end points (return_endpoints=True), such "
            f"as TF-Hub's ResNet, Inception and MobileNet modules. Received: {name}. Use one of "
            "those, or compact, or set embeddings.visual.maps to false."
        ) from error
    shapes = (
        {key: tuple(value.shape) for key, value in found.items() if isinstance(value, tf.Tensor)}
        if isinstance(found, dict)
        else {}
    )
    maps = {
        key: shape
        for key, shape in shapes.items()
        if len(shape) == 4 and shape[1] * shape[2] > 1 and found[key].dtype.is_floating
    }
    if not maps:
        raise ValueError(
            f"embeddings.visual.maps needs an end point float [B, rows, columns, channels] of more "
            f"than one place; the module {name} has none. Received: "
            f"{shapes or type(found)}. "
            "Use another module, or set embeddings.visual.maps to false."
        )
    if endpoint is None:
        endpoint = min(
            sorted(maps, reverse=True),
            key=lambda key: (maps[key][1] * maps[key][2], -maps[key][3], len(key)),
        )
    if endpoint not in maps:
        what = f"has the shape {shapes[endpoint]}" if endpoint in shapes else "does not exist"
        raise ValueError(
            f"The end point {endpoint!r} of the module {name} {what}."
            f"{did_you_mean(endpoint, maps)} "
            f"Maps of the module: {', '.join(f'{key} {maps[key][1:]}' for key in sorted(maps))}."
        )
    return EndpointMap(module, endpoint)


# Backbones that need no module: the size of their images, and the network.
BUILT_IN: dict[str, tuple[int, Callable[..., keras.Model]]] = {
    COMPACT: (compact.VISUAL_SIZE, compact.visual_backbone),
    efficientnet_lite2.NAME: (efficientnet_lite2.SIZE, efficientnet_lite2.backbone),
}
# Vocabularies of their scores.
BUILT_IN_VOCABULARIES = {efficientnet_lite2.NAME: "imagenet-1000"}
# The size of ResNet's and most other ImageNet modules, for signatures that leave it open.
DEFAULT_SIZE = 224


class VisualEmbedding(tf.Module):
    """Visual embedding by a TF-Hub module or the compact backbone, one vector per frame.

    A map is flattened to one vector: the features of its places, row by row.

    Frames are resized to the module's size without a crop, as for AVE's published features (Tian et
    al. 2018), and scaled to [0, 1], as TF-Hub's image modules expect
    (https://www.tensorflow.org/hub/common_signatures/images).

    Attributes:
        module_name: Name of the module in manifests.
        sha256: Hash of the module's weights.
        size: Height and width of the module's input in pixels.
        width: Dv, number of features per frame.
        places: Number of places of a map; 1 for a vector.
        endpoint: End point of the module that is the map, else None.
        vocabulary: Name of the vocabulary of the scores that end each vector, else None.
        scores: Indices of their classes; None for all.
    """

    def __init__(
        self,
        module: Any,
        *,
        module_name: str,
        sha256: str,
        size: int,
        shape: tuple[int, ...],
        endpoint: str | None = None,
        vocabulary: str | None = None,
        scores: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name="visual_embedding")
        self.module = module
        self.module_name = module_name
        self.sha256 = sha256
        self.size = size
        self.width = math.prod(shape)
        self.places = math.prod(shape[:-1])
        self.endpoint = endpoint
        self.vocabulary = vocabulary
        self.scores = None if scores is None else tuple(scores)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Embed frames.

        Args:
            frames: uint8 [N, H, W, 3] RGB, any H and W.

        Returns:
            float32 [N, Dv].
        """
        images = tf.cast(frames, tf.float32) / 255.0  # [N, H, W, 3]
        # The decoder already delivers the module's size; resizing again would only cost time.
        images = tf.cond(
            tf.reduce_all(tf.equal(tf.shape(images)[1:3], self.size)),
            lambda: images,
            lambda: tf.image.resize(images, [self.size, self.size], antialias=True),
        )
        images = tf.ensure_shape(images, [None, self.size, self.size, 3])
        features = self.module(images)  # [N, Dv] or [N, rows, columns, channels]
        return tf.reshape(features, [-1, self.width])  # [N, Dv]


def load_visual(
    module: str | VisualSettings = COMPACT,
    *,
    scores: bool = False,
    scored_classes: Sequence[str] = (),
) -> VisualEmbedding:
    """Load a visual embedding and check its module.

    Args:
        module: A TF-Hub or Kaggle handle, the path of a SavedModel, `compact`,
            `efficientnet-lite2`, or settings that hold one.
        scores: Append the backbone's class scores to each vector.
        scored_classes: Classes of `avel classes` whose scores are appended; all scores if empty.

    Returns:
        A callable: uint8 [N, H, W, 3] -> float32 [N, Dv]. With `maps` in the settings, Dv is
        places x channels.

    Raises:
        ModuleUnavailableError: The module cannot be found.
        ValueError: It is not a visual module, or has no scores; the message gives its output.

    Example:
        >>> load_visual("compact")(frames).shape  # frames uint8 [5, 360, 640, 3]
        TensorShape([5, 768])
    """
    settings = VisualSettings(module=module) if isinstance(module, str) else module
    if settings.module in BUILT_IN:
        return _load_built_in(settings, scores, scored_classes)
    loaded, folder = load_module(settings.module)
    size = _module_size(loaded) or settings.size or DEFAULT_SIZE
    if settings.size not in (None, size):
        raise ValueError(
            f"The module {settings.module} takes {size} x {size} pixels by its signature. "
            f"Received: embeddings.visual.size={settings.size}"
        )
    endpoint = None
    if settings.maps:
        loaded = find_map(loaded, settings.module, size, settings.endpoint)
        endpoint = loaded.endpoint
    shape = _checked_shape(loaded, settings.module, size, rank=4 if settings.maps else 2)
    vocabulary, columns = None, None
    if scores:
        example = tf.random.stateless_uniform([2, size, size, 3], seed=(0, 0))
        function, vocabulary = find_scores(loaded, settings.module, example, "visual")
        columns = columns_of(scored_classes, vocabulary)
        loaded = ModuleWithScores(loaded, loaded, function, columns)
        shape = tuple(loaded(example).shape[1:])
    return VisualEmbedding(
        loaded,
        module_name=settings.module,
        sha256=sha256_of_folder(folder),
        size=size,
        shape=shape,
        endpoint=endpoint,
        vocabulary=vocabulary,
        scores=columns,
    )


def _load_built_in(
    settings: VisualSettings, scores: bool, scored_classes: Sequence[str]
) -> VisualEmbedding:
    size, network = BUILT_IN[settings.module]
    if settings.size not in (None, size):
        raise ValueError(
            f"The visual backbone {settings.module} takes images of {size} x {size} pixels. "
            f"Received: embeddings.visual.size={settings.size}"
        )
    if settings.endpoint is not None:
        raise ValueError(
            f"The visual backbone {settings.module} has one map and no end points to choose from. "
            f"Received: embeddings.visual.endpoint={settings.endpoint!r}"
        )
    vocabulary, columns = None, None
    if scores:
        vocabulary = vocabulary_of_built_in(settings.module, BUILT_IN_VOCABULARIES)
        columns = columns_of(scored_classes, vocabulary)
        model = with_scores(efficientnet_lite2.pretrained(), columns)
    else:
        model = network(maps=settings.maps)
    return VisualEmbedding(
        model,
        module_name=settings.module,
        sha256=sha256_of_weights(model.get_weights()),
        size=size,
        shape=model.output_shape[1:],
        vocabulary=vocabulary,
        scores=columns,
    )


def _module_size(module: Any) -> int | None:
    """Image size in the module's call signature; None if it is not fixed."""
    for function in getattr(module.__call__, "concrete_functions", []):
        for spec in tf.nest.flatten(function.structured_input_signature):
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 4:
                height, width = spec.shape[1], spec.shape[2]
                if height is not None and height == width:
                    return int(height)
    return None


def _checked_shape(module: Any, name: str, size: int, *, rank: int) -> tuple[int, ...]:
    """Call the module on a black and on a noisy image and check its output.

    Returns:
        Shape of the output for one image.
    """
    expected = (
        f"Expected a TF-Hub image feature vector module: float32 [B, {size}, {size}, 3] in [0, 1] "
        "-> float32 [B, D]."
    )
    noise = tf.random.stateless_uniform([1, size, size, 3], seed=(0, 0))
    images = tf.concat([tf.zeros_like(noise), noise], axis=0)  # [2, H, W, 3]
    try:
        vectors = module(images)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"The visual module {name} could not be called on images. {expected} Its error: {first}"
        ) from error
    if not isinstance(vectors, tf.Tensor):
        raise ValueError(f"{expected} The module {name} returned a {type(vectors).__name__}.")
    if vectors.shape.rank != rank or vectors.shape[0] != 2 or not vectors.dtype.is_floating:
        raise ValueError(
            f"{expected} For two images, the module {name} returned shape={vectors.shape}, "
            f"dtype={vectors.dtype.name}."
        )
    if not bool(tf.reduce_all(tf.math.is_finite(vectors))):
        raise ValueError(f"The visual module {name} returned NaN or infinity for a plain image.")
    if bool(tf.reduce_all(tf.equal(vectors[0], vectors[1]))):
        raise ValueError(
            f"The visual module {name} returned the same vector for a black and a noisy image: "
            "it ignores its input, or its weights were not restored."
        )
    return tuple(vectors.shape[1:])
