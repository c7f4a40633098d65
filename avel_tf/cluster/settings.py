"""Settings of runs on a Ray cluster."""

from __future__ import annotations

from pydantic import Field
from pydantic.config import JsonDict

from avel_tf.utils.settings import Settings

_RESOURCE: JsonDict = {"resource_only": True}


class ClusterSettings(Settings, section="cluster"):
    """Settings of `--ray`: workers, blocks of files, shards and downloads."""

    workers: int | None = Field(
        default=None,
        ge=1,
        description="Most workers, each with the networks in its memory. null: as many as fit.",
        json_schema_extra=_RESOURCE,
    )
    cpus_per_worker: int | None = Field(
        default=None,
        ge=1,
        description="Processors of a worker, and files that it decodes at the same time. null: "
        "those of the smallest machine, so that each machine has one worker.",
        json_schema_extra=_RESOURCE,
    )
    gpus_per_worker: float | None = Field(
        default=None,
        ge=0.0,
        description="GPUs of a worker; 0.5 places two workers on each GPU. null: 1 if the cluster "
        "has GPUs, else 0.",
        json_schema_extra=_RESOURCE,
    )
    # At the end of a block the decoders of a worker run empty, for less than one file in this many.
    block_files: int = Field(
        default=64,
        ge=1,
        description="Most files in a block, the unit that is handed to a worker.",
        json_schema_extra=_RESOURCE,
    )
    block_megabytes: int = Field(
        default=256,
        ge=1,
        description="Size of the files of a block, in units of 10^6 bytes; a larger file is a "
        "block of its own.",
        json_schema_extra=_RESOURCE,
    )
    shard_megabytes: int = Field(
        default=16,
        ge=1,
        description="Size of the lines of a shard, in units of 10^6 bytes.",
        json_schema_extra=_RESOURCE,
    )
    commit_seconds: float = Field(
        default=30.0,
        gt=0.0,
        description="Time after which finished results are committed as a shard. If the process of "
        "the command is killed, results in a bucket that are not committed are lost.",
        json_schema_extra=_RESOURCE,
    )
    download_seconds: float = Field(
        default=600.0,
        gt=0.0,
        description="Most time for the download of a file in one attempt.",
        json_schema_extra=_RESOURCE,
    )
    download_attempts: int = Field(
        default=4,
        ge=1,
        description="Attempts to download a file, with pauses of 1, 2, 4, ... seconds in between.",
        json_schema_extra=_RESOURCE,
    )
