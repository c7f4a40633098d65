"""Engines, precisions and processor of this machine, and the cache of what was found about them."""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import importlib.util
import logging
import os
import platform
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from avel_tf.engines.settings import AUTO, EngineSettings

logger = logging.getLogger(__name__)


class EngineUnavailableError(ValueError):
    """An engine or precision that is not available on this machine."""


class EngineChoice(NamedTuple):
    """An engine and its precision, and the digest of the quantized network if that is int8."""

    engine: str
    precision: str
    network: str = ""

    @property
    def description(self) -> str:
        """Name such as `openvino bfloat16` or `openvino int8 94d1fc02`."""
        return f"{self.engine} {self.precision} {self.network}".rstrip()


INT8 = "int8"
# Reference of the verification, and the engine without verification.
REFERENCE = EngineChoice("tensorflow", "float32")


def engines_for(settings: EngineSettings, *, gpu: bool | None = None) -> list[EngineChoice]:
    """Engines and precisions of this machine that match the settings, fastest first.

    Raises:
        EngineUnavailableError: None matches.
    """
    gpu = _has_gpu() if gpu is None else gpu
    bfloat16 = computes_in_bfloat16()
    available = [EngineChoice("tensorflow", "float16")] * gpu
    available += [REFERENCE] * gpu
    if importlib.util.find_spec("openvino") is not None:
        if settings.precision == INT8 or (computes_in_int8() and _has_nncf()):
            available.append(EngineChoice("openvino", INT8))
        available += [EngineChoice("openvino", "bfloat16")] * bfloat16
        available.append(EngineChoice("openvino", "float32"))
    available += [EngineChoice("tensorflow", "bfloat16")] * (bfloat16 and not gpu)
    available += [REFERENCE] * (not gpu)
    of_engine = [each for each in available if settings.name in (AUTO, each.engine)]
    if not of_engine:
        raise EngineUnavailableError(
            f"The engine {settings.name} is not installed. Install it with "
            f"pip install 'avel-tf[{settings.name}]', or choose --engine tensorflow."
        )
    found = [each for each in of_engine if settings.precision in (AUTO, each.precision)]
    if not found:
        raise EngineUnavailableError(
            f"No engine of this machine supports {settings.precision}. Available: "
            f"{', '.join(each.description for each in of_engine)}."
        )
    if settings.precision == INT8 and not _has_nncf():
        raise EngineUnavailableError(
            "engine.precision=int8 needs the package nncf, which quantizes the networks. Install "
            "it with pip install 'avel-tf[openvino]', or leave out engine.precision."
        )
    return found


def _processor() -> dict[str, str]:
    """Entries of the first processor in /proc/cpuinfo; empty if it cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def computes_in_bfloat16() -> bool:
    """Return True if oneDNN, in both engines, may use bfloat16 instructions.

    Reference:
        oneDNN developer guide, CPU dispatcher control
        (https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html).
    """
    return _may_use(
        {"avx512_bf16", "amx_bf16", "bf16"}, ("DEFAULT", "ALL", "BF16", "FP16", "AMX", "AVX10")
    )


def computes_in_int8() -> bool:
    """Return True if OpenVINO may use instructions that make int8 faster: VNNI or AMX.

    Reference:
        As of `computes_in_bfloat16`.
    """
    words = ("DEFAULT", "ALL", "VNNI", "BF16", "FP16", "AMX", "AVX10")
    return _may_use({"avx512_vnni", "avx_vnni", "amx_int8"}, words)


def _may_use(instructions: set[str], limits: tuple[str, ...]) -> bool:
    """True if the processor has one of the instructions, and oneDNN's limit, if set, allows it."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    if not any(word in limit.upper() for word in limits):
        return False
    processor = _processor()
    flags = processor.get("flags", processor.get("Features", "")).split()
    return not instructions.isdisjoint(flags)


def _has_nncf() -> bool:
    return importlib.util.find_spec("nncf") is not None


def _has_gpu() -> bool:
    # By device files, because TensorFlow would have to be imported.
    return any(Path("/dev").glob("nvidia[0-9]*"))


def machine() -> dict[str, Any]:
    """Processor and GPUs of this machine."""
    processor = _processor()
    return {
        "processor": [processor.get(key) for key in ("model name", "model", "stepping")],
        "machine": platform.machine(),
        "gpus": [path.read_text() for path in sorted(Path("/proc/driver/nvidia").glob("gpus/*/*"))],
    }


def version(name: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def cache_folder(settings: EngineSettings) -> Path:
    """Cache folder of compiled networks and verifications; temporary if it cannot be written.

    Reference:
        XDG Base Directory Specification
        (https://specifications.freedesktop.org/basedir-spec/latest/).
    """
    folder = settings.cache or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _writable(folder if settings.cache else os.path.join(folder, "avel-tf"))


@functools.cache
def _writable(folder: str) -> Path:
    path = Path(os.path.expanduser(folder))
    try:
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if writable:
        return path
    temporary = tempfile.TemporaryDirectory(prefix="avel-cache-")
    atexit.register(temporary.cleanup)
    logger.warning(
        "The folder %s cannot be written, so compiled networks are not cached for the next run. "
        "Set engine.cache to another folder.",
        path,
    )
    return Path(temporary.name)
