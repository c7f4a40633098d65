"""Visual embedding: frames to vectors or maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from avel_tf.embeddings import compact, efficientnet_lite2
from avel_tf.embeddings.hub_module import load_module, sha256_of_folder
from avel_tf.embeddings.settings import COMPACT, VisualSettings
from avel_tf.utils.text import did_you_mean


class EndpointMap(tf.Module):
    """A TF-Hub image module that gives the map of a picture, not its vector.

    TF-Hub's modules made by TF-Slim (ResNet, Inception, MobileNet) take `return_endpoints=True`
    and then give a dict of the layers on their way, by Slim's names: of
    `resnet_v2_152/feature_vector/5` for example `resnet_v2_152/block4`, [B, 7, 7, 2048] at 224
    pixels, `resnet_v2_152/block4/unit_3/bottleneck_v2/conv3` of the same shape within that block,
    and what has been pooled, [B, 1, 1, 2048].

    Args:
        module: What `hub.load` returned.
        endpoint: The name of the end point.
    """

    def __init__(self, module: Any, endpoint: str) -> None:
        super().__init__(name="endpoint_map")
        self.module = module
        self.endpoint = endpoint

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        """Pictures float32 [N, H, W, 3] in [0, 1] to maps float [N, rows, columns, channels]."""
        return self.module(pictures, return_endpoints=True)[self.endpoint]


def find_map(module: Any, name: str, size: int, endpoint: str | None = None) -> EndpointMap:
    """Choose the end point of a module that is its map.

    It is the one of the fewest places, which is the latest in the network, and among those of the
    most channels. Parts of a block have the shape of the block and its name with something behind
    it, so the shortest name is taken; of equally long ones the last (`Mixed_7c`, not `Mixed_7b`).

    Args:
        module: What `hub.load` returned.
        name: What the user calls the module.
        size: Height and width in pixels of the pictures that it shall see.
        endpoint: The name to take in place of the choice.

    Returns:
        The module up to that end point.

    Raises:
        ValueError: The module has no end points, none of them is a map, or the one that is named
            is not there or is no map.
    """
    try:
        found = module(tf.zeros([1, size, size, 3]), return_endpoints=True)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"embeddings.visual.maps asks the module {name} for its end points "
            "(return_endpoints=True), as TF-Hub's ResNet, Inception and MobileNet modules give "
            "them, and it knows no such argument. Take one of those modules, the word compact, or "
            "set embeddings.visual.maps to false."
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
            f"embeddings.visual.maps wants an end point float [B, rows, columns, channels] of more "
            f"than one place, and the module {name} has none. Received: {shapes or type(found)}. "
            "Take another module, or set embeddings.visual.maps to false."
        )
    if endpoint is None:
        endpoint = min(
            sorted(maps, reverse=True),
            key=lambda key: (maps[key][1] * maps[key][2], -maps[key][3], len(key)),
        )
    if endpoint not in maps:
        what = f"has the shape {shapes[endpoint]}" if endpoint in shapes else "is not there"
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
# The size of ResNet's and most other ImageNet modules, for signatures that leave it open.
DEFAULT_SIZE = 224


class VisualEmbedding(tf.Module):
    """One vector for each picture, by a TF-Hub module or by the project's own backbone.

    A map is such a vector, too: the features of its places behind each other, row by row.

    Pictures are resized to the module's size as a whole, without a crop, as AVE's published
    features were made (Tian et al. 2018), and scaled to [0, 1], as TF-Hub's image modules expect
    (https://www.tensorflow.org/hub/common_signatures/images).

    Attributes:
        module_name: What the manifest calls the module.
        sha256: Hash of the module's weights.
        size: Height and width in pixels of what the module sees.
        width: Dv, the number of features of a picture.
        places: How many places share the features; 1 where they are of the whole picture.
        endpoint: The end point of the module that is the map, where it was chosen among several.
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
    ) -> None:
        super().__init__(name="visual_embedding")
        self.module = module
        self.module_name = module_name
        self.sha256 = sha256
        self.size = size
        self.width = math.prod(shape)
        self.places = math.prod(shape[:-1])
        self.endpoint = endpoint

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Embed pictures.

        Args:
            frames: uint8 [N, H, W, 3] RGB, any H and W.

        Returns:
            float32 [N, Dv].
        """
        pictures = tf.cast(frames, tf.float32) / 255.0  # [N, H, W, 3]
        # The decoder already delivers the module's size; resizing again would cost time, not
        # change a value.
        pictures = tf.cond(
            tf.reduce_all(tf.equal(tf.shape(pictures)[1:3], self.size)),
            lambda: pictures,
            lambda: tf.image.resize(pictures, [self.size, self.size], antialias=True),
        )
        pictures = tf.ensure_shape(pictures, [None, self.size, self.size, 3])
        features = self.module(pictures)  # [N, Dv] or [N, rows, columns, channels]
        return tf.reshape(features, [-1, self.width])  # [N, Dv]


def load_visual(module: str | VisualSettings = COMPACT) -> VisualEmbedding:
    """Load a visual embedding and check that it keeps the module contract.

    Args:
        module: A TF-Hub or Kaggle handle, the path of a SavedModel, `compact`,
            `efficientnet-lite2`, or settings that hold one.

    Returns:
        A callable: uint8 [N, H, W, 3] -> float32 [N, Dv]. With `maps` in the settings, Dv is
        places x channels.

    Raises:
        ModuleUnavailableError: When the module cannot be found.
        ValueError: When what was found is no visual module; the message says what it returned.

    Example:
        >>> load_visual("compact")(frames).shape  # frames uint8 [5, 360, 640, 3]
        TensorShape([5, 768])
    """
    settings = VisualSettings(module=module) if isinstance(module, str) else module
    if settings.module in BUILT_IN:
        return _load_built_in(settings)
    loaded, folder = load_module(settings.module)
    size = _module_size(loaded) or settings.size or DEFAULT_SIZE
    if settings.size not in (None, size):
        raise ValueError(
            f"The module {settings.module} sees {size} x {size} pixels by its own signature. "
            f"Received: embeddings.visual.size={settings.size}"
        )
    if settings.maps:
        loaded = find_map(loaded, settings.module, size, settings.endpoint)
    return VisualEmbedding(
        loaded,
        module_name=settings.module,
        sha256=sha256_of_folder(folder),
        size=size,
        shape=_checked_shape(loaded, settings.module, size, rank=4 if settings.maps else 2),
        endpoint=loaded.endpoint if settings.maps else None,
    )


def _load_built_in(settings: VisualSettings) -> VisualEmbedding:
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
    model = network(maps=settings.maps)
    return VisualEmbedding(
        model,
        module_name=settings.module,
        sha256=compact.sha256_of(model),
        size=size,
        shape=model.output_shape[1:],
    )


def _module_size(module: Any) -> int | None:
    """The picture size that the module's own call signature fixes, if it does."""
    for function in getattr(module.__call__, "concrete_functions", []):
        for spec in tf.nest.flatten(function.structured_input_signature):
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 4:
                height, width = spec.shape[1], spec.shape[2]
                if height is not None and height == width:
                    return int(height)
    return None


def _checked_shape(module: Any, name: str, size: int, *, rank: int) -> tuple[int, ...]:
    """Call the module on a black and on a noisy picture and hold it to the contract.

    Returns:
        The shape of what it gives for one picture.
    """
    expected = (
        f"Expected a TF-Hub image feature vector module: float32 [B, {size}, {size}, 3] in [0, 1] "
        "-> float32 [B, D]."
    )
    noise = tf.random.stateless_uniform([1, size, size, 3], seed=(0, 0))
    pictures = tf.concat([tf.zeros_like(noise), noise], axis=0)  # [2, H, W, 3]
    try:
        vectors = module(pictures)
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
