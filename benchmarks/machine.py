"""Description of the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
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
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "peer_versions": _versions_of(peer_python),
        "load_before": round(os.getloadavg()[0], 2),
    }


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
