"""Description of the machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Instruction sets of matrix products by their flag in /proc/cpuinfo, and the precision of each.
INSTRUCTION_SETS = {
    "avx2": ("AVX2", "float32"),
    "avx512f": ("AVX-512", "float32"),
    "avx_vnni": ("AVX-VNNI", "int8"),
    "avx512_vnni": ("AVX512-VNNI", "int8"),
    "avx512_bf16": ("AVX512-BF16", "bfloat16"),
    "amx_bf16": ("AMX-BF16", "bfloat16"),
    "amx_int8": ("AMX-INT8", "int8"),
}
PACKAGES = (
    *("tensorflow", "keras", "openvino", "torch", "av", "opencv-python"),
    *("opencv-python-headless", "numpy"),
)


def describe(peer_python: str) -> dict[str, Any]:
    """Processor, memory and versions, those of the peer from its own interpreter."""
    processor = _processor()
    flags = processor.get("flags", "").split()
    return {
        "processor": processor.get("model name", platform.processor()),
        "family, model, stepping": [
            processor.get(key, "?") for key in ("cpu family", "model", "stepping")
        ],
        "flags": [flag for flag in INSTRUCTION_SETS if flag in flags],
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "peer_versions": _versions_of(peer_python),
        "load_before": round(os.getloadavg()[0], 2),
    }


def precisions() -> tuple[str, ...]:
    """Precisions in which the engines of avel-tf compute here, fastest first."""
    from avel_tf.engines.available import computes_in_bfloat16

    return ("bfloat16", "float32") if computes_in_bfloat16() else ("float32",)


def computes_in_int8() -> bool:
    """Return True if avel-tf offers int8 here, which also needs the package that quantizes."""
    from avel_tf.engines.available import computes_in_int8, version

    return computes_in_int8() and version("nncf") is not None


def instruction_set(flags: Iterable[str], precision: str) -> str:
    """Name of the best instruction set of a processor for products of a precision.

    A processor without instructions for `int8` widens the numbers and uses those for vectors.
    """
    found = [INSTRUCTION_SETS[flag] for flag in INSTRUCTION_SETS if flag in flags]
    names = [name for name, kind in found if kind == precision]
    names = names or [name for name, kind in found if kind == "float32"] or ["none known"]
    return names[-1]


def versions() -> dict[str, str]:
    """Versions of the relevant packages that are installed."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _versions_of(python: str) -> dict[str, str]:
    code = "import json, machine; print(json.dumps(machine.versions()))"
    folder = Path(__file__).parent
    done = subprocess.run([python, "-c", code], capture_output=True, cwd=folder, check=True)
    return json.loads(done.stdout)


def _processor() -> dict[str, str]:
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
