"""Settings of the embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field

# AVE's features were made with ResNet-152 and VGGish (Tian et al. 2018); these are their
# counterparts on TF-Hub.
RESNET_V2_152 = "https://tfhub.dev/google/imagenet/resnet_v2_152/feature_vector/5"
VGGISH = "https://tfhub.dev/google/vggish/1"
COMPACT = "compact"

ACTIVATIONS = ("relu", "none")


@dataclass(frozen=True)
class VisualSettings:
    """Settings of the visual embedding: its module and the frames per second.

    Args:
        module: A TF-Hub or Kaggle handle, the path of a SavedModel, or `compact`.
        frames_per_second: F. AVE's published features average 16 pictures per second; why the
            default is what it is stands in `docs/design/embeddings.md`, with the measurement.
        size: Height and width in pixels that pictures are resized to, for modules whose signature
            leaves it open; `None` takes the module's own, or 224.
        maps: Give the map of each picture, one vector per place, in the place of one vector for
            all of it; `model.spatial_attention` picks places by the sound. It takes as many times
            the room as there are places (docs/design/models.md).
        endpoint: The end point of a TF-Hub module that is the map; `None` takes the smallest map
            that has the most channels, `.../block4` of a ResNet.
    """

    module: str = RESNET_V2_152
    frames_per_second: int = 2
    size: int | None = None
    maps: bool = False
    endpoint: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.frames_per_second <= 60:
            raise ValueError(
                "embeddings.visual.frames_per_second must lie between 1 and 60. "
                f"Received: {self.frames_per_second}"
            )
        if self.size is not None and not 16 <= self.size <= 1024:
            raise ValueError(
                f"embeddings.visual.size must lie between 16 and 1024. Received: {self.size}"
            )
        if self.endpoint is not None and not self.maps:
            raise ValueError(
                "embeddings.visual.endpoint names a map, and embeddings.visual.maps is false. Set "
                f"it to true, or leave the end point out. Received: endpoint={self.endpoint!r}"
            )


@dataclass(frozen=True)
class AudioSettings:
    """Settings of the audio embedding.

    Args:
        module: A TF-Hub or Kaggle handle, the path of a SavedModel, or `compact`.
        activation: What is applied to each vector: `relu` or `none`. `None` means `relu` for a
            module (AVE's features are VGGish after its last ReLU, which TF-Hub's VGGish leaves
            out) and `none` for `compact`.
        output: Which output holds the embedding, for modules that return several; `None` takes
            the widest one of rank 2 (YAMNet: its embeddings, not its scores or its spectrogram).
    """

    module: str = VGGISH
    activation: str | None = None
    output: int | None = None

    def __post_init__(self) -> None:
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise ValueError(
                f"embeddings.audio.activation must be one of {', '.join(ACTIVATIONS)}. "
                f"Received: {self.activation!r}"
            )

    @property
    def resolved_activation(self) -> str:
        """The activation that is applied, with the default filled in."""
        return self.activation or ("none" if self.module == COMPACT else "relu")


@dataclass(frozen=True)
class EmbeddingSettings:
    """Both embeddings, as they stand under `embeddings:` in a configuration file."""

    visual: VisualSettings = field(default_factory=VisualSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
