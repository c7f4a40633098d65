"""Settings of the engines."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from avel_tf.utils.settings import Settings

AUTO: Final = "auto"


class EngineSettings(Settings, section="engine"):
    """Engine and precision that run the networks."""

    name: Literal["auto", "tensorflow", "openvino"] = Field(
        default=AUTO,
        description="`openvino` needs `pip install 'avel-tf[openvino]'`. `auto`: the fastest "
        "installed engine that has been checked on this machine to give the same labels.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        default=AUTO,
        description="`bfloat16` needs a processor that computes in it, `float16` a GPU. `int8` "
        "quantizes the backbones, calibrated on the first files that are processed with it. "
        "The localizer after the backbones is computed in float32.",
    )
    batch_pictures: int | None = Field(
        default=None,
        ge=1,
        description="Approximate number of frames in one call of the backbones. A call holds 10, "
        "5, 2 or 1 segments of one file, so a result depends on its file alone. null: the size "
        "that was fastest for the engine.",
    )
    cache: str | None = Field(
        default=None,
        description="Folder for compiled networks and for what `auto` has measured. null: "
        "`avel-tf` in `$XDG_CACHE_HOME` or `~/.cache`.",
        json_schema_extra={"resource_only": True},
    )
