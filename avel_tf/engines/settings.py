"""Settings of the engines."""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"
ENGINES = (AUTO, "tensorflow", "openvino")
PRECISIONS = (AUTO, "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class EngineSettings:
    """By what the networks are run.

    Args:
        name: `tensorflow`, `openvino` (`pip install 'avel-tf[openvino]'`), or `auto`: the fastest
            that is installed and has been proven on this machine to give the same labels.
        precision: `float32`; `bfloat16`, on processors that compute in it; `float16`, on GPUs; or
            `auto`. Whatever is chosen, weights stay as they were exported, and the localizer
            behind the backbones is computed in float32.
        batch_pictures: About how many images one call of the backbones gets; `None` takes what
            measured best for the engine. A call holds segments of one file: 10, 5, 2 or 1 of
            them, so that the last digits of a result depend on that file alone.
        cache: Folder of compiled networks and of what `auto` has found; `None` takes
            `avel-tf` in `$XDG_CACHE_HOME` or `~/.cache`.
    """

    name: str = AUTO
    precision: str = AUTO
    batch_pictures: int | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        for key, known in (("name", ENGINES), ("precision", PRECISIONS)):
            if getattr(self, key) not in known:
                raise ValueError(
                    f"engine.{key} must be one of {', '.join(known)}. "
                    f"Received: {getattr(self, key)!r}"
                )
        if self.batch_pictures is not None and self.batch_pictures < 1:
            raise ValueError(
                f"engine.batch_pictures must be at least 1. Received: {self.batch_pictures}"
            )
