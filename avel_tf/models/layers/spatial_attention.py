"""Audio-guided attention over the places of a visual map."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

# Width of the comparison between audio and places, as in the paper for 7 x 7 places.
UNITS = 49


@keras.saving.register_keras_serializable(package="avel_tf")
class AudioGuidedSpatialAttention(layers.Layer):
    """Averages the places of visual maps, weighted by their relevance to the audio.

    Args:
        width: width of the projections of audio and places.
        units: width of the layer that compares them.
        **kwargs: as for every Keras layer.

    Returns:
        A layer of maps, float `[B, T, places, Dv]` or `[B, T, rows, columns, Dv]`, and audio, float
        `[B, T, Da]`, to float `[B, T, Dv]`.

    Raises:
        ValueError: If the maps have another rank.

    Example:
        >>> layer = AudioGuidedSpatialAttention(128)
        >>> layer(np.ones((2, 10, 7, 7, 512)), np.ones((2, 10, 128))).shape
        TensorShape([2, 10, 512])

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018
        (https://arxiv.org/abs/1803.08842), audio-guided visual attention.
    """

    def __init__(self, width: int, units: int = UNITS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.units = units
        self.supports_masking = True

        def dense(size: int, name: str, **more: Any) -> layers.Dense:
            return layers.Dense(size, name=name, dtype=self.dtype_policy, **more)

        self.place_projection = dense(width, "place_projection", activation="relu")
        self.sound_projection = dense(width, "sound_projection", activation="relu")
        self.place_comparison = dense(units, "place_comparison", use_bias=False)
        self.sound_comparison = dense(units, "sound_comparison", use_bias=False)
        self.score = dense(1, "score", use_bias=False)

    def build(self, maps_shape: Any, audio_shape: Any) -> None:
        if len(maps_shape) not in (4, 5):
            raise ValueError(
                f"{self.name} needs maps [B, T, places, Dv] or [B, T, rows, columns, Dv]. "
                f"Received: shape={tuple(maps_shape)}."
            )
        self.place_projection.build((*maps_shape[:2], None, maps_shape[-1]))
        self.sound_projection.build(audio_shape)
        for layer in (self.place_comparison, self.sound_comparison):
            layer.build((*audio_shape[:-1], self.width))
        self.score.build((*audio_shape[:-1], self.units))

    def call(self, maps: Any, audio: Any) -> Any:
        weights = self.weights_of(maps, audio)  # [B, T, places]
        places = _places(maps)  # [B, T, places, Dv]
        return ops.sum(ops.expand_dims(weights, -1) * places, axis=2)  # [B, T, Dv]

    def weights_of(self, maps: Any, audio: Any) -> Any:
        """Attention weights of the places.

        Args:
            maps: float `[B, T, places, Dv]` or `[B, T, rows, columns, Dv]`.
            audio: float `[B, T, Da]`.

        Returns:
            Float `[B, T, places]`, row by row of the frame; sums to one over the places.
        """
        places = self.place_comparison(
            self.place_projection(_places(maps))
        )  # [B, T, places, units]
        sound = self.sound_comparison(self.sound_projection(audio))  # [B, T, units]
        scores = self.score(ops.tanh(places + ops.expand_dims(sound, 2)))  # [B, T, places, 1]
        # float32, because half precision rounds the small weights of many places.
        weights = ops.softmax(ops.cast(scores[..., 0], "float32"), axis=-1)  # [B, T, places]
        return ops.cast(weights, self.compute_dtype)

    def compute_output_shape(self, maps_shape: Any, audio_shape: Any) -> Any:
        return (*maps_shape[:2], maps_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "units": self.units}


def _places(maps: Any) -> Any:
    if len(maps.shape) == 4:
        return maps
    shape = ops.shape(maps)
    places = math.prod(maps.shape[2:4])
    return ops.reshape(maps, (shape[0], shape[1], places, shape[-1]))  # [B, T, places, Dv]
