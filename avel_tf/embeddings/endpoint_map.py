"""The map inside a TF-Hub module."""

from __future__ import annotations

import difflib
from typing import Any

import tensorflow as tf


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
        near = difflib.get_close_matches(endpoint, maps, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"The end point {endpoint!r} of the module {name} {what}; the nearest map is {near!r}. "
            f"Maps of the module: {', '.join(f'{key} {maps[key][1:]}' for key in sorted(maps))}."
        )
    return EndpointMap(module, endpoint)
